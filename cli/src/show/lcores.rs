//! Lcores: the sum of what came and went, how busy each is and how much more it could take, and what a packet costs it stage by
//! stage.

use serde_json::Value;

use super::items;
use crate::output::{Column, grouped, plain, table};

pub fn list(answer: &Value) -> String {
    let lcores = items(answer, "lcores");
    let worker = |member: &str| answer.pointer(&format!("/worker/{member}"));
    let alive = worker("alive").and_then(Value::as_bool) == Some(true);
    let mut text = format!(
        "worker: generation {}, {}\n",
        plain(worker("generation")),
        if alive { "attached" } else { "not attached" },
    );
    text += &table(&counts(), lcores);
    text += &sum(answer);
    text += &format!("\n{}", table(&load(), lcores));
    for lcore in lcores {
        text += &costs(lcore);
    }
    text
}

fn counts() -> [Column; 12] {
    [
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
        Column::number("HANDED IN", "/handed_in"),
        Column::number("INJECTED", "/injected"),
        Column::number("ORIGINATED", "/originated"),
        Column::number("TX", "/tx"),
        Column::number("DROPS", "/drops"),
        Column::number("PUNTS", "/punts"),
        Column::number("LOST", "/lost_in_flight"),
    ]
}

fn sum(answer: &Value) -> String {
    let total = |member: &str| {
        let value = answer
            .pointer(&format!("/total/{member}"))
            .and_then(Value::as_i64);
        grouped(value.unwrap_or(0))
    };
    format!(
        "rx {} + injected {} + originated {} = tx {} + drops {} + punts {} + lost {} + in hand {}\n",
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

/// The last seconds: what each lcore took, and what it has room for.
fn load() -> [Column; 8] {
    [
        Column::text("LCORE", "/lcore"),
        number("LAST s", "/recent/seconds", 1.0, 1),
        number("BUSY %", "/recent/busy_share", 100.0, 1),
        number("Mpps", "/recent/packets_per_second", 1e-6, 3),
        number("HEADROOM Mpps", "/recent/headroom_packets_per_second", 1e-6, 3),
        number("PACKETS/BURST", "/recent/packets_per_burst", 1.0, 1),
        number("TSC/PACKET", "/recent/tsc_per_packet", 1.0, 1),
        number("SINCE START", "/tsc_per_packet", 1.0, 1),
    ]
}

/// What the lcore's stages took, of the last seconds where a burst was measured in them, else of all time.
fn costs(lcore: &Value) -> String {
    let one_in = lcore.get("measure_one_in").and_then(Value::as_u64).unwrap_or(0);
    let number_of = plain(lcore.get("lcore"));
    let measured = |pointer: &str| {
        lcore
            .pointer(pointer)
            .filter(|cost| cost.get("bursts").and_then(Value::as_u64).unwrap_or(0) > 0)
    };
    let (cost, when) = match (measured("/recent/cost"), measured("/cost")) {
        (Some(recent), _) => (recent, "the last seconds"),
        (None, Some(all)) => (all, "since the segment was made"),
        (None, None) if one_in == 0 => {
            return format!("\nlcore {number_of}: no burst is measured (worker.measure_one_in = 0)\n");
        }
        (None, None) => return format!("\nlcore {number_of}: no burst was measured yet\n"),
    };
    let of = |pointer: &str| {
        let value = cost.pointer(pointer).and_then(Value::as_f64);
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
    };
    let ran = |stage: &&Value| stage.get("tsc").and_then(Value::as_u64).unwrap_or(0) > 0;
    let all = cost
        .pointer("/tsc_per_packet")
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    let columns = [
        Column::text("STAGE", "/stage"),
        Column::text("KIND", "/kind"),
        Column::number("PACKETS", "/packets"),
        number("TSC EACH", "/tsc_per_packet", 1.0, 1),
        number("TSC/PACKET", "/tsc_per_received_packet", 1.0, 2),
        Column::right("SHARE", move |row| {
            match row.pointer("/tsc_per_received_packet").and_then(Value::as_f64) {
                Some(tsc) if all > 0.0 => format!("{:.1} %", tsc / all * 100.0),
                _ => "-".to_owned(),
            }
        }),
        Column::text("", "/meaning"),
    ];
    format!(
        "\nlcore {number_of}, {when}: {} bursts measured (1 in {one_in}), {} packets each: {} tsc a packet, {} the drivers', {} ours\n{}",
        grouped(cost.get("bursts").and_then(Value::as_i64).unwrap_or(0)),
        of("/packets_per_burst"),
        of("/tsc_per_packet"),
        of("/driver_tsc_per_packet"),
        of("/own_tsc_per_packet"),
        table(&columns, items(cost, "stages").iter().filter(ran)),
    )
}

/// A number times a factor, with so many decimals.
fn number(heading: &'static str, pointer: &'static str, factor: f64, decimals: usize) -> Column {
    Column::right(heading, move |row| {
        match row.pointer(pointer).and_then(Value::as_f64) {
            Some(value) => format!("{:.decimals$}", value * factor),
            None => "-".to_owned(),
        }
    })
}
