//! One scrape: reads shared memory and the engine's figures, and writes them under the names of the list.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::info::Info;
use shm_bridge::cost::{Cost, StageCost};
use shm_bridge::counters::LcoreCells;
use shm_bridge::ports::{LinkState, PortStatus};
use shm_bridge::segment::Role;
use shm_bridge::sides::{Presence, Tables};
use shm_bridge::{Direction, DropReason};
use sluice_config::Config;

use super::Labels;
use super::histogram::Coarse;
use super::list::{self, Metric};
use super::out::Out;
use crate::engine::{PoolView, Statistics};
use crate::rest::lcores::{heartbeat_age_seconds, is_online};
use crate::rest::ports::{PortTraffic, pipeline, status};
use crate::session::Totals;

/// What one scrape reads.
#[derive(Debug)]
pub struct Scrape {
    pub tables: Tables,
    pub presence: Presence,
    pub config: Arc<Config>,
    /// `None`: the engine did not answer.
    pub engine: Option<Box<Statistics>>,
    /// CLOCK_MONOTONIC, ns.
    pub now_ns: u64,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = Out(encoder);
        if let Some(engine) = &self.engine {
            sessions(&mut out, engine)?;
            dhcp(&mut out, engine)?;
            pools(&mut out, &engine.pools)?;
            traffic(&mut out, engine)?;
        }
        self.reasons(&mut out)?;
        self.latency(&mut out)?;
        self.lcores(&mut out)?;
        self.ports(&mut out)?;
        self.processes(&mut out)
    }
}

fn sessions(out: &mut Out<'_>, engine: &Statistics) -> Result<(), Error> {
    let states = engine.sessions.iter();
    out.gauges(
        &list::SESSIONS,
        states.map(|(state, count)| (one("state", state.label()), *count as f64)),
    )?;
    let ages = engine.session_seconds.iter();
    out.gauges(
        &list::SESSION_SECONDS,
        ages.map(|(state, seconds)| (one("state", state.label()), *seconds)),
    )?;
    let results = engine.activations.iter();
    out.counters(
        &list::ACTIVATIONS,
        results.map(|(result, count)| (one("result", result), *count)),
    )?;
    out.gauge(&list::OUTBOX, engine.outbox as f64)
}

fn dhcp(out: &mut Out<'_>, engine: &Statistics) -> Result<(), Error> {
    // The engine counts by pool and type; each metric has one of the two labels.
    let mut by_pool: BTreeMap<&str, u64> = BTreeMap::new();
    let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
    for (pool, kind, count) in &engine.dhcp_requests {
        *by_pool.entry(pool_label(pool)).or_default() += count;
        *by_type.entry(kind).or_default() += count;
    }
    out.counters(
        &list::DHCP_REQUESTS,
        by_pool
            .into_iter()
            .map(|(pool, count)| (one("pool", pool), count)),
    )?;
    out.counters(
        &list::DHCP_RECEIVED,
        by_type
            .into_iter()
            .map(|(kind, count)| (one("type", kind), count)),
    )?;
    let sent = engine.dhcp_replies.iter();
    out.counters(
        &list::DHCP_SENT,
        sent.map(|(kind, count)| (one("type", kind), *count)),
    )?;
    let refused = engine.dhcp_refused.iter();
    out.counters(
        &list::DHCP_REFUSED,
        refused.map(|(reason, count)| (one("reason", reason), *count)),
    )?;
    let noted = engine.dhcp_noted.iter();
    out.counters(
        &list::DHCP_NOTED,
        noted.map(|(kind, count)| (one("kind", kind), *count)),
    )
}

/// An empty label value would be the same as no label.
fn pool_label(pool: &str) -> &str {
    if pool.is_empty() { "none" } else { pool }
}

fn pools(out: &mut Out<'_>, pools: &[PoolView]) -> Result<(), Error> {
    out.gauges(
        &list::POOL_UTILIZATION,
        pools
            .iter()
            .map(|pool| (one("pool", &pool.name), pool.utilization)),
    )?;
    out.gauges(
        &list::POOL_AVAILABLE,
        pools
            .iter()
            .map(|pool| (one("pool", &pool.name), pool.available as f64)),
    )?;
    let uses = pools.iter().flat_map(|pool| {
        let uses = [
            ("bound", pool.bound),
            ("offered", pool.offered),
            ("sticky", pool.sticky),
            ("quarantined", pool.quarantined),
        ];
        uses.map(|(name, count)| (two("pool", &pool.name, "use", name), count as f64))
    });
    out.gauges(&list::POOL_ADDRESSES, uses)
}

fn traffic(out: &mut Out<'_>, engine: &Statistics) -> Result<(), Error> {
    let columns: [Column<Totals, u64>; 3] = [
        (&list::TRAFFIC_BYTES, |totals| totals.bytes),
        (&list::TRAFFIC_PACKETS, |totals| totals.packets),
        (&list::TRAFFIC_POLICED, |totals| totals.policed),
    ];
    for (metric, column) in columns {
        let rows = engine.traffic.iter().flat_map(|(pool, totals)| {
            Direction::ALL.map(|direction| {
                let labels = two("direction", direction.label(), "pool", pool_label(pool));
                (labels, column(&totals[direction as usize]))
            })
        });
        out.counters(metric, rows)?;
    }
    Ok(())
}

impl Scrape {
    fn reasons(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let drops: Vec<(DropReason, u64)> = self.tables.lcores.drops().collect();
        let labelled = |(reason, count): &(DropReason, u64)| (one("reason", reason.label()), *count);
        out.counters(
            &list::GARDEN_DROPS,
            drops
                .iter()
                .filter(|(reason, _)| is_garden(*reason))
                .map(labelled),
        )?;
        out.counters(&list::DROPS, drops.iter().map(labelled))?;
        let punts = self.tables.lcores.punts();
        out.counters(
            &list::PUNTS,
            punts.map(|(reason, count)| (one("reason", reason.label()), count)),
        )
    }

    fn latency(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let mut measured = Vec::new();
        for (lcore, _) in self.tables.lcores.used() {
            for direction in Direction::ALL {
                if let Some(cells) = self.tables.latencies.get(lcore, direction) {
                    let labels = two("lcore", &lcore.to_string(), "direction", direction.label());
                    let (counts, max_ns) = cells.read();
                    measured.push((labels, Coarse::of(&counts, max_ns)));
                }
            }
        }
        out.histograms(&list::LATENCY_SECONDS, &measured)?;
        let largest = measured
            .into_iter()
            .map(|(labels, coarse)| (labels, coarse.max_seconds));
        out.gauges(&list::LATENCY_MAX_SECONDS, largest)
    }

    fn lcores(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let columns: [Column<LcoreCells, u64>; 11] = [
            (&list::LCORE_RX, |lcore| lcore.rx.get()),
            (&list::LCORE_HANDED_IN, |lcore| lcore.handed_in.get()),
            (&list::LCORE_TX, |lcore| lcore.tx.get()),
            (&list::LCORE_INJECTED, |lcore| lcore.injected.get()),
            (&list::LCORE_ORIGINATED, |lcore| lcore.originated.get()),
            (&list::LCORE_DROPS, LcoreCells::dropped),
            (&list::LCORE_PUNTS, LcoreCells::punted),
            (&list::LCORE_LOST, |lcore| lcore.lost_in_flight.get()),
            (&list::LCORE_BURSTS, |lcore| lcore.bursts.get()),
            (&list::LCORE_IDLE, |lcore| lcore.idle_polls.get()),
            (&list::LCORE_BUSY, |lcore| lcore.busy_tsc.get()),
        ];
        let used: Vec<(String, &LcoreCells)> = self
            .tables
            .lcores
            .used()
            .map(|(slot, lcore)| (slot.to_string(), lcore))
            .collect();
        for (metric, column) in columns {
            let rows = used
                .iter()
                .map(|(slot, lcore)| (one("lcore", slot), column(lcore)));
            out.counters(metric, rows)?;
        }
        let forwarded = used.iter().flat_map(|(slot, lcore)| {
            Direction::ALL.map(|direction| {
                let labels = two("lcore", slot, "direction", direction.label());
                (labels, lcore.forwarded[direction as usize].get())
            })
        });
        out.counters(&list::LCORE_FORWARDED, forwarded)?;
        self.costs(out)?;
        let online = used
            .iter()
            .map(|(slot, lcore)| (one("lcore", slot), truth(is_online(lcore))));
        out.gauges(&list::LCORE_ONLINE, online)?;
        let ages = used
            .iter()
            .map(|(slot, lcore)| (one("lcore", slot), heartbeat_age_seconds(lcore, self.now_ns)));
        out.gauges(&list::LCORE_HEARTBEAT, ages)
    }

    fn costs(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let used = self.tables.lcores.used();
        let costs: Vec<(String, Cost)> = used
            .filter_map(|(slot, _)| Some((slot.to_string(), self.tables.costs.get(slot)?.read())))
            .collect();
        let by_stage: [Column<StageCost, u64>; 2] = [
            (&list::LCORE_STAGE_TSC, |stage| stage.tsc),
            (&list::LCORE_STAGE_PACKETS, |stage| stage.packets),
        ];
        for (metric, column) in by_stage {
            let rows = costs.iter().flat_map(|(slot, cost)| {
                cost.stages()
                    .map(|(stage, cost)| (two("lcore", slot, "stage", stage.label()), column(&cost)))
            });
            out.counters(metric, rows)?;
        }
        let measured: [Column<Cost, u64>; 2] = [
            (&list::LCORE_MEASURED_BURSTS, |cost| cost.bursts),
            (&list::LCORE_MEASURED_PACKETS, |cost| cost.packets),
        ];
        for (metric, column) in measured {
            let rows = costs
                .iter()
                .map(|(slot, cost)| (one("lcore", slot), column(cost)));
            out.counters(metric, rows)?;
        }
        let hertz = costs
            .iter()
            .map(|(slot, cost)| (one("lcore", slot), cost.tsc_hz as f64));
        out.gauges(&list::LCORE_TSC_HERTZ, hertz)
    }

    fn ports(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let ports: Vec<(Labels, PortTraffic, PortStatus)> = self
            .config
            .ports
            .iter()
            .enumerate()
            .map(|(index, port)| {
                let labels = one("port", port.name.as_str());
                (labels, pipeline(&self.tables, index), status(&self.tables, index))
            })
            .collect();
        let counted: [Column<PortTraffic, u64>; 4] = [
            (&list::PORT_RX_PACKETS, |traffic| traffic.rx_packets),
            (&list::PORT_RX_BYTES, |traffic| traffic.rx_bytes),
            (&list::PORT_TX_PACKETS, |traffic| traffic.tx_packets),
            (&list::PORT_TX_BYTES, |traffic| traffic.tx_bytes),
        ];
        for (metric, column) in counted {
            out.counters(
                metric,
                ports
                    .iter()
                    .map(|(labels, traffic, _)| (labels.clone(), column(traffic))),
            )?;
        }
        // A device starts anew with its worker, so its counts are no counters.
        let told: [Column<PortStatus, f64>; 7] = [
            (&list::PORT_MISSED, |status| status.rx_missed as f64),
            (&list::PORT_RX_ERRORS, |status| status.rx_errors as f64),
            (&list::PORT_NO_MBUF, |status| status.rx_no_mbuf as f64),
            (&list::PORT_TX_ERRORS, |status| status.tx_errors as f64),
            (&list::PORT_LINK, |status| truth(status.link == LinkState::Up)),
            (&list::PORT_MBUFS, |status| status.mbufs as f64),
            (&list::PORT_MBUFS_FREE, |status| status.mbufs_free as f64),
        ];
        for (metric, column) in told {
            out.gauges(
                metric,
                ports
                    .iter()
                    .map(|(labels, _, status)| (labels.clone(), column(status))),
            )?;
        }
        Ok(())
    }

    fn processes(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let generation = self.tables.worker_generation();
        let up = generation != 0 && self.presence.is_alive(Role::Worker);
        out.gauge(&list::ENGINE_UP, truth(self.engine.is_some()))?;
        out.gauge(&list::WORKER_UP, truth(up))?;
        out.gauge(&list::WORKER_GENERATION, generation as f64)?;
        out.gauge(&list::CONTROL_GENERATION, self.tables.control_generation() as f64)?;
        let build = Info::new(one("version", env!("CARGO_PKG_VERSION")));
        build.encode(out.begin(&list::BUILD_INFO)?)
    }
}

fn is_garden(reason: DropReason) -> bool {
    reason.label().starts_with("garden_")
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn one(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn two(name: &'static str, value: &str, name2: &'static str, value2: &str) -> Labels {
    vec![(name, value.to_owned()), (name2, value2.to_owned())]
}

/// A metric, and what it shows of a `T`.
type Column<'a, T, V> = (&'a Metric, fn(&T) -> V);
