//! Latency from receive to transmit: percentiles by direction and lcore, and with `--buckets` how many packets took how long.

use serde_json::Value;

use super::items;
use crate::output::{Column, grouped, table};

/// Characters of the longest bar.
const BAR: f64 = 40.0;

pub fn percentiles(answer: &Value) -> String {
    let columns = [
        Column::of("LCORE", lcore),
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
    table(&columns, rows(answer))
}

pub fn with_buckets(answer: &Value) -> String {
    let mut text = percentiles(answer);
    for row in rows(answer) {
        if !items(row, "buckets").is_empty() {
            text += &histogram(row);
        }
    }
    text
}

fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    items(answer, "total").iter().chain(items(answer, "lcores"))
}

/// One line a bucket that counted any. The buckets grow with the latency, 64 to a doubling.
fn histogram(row: &Value) -> String {
    let count = |bucket: &Value| bucket.get("count").and_then(Value::as_u64).unwrap_or(0);
    let buckets = items(row, "buckets");
    let most = buckets.iter().map(count).max().unwrap_or(0).max(1) as f64;
    let all: f64 = buckets.iter().map(|bucket| count(bucket) as f64).sum();
    let mut below = 0.0;
    let lines: Vec<Value> = buckets
        .iter()
        .map(|bucket| {
            let packets = count(bucket) as f64;
            below += packets;
            let mut line = bucket.clone();
            line["share"] = format!("{:.4} %", packets / all * 100.0).into();
            line["below"] = format!("{:.4} %", below / all * 100.0).into();
            line["bar"] = "#".repeat((packets / most * BAR).ceil() as usize).into();
            line
        })
        .collect();
    let share = |heading, pointer: &'static str| {
        Column::right(heading, move |line| {
            line.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        })
    };
    let columns = [
        time("FROM µs", "/from_ns"),
        time("BELOW", "/to_ns"),
        Column::number("PACKETS", "/count"),
        share("SHARE", "/share"),
        share("SO FAR", "/below"),
        Column::text("", "/bar"),
    ];
    let direction = row.get("direction").and_then(Value::as_str).unwrap_or("-");
    let packets = grouped(row.get("count").and_then(Value::as_i64).unwrap_or(0));
    let title = match row.get("lcore").and_then(Value::as_u64) {
        Some(lcore) => format!("{direction}, lcore {lcore}"),
        None => format!("{direction}, all lcores"),
    };
    format!("\n{title}: {packets} packets\n{}", table(&columns, &lines))
}

fn lcore(row: &Value) -> String {
    match row.get("lcore").and_then(Value::as_u64) {
        Some(lcore) => lcore.to_string(),
        None => "all".to_owned(),
    }
}

fn time(heading: &'static str, pointer: &'static str) -> Column {
    Column::right(heading, move |row| {
        match row.pointer(pointer).and_then(Value::as_f64) {
            Some(ns) => format!("{:.3}", ns / 1000.0),
            None => "-".to_owned(),
        }
    })
}
