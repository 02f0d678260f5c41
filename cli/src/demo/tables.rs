//! The final tables.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::closing::Closing;
use super::gateway::Totals;
use super::result::DemoResult;
use crate::output::{grouped, printable};

/// Above this, subscribers are summed up.
const LISTED_MAX: usize = 50;

pub fn render(result: &DemoResult) -> String {
    let closing = &result.closing;
    let mut text = String::new();
    let sections = [
        ("ONTs", onts(closing)),
        ("Pools", pools(closing)),
        ("Traffic (IP bytes)", traffic(closing)),
        ("Drops by reason", drops(closing)),
        ("Latency, rx to tx (µs)", latency(closing)),
        ("Every packet has one verdict", conservation(closing)),
    ];
    for (heading, table) in sections {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n{heading}\n{table}");
    }
    if let (Some(middle), Some(slowest)) = (
        closing
            .command_milliseconds
            .get(closing.command_milliseconds.len() / 2),
        closing.command_milliseconds.last(),
    ) {
        let _ = writeln!(
            text,
            "\n{} REST commands, durable before they were answered: median {middle:.1} ms, slowest {slowest:.1} ms",
            closing.command_milliseconds.len()
        );
    }
    let _ = writeln!(text, "\n{}", verdict(result));
    text
}

fn verdict(result: &DemoResult) -> String {
    let held = grouped_u64(result.expectations_held);
    let seconds = result.closing.seconds;
    if result.ok {
        return format!("ok: all {held} expectations held, {seconds:.1} s");
    }
    let mut text = format!(
        "FAILED: {} of {} expectations did not hold, {seconds:.1} s",
        result.failures.len(),
        grouped_u64(result.expectations_held + result.failures.len() as u64)
    );
    for failure in &result.failures {
        let _ = write!(
            text,
            "\n  {:.3} s  {}: expected {}, saw {}",
            failure.at_seconds,
            printable(&failure.what),
            printable(&failure.expected),
            printable(&failure.seen)
        );
    }
    if let Some(directory) = &result.directory {
        let _ = write!(text, "\nlogs and configuration: {directory}");
    }
    text
}

fn onts(closing: &Closing) -> Table {
    let mut table = table(&["by state", "", "by pool", ""]);
    let states: Vec<_> = closing.onts_by_state.iter().collect();
    let pools: Vec<_> = closing.onts_by_pool.iter().collect();
    for row in 0..states.len().max(pools.len()) {
        let cells = [states.get(row), pools.get(row)]
            .into_iter()
            .flat_map(|entry| match entry {
                Some((name, count)) => [Cell::new(name), number(**count as u64)],
                None => [Cell::new(""), Cell::new("")],
            });
        table.add_row(cells.collect::<Vec<_>>());
    }
    table
}

fn pools(closing: &Closing) -> Table {
    let mut table = table(&["pool", "network", "bound", "sticky", "available", "used"]);
    for pool in &closing.pools {
        table.add_row(vec![
            Cell::new(&pool.name),
            Cell::new(&pool.network),
            number(pool.bound),
            number(pool.sticky),
            number(pool.available),
            right(format!("{:.4} %", pool.utilization * 100.0)),
        ]);
    }
    table
}

fn traffic(closing: &Closing) -> Table {
    let mut table = table(&[
        "ONT",
        "state",
        "address",
        "up pkts",
        "up bytes",
        "policed",
        "down pkts",
        "down bytes",
        "policed",
    ]);
    let listed = &closing.subscribers[..closing.subscribers.len().min(LISTED_MAX)];
    for subscriber in listed {
        let mut row = vec![
            Cell::new(printable(&subscriber.ont_serial)),
            Cell::new(&subscriber.state),
            Cell::new(&subscriber.ip),
        ];
        row.extend(totals(subscriber.traffic.upstream));
        row.extend(totals(subscriber.traffic.downstream));
        table.add_row(row);
    }
    let left_out = closing.subscribers.len() - listed.len();
    if left_out > 0 {
        table.add_row(vec![Cell::new(format!("and {left_out} more"))]);
    }
    let mut row = vec![Cell::new("all"), Cell::new(""), Cell::new("")];
    row.extend(totals(closing.traffic.upstream));
    row.extend(totals(closing.traffic.downstream));
    table.add_row(row);
    table
}

fn totals(totals: Totals) -> [Cell; 3] {
    [totals.packets, totals.bytes, totals.policed].map(number)
}

fn drops(closing: &Closing) -> Table {
    let mut table = table(&["reason", "packets", "meaning"]);
    for drop in &closing.drops {
        table.add_row(vec![
            Cell::new(&drop.reason),
            number(drop.packets),
            Cell::new(&drop.meaning),
        ]);
    }
    table
}

fn latency(closing: &Closing) -> Table {
    let mut table = table(&["direction", "packets", "p50", "p99", "p99.9", "max"]);
    for latency in &closing.latency {
        let mut row = vec![Cell::new(&latency.direction), number(latency.count)];
        let values = [latency.p50_ns, latency.p99_ns, latency.p99_9_ns, latency.max_ns];
        row.extend(values.map(|value| right(microseconds(value))));
        table.add_row(row);
    }
    table
}

fn microseconds(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or_else(|| "-".into(), |value| format!("{:.1}", value as f64 / 1e3))
}

fn conservation(closing: &Closing) -> Table {
    let sum = &closing.conservation;
    let mut table = table(&[
        "rx",
        "injected",
        "originated",
        "=",
        "tx",
        "drops",
        "punts",
        "sums",
    ]);
    table.add_row(vec![
        number(sum.rx),
        number(sum.injected),
        number(sum.originated),
        Cell::new(if sum.came() == sum.went() { "=" } else { "≠" }),
        number(sum.tx),
        number(sum.drops),
        number(sum.punts),
        right(format!(
            "{} = {}",
            grouped_u64(sum.came()),
            grouped_u64(sum.went())
        )),
    ]);
    table
}

fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(headings);
    table
}

fn number(value: u64) -> Cell {
    right(grouped_u64(value))
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn grouped_u64(value: u64) -> String {
    i64::try_from(value).map_or_else(|_| value.to_string(), grouped)
}
