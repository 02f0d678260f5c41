//! Lcores: their loops, what a packet costs them stage by stage, how much more they could take, and the sum that law 2 asks for.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shm_bridge::cost::{Cost, Kind, Stage, StageCost};
use shm_bridge::counters::LcoreCells;
use shm_bridge::segment::Role;
use shm_bridge::{Direction, epoch};
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

use super::load::Note;
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
    /// Ticks a second; 0 before the lcore ran.
    pub tsc_hz: u64,
    /// One burst in so many is measured, on average (`worker.measure_one_in`); 0 = none.
    pub measure_one_in: u64,
    /// Ticks of reading the clock, which were taken off each stage of `cost` once a measured burst.
    pub clock_reading_tsc: u64,
    /// What packets cost since the segment was made.
    pub cost: CostJson,
    /// The last seconds; null until control and the worker have run that long.
    pub recent: Option<RecentJson>,
    /// Packets that another lcore received and handed over to this one.
    pub handed_in: u64,
    /// Packets between access and core, or between subscribers.
    pub forwarded: Forwarded,
    #[serde(flatten)]
    pub packets: Conservation,
}

/// What was counted from some seconds ago until now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecentJson {
    /// How many seconds: up to ten.
    pub seconds: f64,
    /// Packets taken in: from ports, from other lcores, from control.
    pub packets_per_second: f64,
    /// Packets a burst, from a port or another lcore; null where there was none.
    pub packets_per_burst: Option<f64>,
    /// Share of the time spent in turns of the loop that had work, 0 to 1. Where other programs run on this CPU, their time in the
    /// middle of such a turn counts too. Null where the worker does not say how fast its clock ticks.
    pub busy_share: Option<f64>,
    /// Ticks of these turns per packet taken in; null where there was none.
    pub tsc_per_packet: Option<f64>,
    /// How many more packets a second this lcore could take, if they were as those of these seconds: what is not busy, at the present ticks
    /// per packet: (1 - busy_share) * tsc_hz / tsc_per_packet. At light load this is too small, since fuller bursts cost less per packet.
    /// Null where there was no packet.
    pub headroom_packets_per_second: Option<f64>,
    /// What these packets cost.
    pub cost: CostJson,
}

/// Ticks by stage, of the bursts that were measured.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CostJson {
    /// Bursts measured, from ports and other lcores, and the packets in them.
    pub bursts: u64,
    pub packets: u64,
    /// Null where none was measured, as all further ones.
    pub packets_per_burst: Option<f64>,
    /// All stages, per packet of these bursts.
    pub tsc_per_packet: Option<f64>,
    /// Of that, the device drivers' receive and transmit, with the loop's turn around the receive.
    pub driver_tsc_per_packet: Option<f64>,
    /// Of that, the gateway's own work.
    pub own_tsc_per_packet: Option<f64>,
    /// In the order in which they run.
    pub stages: Vec<StageJson>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StageJson {
    #[schema(example = "garden")]
    pub stage: String,
    /// Whose time it is: `driver`, `express` (the common packets' way), `stage` (all others'), `loop`.
    #[schema(example = "stage")]
    pub kind: String,
    pub meaning: String,
    /// Packets that came to this stage, in measured bursts.
    pub packets: u64,
    pub tsc: u64,
    /// Per packet that came to this stage: what the feature costs those that need it. Null where none did.
    pub tsc_per_packet: Option<f64>,
    /// Per packet of the bursts, whether it came to this stage or not; summed up over all stages it is what a packet costs.
    pub tsc_per_received_packet: Option<f64>,
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
        .map(|(slot, cells)| lcore(&state, slot, cells, now))
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

fn lcore(state: &AppState, slot: usize, cells: &LcoreCells, now: u64) -> LcoreJson {
    let note = Note::of(&state.tables, slot, cells, now);
    let packets = Conservation::of(cells);
    let busy_tsc = cells.busy_tsc.get();
    LcoreJson {
        lcore: slot,
        lcore_id: cells.lcore_id.get(),
        cpu: cells.cpu.get(),
        generation: cells.generation.get(),
        online: is_online(cells),
        heartbeat_age_seconds: heartbeat_age_seconds(cells, now),
        bursts: cells.bursts.get(),
        idle_polls: cells.idle_polls.get(),
        busy_tsc,
        tsc_per_packet: ratio(busy_tsc, note.taken_in),
        tsc_hz: note.cost.tsc_hz,
        measure_one_in: note.cost.one_in,
        clock_reading_tsc: note.cost.clock_tsc,
        cost: CostJson::of(&note.cost),
        recent: state
            .recent
            .before(slot, &note)
            .map(|before| RecentJson::between(&before, &note)),
        handed_in: cells.handed_in.get(),
        forwarded: Forwarded {
            upstream: cells.forwarded[Direction::Upstream as usize].get(),
            downstream: cells.forwarded[Direction::Downstream as usize].get(),
        },
        packets,
    }
}

impl RecentJson {
    fn between(before: &Note, now: &Note) -> RecentJson {
        let seconds = seconds(now.at_ns.saturating_sub(before.at_ns));
        let taken = now.taken_in.wrapping_sub(before.taken_in);
        let busy_tsc = now.busy_tsc.wrapping_sub(before.busy_tsc);
        let ticks = now.cost.tsc_hz as f64 * seconds;
        let busy_share = (ticks > 0.0).then(|| (busy_tsc as f64 / ticks).min(1.0));
        let tsc_per_packet = ratio(busy_tsc, taken);
        let headroom = busy_share
            .zip(tsc_per_packet)
            .filter(|(_, tsc)| *tsc > 0.0)
            .map(|(busy, tsc)| (1.0 - busy) * now.cost.tsc_hz as f64 / tsc);
        RecentJson {
            seconds,
            packets_per_second: taken as f64 / seconds,
            packets_per_burst: ratio(
                now.of_bursts.wrapping_sub(before.of_bursts),
                now.bursts.wrapping_sub(before.bursts),
            ),
            busy_share,
            tsc_per_packet,
            headroom_packets_per_second: headroom,
            cost: CostJson::of(&now.cost.since(&before.cost)),
        }
    }
}

impl CostJson {
    fn of(cost: &Cost) -> CostJson {
        let per_packet = |tsc| ratio(tsc, cost.packets);
        let is_drivers = |stage: Stage| stage.kind() == Kind::Driver;
        CostJson {
            bursts: cost.bursts,
            packets: cost.packets,
            packets_per_burst: ratio(cost.packets, cost.bursts),
            tsc_per_packet: per_packet(cost.tsc(|_| true)),
            driver_tsc_per_packet: per_packet(cost.tsc(is_drivers)),
            own_tsc_per_packet: per_packet(cost.tsc(|stage| !is_drivers(stage))),
            stages: cost
                .stages()
                .map(|(stage, StageCost { packets, tsc })| StageJson {
                    stage: stage.label().to_owned(),
                    kind: stage.kind().label().to_owned(),
                    meaning: stage.meaning().to_owned(),
                    packets,
                    tsc,
                    tsc_per_packet: ratio(tsc, packets),
                    tsc_per_received_packet: per_packet(tsc),
                })
                .collect(),
        }
    }
}

fn ratio(of: u64, to: u64) -> Option<f64> {
    (to != 0).then(|| of as f64 / to as f64)
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
