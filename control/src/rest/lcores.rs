//! Lcores: their loops and the sum that law 2 asks for.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shm_bridge::counters::LcoreCells;
use shm_bridge::segment::Role;
use shm_bridge::{Direction, epoch};
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

use super::{AppState, monotonic_ns};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LcoreList {
    pub worker: WorkerJson,
    pub lcores: Vec<LcoreJson>,
    /// Over all lcores and worker generations: rx + injected + originated = tx + drops + punts + lost_in_flight + in_hand.
    pub total: Conservation,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerJson {
    /// Whether a worker process holds the segment.
    pub alive: bool,
    /// How often one attached.
    pub generation: u64,
    /// Since the present or last one attached; null when none ever did.
    pub uptime_seconds: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LcoreJson {
    /// Slot in the segment.
    pub lcore: usize,
    /// EAL's number.
    pub lcore_id: u64,
    pub cpu: u64,
    /// The worker generation that ran it last.
    pub generation: u64,
    /// Whether it may be reading tables now; a sleeping one is not.
    pub online: bool,
    /// Since the last turn of its loop.
    pub heartbeat_age_seconds: f64,
    pub bursts: u64,
    pub idle_polls: u64,
    /// TSC ticks of turns that had work.
    pub busy_tsc: u64,
    /// Ticks per packet taken in; null before the first.
    pub tsc_per_packet: Option<f64>,
    /// Packets between access and core, or between subscribers.
    pub forwarded: Forwarded,
    #[serde(flatten)]
    pub packets: Conservation,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Forwarded {
    pub upstream: u64,
    pub downstream: u64,
}

/// What came in and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conservation {
    pub rx: u64,
    pub injected: u64,
    pub originated: u64,
    pub tx: u64,
    pub drops: u64,
    pub punts: u64,
    /// Of worker generations that were killed.
    pub lost_in_flight: u64,
    /// What came in and is not accounted for yet: 0 when nothing is under way.
    pub in_hand: i64,
}

/// All lcores that a worker ever ran.
#[utoipa::path(
    get, path = "/api/v1/lcores", tag = "data plane",
    responses((status = 200, description = "All lcores, the worker and the sum", body = LcoreList))
)]
pub async fn list(State(state): State<AppState>) -> Json<LcoreList> {
    let now = monotonic_ns();
    let tables = &state.tables;
    let lcores: Vec<LcoreJson> = tables
        .lcores
        .used()
        .map(|(slot, cells)| lcore(slot, cells, now))
        .collect();
    Json(LcoreList {
        worker: WorkerJson {
            alive: state.presence.is_alive(Role::Worker) && tables.worker_generation() != 0,
            generation: tables.worker_generation(),
            uptime_seconds: (tables.worker_generation() != 0)
                .then(|| seconds(now.saturating_sub(tables.worker_started_ns()))),
        },
        total: lcores
            .iter()
            .map(|lcore| lcore.packets)
            .fold(Conservation::default(), Conservation::plus),
        lcores,
    })
}

fn lcore(slot: usize, cells: &LcoreCells, now: u64) -> LcoreJson {
    let packets = Conservation::of(cells);
    let taken = packets.rx.wrapping_add(packets.injected);
    LcoreJson {
        lcore: slot,
        lcore_id: cells.lcore_id.get(),
        cpu: cells.cpu.get(),
        generation: cells.generation.get(),
        online: is_online(cells),
        heartbeat_age_seconds: heartbeat_age_seconds(cells, now),
        bursts: cells.bursts.get(),
        idle_polls: cells.idle_polls.get(),
        busy_tsc: cells.busy_tsc.get(),
        tsc_per_packet: (taken != 0).then(|| cells.busy_tsc.get() as f64 / taken as f64),
        forwarded: Forwarded {
            upstream: cells.forwarded[Direction::Upstream as usize].get(),
            downstream: cells.forwarded[Direction::Downstream as usize].get(),
        },
        packets,
    }
}

impl Conservation {
    pub(crate) fn of(cells: &LcoreCells) -> Conservation {
        // What went is read before what came: a burst that ends in between looks as if it were still in hand, and never as if
        // packets had been made from nothing.
        let (tx, drops, punts) = (cells.tx.get(), cells.dropped(), cells.punted());
        let mut counts = Conservation {
            rx: cells.rx.get(),
            injected: cells.injected.get(),
            originated: cells.originated.get(),
            tx,
            drops,
            punts,
            lost_in_flight: cells.lost_in_flight.get(),
            in_hand: 0,
        };
        let came = counts
            .rx
            .wrapping_add(counts.injected)
            .wrapping_add(counts.originated);
        let went = counts
            .tx
            .wrapping_add(counts.drops)
            .wrapping_add(counts.punts)
            .wrapping_add(counts.lost_in_flight);
        counts.in_hand = came.wrapping_sub(went).cast_signed();
        counts
    }

    fn plus(self, other: Conservation) -> Conservation {
        Conservation {
            rx: self.rx.wrapping_add(other.rx),
            injected: self.injected.wrapping_add(other.injected),
            originated: self.originated.wrapping_add(other.originated),
            tx: self.tx.wrapping_add(other.tx),
            drops: self.drops.wrapping_add(other.drops),
            punts: self.punts.wrapping_add(other.punts),
            lost_in_flight: self.lost_in_flight.wrapping_add(other.lost_in_flight),
            in_hand: self.in_hand.wrapping_add(other.in_hand),
        }
    }
}

pub(crate) fn is_online(cells: &LcoreCells) -> bool {
    cells.epoch.load(Ordering::Relaxed) != epoch::OFFLINE
}

pub(crate) fn heartbeat_age_seconds(cells: &LcoreCells, now: u64) -> f64 {
    seconds(now.saturating_sub(cells.heartbeat_ns.get()))
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
