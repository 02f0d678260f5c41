//! What the workers counted: ports, drops, punts, latency, lcores.

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

pub fn latency(answer: &Value) -> String {
    let time = |heading, pointer: &'static str| {
        Column::right(heading, move |row| {
            match row.pointer(pointer).and_then(Value::as_f64) {
                Some(ns) => microseconds(ns),
                None => "-".to_owned(),
            }
        })
    };
    let columns = [
        Column::of("LCORE", |row| match row.get("lcore").and_then(Value::as_u64) {
            Some(lcore) => lcore.to_string(),
            None => "all".to_owned(),
        }),
        Column::text("DIRECTION", "/direction"),
        Column::number("PACKETS", "/count"),
        time("MEAN µs", "/mean_ns"),
        time("P50", "/p50_ns"),
        time("P90", "/p90_ns"),
        time("P99", "/p99_ns"),
        time("P99.9", "/p99_9_ns"),
        time("P99.99", "/p99_99_ns"),
        time("MAX", "/max_ns"),
    ];
    let rows = items(answer, "total").iter().chain(items(answer, "lcores"));
    table(&columns, rows)
}

fn microseconds(ns: f64) -> String {
    format!("{:.2}", ns / 1000.0)
}

pub fn lcores(answer: &Value) -> String {
    let columns = [
        Column::text("LCORE", "/lcore"),
        Column::text("CPU", "/cpu"),
        Column::of("ONLINE", |row| match row.get("online").and_then(Value::as_bool) {
            Some(true) => "yes".to_owned(),
            _ => "no".to_owned(),
        }),
        Column::right("TURNED", |row| {
            let age = row.get("heartbeat_age_seconds").and_then(Value::as_f64);
            age.map_or_else(|| "-".to_owned(), |age| format!("{age:.3}s ago"))
        }),
        Column::number("RX", "/rx"),
        Column::number("INJECTED", "/injected"),
        Column::number("ORIGINATED", "/originated"),
        Column::number("TX", "/tx"),
        Column::number("DROPS", "/drops"),
        Column::number("PUNTS", "/punts"),
        Column::number("LOST", "/lost_in_flight"),
        Column::right("TSC/PACKET", |row| {
            let ticks = row.get("tsc_per_packet").and_then(Value::as_f64);
            ticks.map_or_else(|| "-".to_owned(), |ticks| format!("{ticks:.0}"))
        }),
    ];
    let total = |member: &str| {
        let value = answer
            .pointer(&format!("/total/{member}"))
            .and_then(Value::as_i64);
        grouped(value.unwrap_or(0))
    };
    let worker = |member: &str| answer.pointer(&format!("/worker/{member}"));
    let alive = worker("alive").and_then(Value::as_bool) == Some(true);
    format!(
        "worker: generation {}, {}\n{}rx {} + injected {} + originated {} = tx {} + drops {} + punts {} + lost {} + in hand {}\n",
        plain(worker("generation")),
        if alive { "attached" } else { "not attached" },
        table(&columns, items(answer, "lcores")),
        total("rx"),
        total("injected"),
        total("originated"),
        total("tx"),
        total("drops"),
        total("punts"),
        total("lost_in_flight"),
        total("in_hand"),
    )
}
