//! What the workers counted: ports, drops, punts.

use serde_json::Value;

use super::items;
use crate::output::{Column, grouped, plain, table};

pub fn ports(answer: &Value) -> String {
    let columns = [
        Column::text("PORT", "/name"),
        Column::text("ROLE", "/role"),
        Column::text("DEVICE", "/device"),
        Column::text("LINK", "/link"),
        Column::number("RX PACKETS", "/pipeline/rx_packets"),
        Column::number("RX BYTES", "/pipeline/rx_bytes"),
        Column::number("TX PACKETS", "/pipeline/tx_packets"),
        Column::number("TX BYTES", "/pipeline/tx_bytes"),
        Column::number("MISSED", "/device_counts/rx_missed"),
        Column::number("ERRORS", "/device_counts/rx_errors"),
        Column::number("NO MBUF", "/device_counts/rx_no_mbuf"),
        Column::right("MBUFS FREE", |row| {
            format!("{}/{}", plain(row.get("mbufs_free")), plain(row.get("mbufs")))
        }),
    ];
    table(&columns, items(answer, "ports"))
}

pub fn drops(answer: &Value) -> String {
    reasons(answer, "drops", occurred)
}

pub fn all_drops(answer: &Value) -> String {
    reasons(answer, "drops", |_| true)
}

pub fn punts(answer: &Value) -> String {
    reasons(answer, "punts", occurred)
}

pub fn all_punts(answer: &Value) -> String {
    reasons(answer, "punts", |_| true)
}

fn occurred(reason: &Value) -> bool {
    reason.get("packets").and_then(Value::as_u64) != Some(0)
}

fn reasons(answer: &Value, member: &str, shown: fn(&Value) -> bool) -> String {
    let columns = [
        Column::text("REASON", "/reason"),
        Column::number("PACKETS", "/packets"),
        Column::text("MEANING", "/meaning"),
    ];
    let rows = items(answer, member).iter().filter(|reason| shown(reason));
    let total = answer.get("total").and_then(Value::as_i64).unwrap_or(0);
    format!("{}{} packets in all\n", table(&columns, rows), grouped(total))
}
