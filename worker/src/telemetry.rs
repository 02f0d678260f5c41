//! What `dpdk-telemetry.py` shows of us, beside DPDK's own commands:
//!
//! ```text
//! /sluice/latency                        percentiles by direction, over all lcores
//! /sluice/latency,2                      of lcore 2 (its slot in the segment)
//! /sluice/latency_buckets,upstream       packets by latency, eight buckets to a doubling
//! /sluice/latency_buckets,upstream,2     of lcore 2
//! /sluice/lcores                         one line an lcore
//! /sluice/lcores,2                       what lcore 2 counted and measured, stage by stage
//! ```
//!
//! Answers are made on DPDK's telemetry thread from the same shared memory that control reads. An answer has 256 entries at most.

use shm_bridge::Direction;
use shm_bridge::cost::Cost;
use shm_bridge::counters::LcoreCells;
use shm_bridge::latency::{BUCKETS, bounds, quantile};
use shm_bridge::sides::Tables;

use crate::dpdk::{Eal, TelemetryError, TelemetryReply};

/// Of the 64 fine buckets of a doubling so many are one here: 31 doublings of eight fit an answer.
const FINE_A_BUCKET: usize = 8;
const _: () = assert!(BUCKETS / FINE_A_BUCKET <= 256);

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99_9", 0.999),
    ("p99_99", 0.9999),
];

/// Adds our commands, for as long as the process lives.
pub fn register(eal: &Eal, tables: &Tables) -> Result<(), TelemetryError> {
    type Answer = fn(&Tables, &str, &mut TelemetryReply) -> Result<(), String>;
    let commands: [(&str, &str, Answer); 3] = [
        (
            "/sluice/latency",
            "Latency from receive to transmit, percentiles. Takes an lcore's slot, or nothing for all.",
            latency,
        ),
        (
            "/sluice/latency_buckets",
            "Packets by latency. Takes a direction and an lcore's slot, or nothing for all lcores.",
            latency_buckets,
        ),
        (
            "/sluice/lcores",
            "What an lcore counted, and what its stages cost. Takes its slot, or nothing for a list.",
            lcores,
        ),
    ];
    for (command, help, answer) in commands {
        let tables = tables.clone();
        eal.add_telemetry(command, help, move |parameters, reply| {
            if let Err(error) = answer(&tables, parameters, reply) {
                reply.text("error", &error);
            }
        })?;
    }
    Ok(())
}

fn latency(tables: &Tables, parameters: &str, reply: &mut TelemetryReply) -> Result<(), String> {
    let slots = slots(tables, parameters)?;
    for direction in Direction::ALL {
        let (counts, max_ns) = measured(tables, &slots, direction);
        let name = direction.label();
        let packets = counts.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        reply.number(&format!("{name}_packets"), packets);
        for (label, share) in QUANTILES {
            if let Some(ns) = quantile(&counts, max_ns, share) {
                reply.number(&format!("{name}_{label}_ns"), ns);
            }
        }
        if packets != 0 {
            reply.number(&format!("{name}_max_ns"), max_ns);
        }
    }
    Ok(())
}

fn latency_buckets(tables: &Tables, parameters: &str, reply: &mut TelemetryReply) -> Result<(), String> {
    let (name, lcore) = parameters.split_once(',').unwrap_or((parameters, ""));
    let direction = Direction::ALL
        .into_iter()
        .find(|direction| direction.label() == name)
        .ok_or_else(|| format!("{name:?} is no direction: upstream or downstream"))?;
    let (counts, _) = measured(tables, &slots(tables, lcore)?, direction);
    for (number, fine) in counts.chunks(FINE_A_BUCKET).enumerate() {
        let packets = fine.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        if packets != 0 {
            let first = number * FINE_A_BUCKET;
            let (from, to) = (bounds(first).0, bounds(first + fine.len() - 1).1);
            reply.number(&format!("from_{from}_to_below_{to}_ns"), packets);
        }
    }
    Ok(())
}

fn lcores(tables: &Tables, parameters: &str, reply: &mut TelemetryReply) -> Result<(), String> {
    let one = !parameters.is_empty();
    for slot in slots(tables, parameters)? {
        let (Some(cells), Some(cost)) = (tables.lcores.get(slot), tables.costs.get(slot)) else {
            continue;
        };
        let cost = cost.read();
        if one {
            describe(cells, &cost, reply);
        } else {
            let line = format!(
                "lcore {} on CPU {}: rx {}, tx {}, drops {}, {} tsc/packet",
                cells.lcore_id.get(),
                cells.cpu.get(),
                cells.rx.get(),
                cells.tx.get(),
                cells.dropped(),
                per(cells.busy_tsc.get(), taken_in(cells)),
            );
            reply.text(&slot.to_string(), &line);
        }
    }
    Ok(())
}

fn describe(cells: &LcoreCells, cost: &Cost, reply: &mut TelemetryReply) {
    for (name, value) in [
        ("lcore_id", cells.lcore_id.get()),
        ("cpu", cells.cpu.get()),
        ("rx", cells.rx.get()),
        ("handed_in", cells.handed_in.get()),
        ("injected", cells.injected.get()),
        ("originated", cells.originated.get()),
        ("tx", cells.tx.get()),
        ("drops", cells.dropped()),
        ("punts", cells.punted()),
        ("bursts", cells.bursts.get()),
        ("idle_polls", cells.idle_polls.get()),
        ("busy_tsc", cells.busy_tsc.get()),
        ("tsc_hz", cost.tsc_hz),
        ("measure_one_in", cost.one_in),
        ("measured_bursts", cost.bursts),
        ("measured_packets", cost.packets),
    ] {
        reply.number(name, value);
    }
    for (stage, spent) in cost.stages().filter(|(_, spent)| spent.tsc != 0) {
        let label = stage.label();
        reply.number(&format!("{label}_packets"), spent.packets);
        reply.number(&format!("{label}_tsc"), spent.tsc);
        reply.text(&format!("{label}_tsc_per_packet"), &per(spent.tsc, spent.packets));
    }
}

/// The slots asked for: the one named, or all that were used.
fn slots(tables: &Tables, parameter: &str) -> Result<Vec<usize>, String> {
    let used = tables.lcores.used().map(|(slot, _)| slot);
    if parameter.is_empty() {
        return Ok(used.collect());
    }
    let used: Vec<usize> = used.filter(|slot| slot.to_string() == parameter).collect();
    if used.is_empty() {
        return Err(format!("no lcore ran in slot {parameter:?}"));
    }
    Ok(used)
}

/// Buckets of several lcores together, and the largest value.
fn measured(tables: &Tables, slots: &[usize], direction: Direction) -> (Vec<u64>, u64) {
    let mut sum = (vec![0u64; BUCKETS], 0);
    for cells in slots
        .iter()
        .filter_map(|slot| tables.latencies.get(*slot, direction))
    {
        let (counts, max_ns) = cells.read();
        for (sum, count) in sum.0.iter_mut().zip(counts) {
            *sum = sum.wrapping_add(count);
        }
        sum.1 = sum.1.max(max_ns);
    }
    sum
}

/// From ports, from other lcores and from control.
fn taken_in(cells: &LcoreCells) -> u64 {
    [&cells.rx, &cells.handed_in, &cells.injected]
        .iter()
        .fold(0, |sum, counter| sum.wrapping_add(counter.get()))
}

fn per(of: u64, to: u64) -> String {
    if to == 0 {
        return "-".to_owned();
    }
    format!("{:.1}", of as f64 / to as f64)
}
