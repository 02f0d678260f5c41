//! The segment as each process holds it: the tables, its own ends of the rings, and who else is there.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::access::AccessIndex;
use crate::adjacency::Adjacencies;
use crate::cost::Costs;
use crate::counters::Lcores;
use crate::epoch;
use crate::fib::Fib;
use crate::garden::index::{Half, PROFILE_WORDS};
use crate::garden::{Gardens, HALVES};
use crate::intent::IntentCell;
use crate::latency::Latencies;
use crate::layout::{Geometry, Place};
use crate::policer::Profiles;
use crate::ports::PortStatuses;
use crate::ring::{Consumer, Producer, Slot};
use crate::segment::{About, Locks, Mapping, Role, Segment, SegmentConfig, SegmentError};
use crate::session::{Rows, States};
use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Words of the control header.
const EPOCH: usize = 0;
const CONTROL_GENERATION: usize = 1;
const CONTROL_HEARTBEAT: usize = 2;
const INTENT: usize = 8;
// What every packet or burst reads and hardly anything changes shares a line.
const DEFAULT_LEAF: usize = 16;
const LIVE_GARDENS: usize = 17;
/// Words of the worker header.
const WORKER_GENERATION: usize = 0;
const WORKER_STARTED: usize = 1;

/// All tables. Methods that write are for the side whose region the table lies in; the other maps it read-only.
#[derive(Clone, Debug)]
pub struct Tables {
    pub rows: Rows,
    pub states: States,
    pub access: AccessIndex,
    pub fib: Fib,
    pub adjacencies: Adjacencies,
    pub gardens: Gardens,
    pub policers: Profiles,
    pub lcores: Lcores,
    pub latencies: Latencies,
    pub costs: Costs,
    pub ports: PortStatuses,
    control_header: Shared<AtomicU64>,
    worker_header: Shared<AtomicU64>,
}

impl Tables {
    fn new(segment: &Segment) -> Tables {
        let layout = &segment.layout;
        let control = |place: Place| At {
            mapping: &segment.control,
            place,
        };
        let worker = |place: Place| At {
            mapping: &segment.worker,
            place,
        };
        let control_header: Shared<AtomicU64> = control(layout.control_header).table();
        Tables {
            rows: Rows(control(layout.rows).table()),
            states: States(worker(layout.states).table()),
            access: AccessIndex {
                directory: control(layout.directory).table(),
                blocks: control(layout.blocks).table(),
                buckets: control(layout.buckets).table(),
                seed: segment.seed,
            },
            fib: Fib {
                tbl24: control(layout.tbl24).table(),
                tbl8: control(layout.tbl8).table(),
                default: control(layout.control_header).part(DEFAULT_LEAF * 8, 1),
            },
            adjacencies: Adjacencies(control(layout.adjacencies).table()),
            gardens: Gardens {
                live: control(layout.control_header).part(LIVE_GARDENS * 8, 1),
                halves: std::array::from_fn(|half| Half {
                    profiles: control(layout.garden_profiles).part(half * PROFILE_WORDS * 8, PROFILE_WORDS),
                    root: control(layout.garden_root).share(half, HALVES),
                    nodes: control(layout.garden_nodes).share(half, HALVES),
                    lone: control(layout.garden_lone).share(half, HALVES),
                    rules: control(layout.garden_rules).share(half, HALVES),
                }),
            },
            policers: Profiles(control(layout.policers).table()),
            lcores: Lcores(worker(layout.lcores).table()),
            latencies: Latencies(worker(layout.latencies).table()),
            costs: Costs(worker(layout.costs).table()),
            ports: PortStatuses(worker(layout.ports).table()),
            control_header,
            worker_header: worker(layout.worker_header).table(),
        }
    }

    /// The global epoch.
    #[inline(always)]
    pub fn epoch(&self) -> &AtomicU64 {
        &self.control_header[EPOCH]
    }

    /// How often a control process attached.
    pub fn control_generation(&self) -> u64 {
        self.control_header[CONTROL_GENERATION].load(Ordering::Relaxed)
    }

    /// Monotonic ns at which control last showed that it lives.
    pub fn control_heartbeat_ns(&self) -> u64 {
        self.control_header[CONTROL_HEARTBEAT].load(Ordering::Relaxed)
    }

    /// How often a worker process attached.
    pub fn worker_generation(&self) -> u64 {
        self.worker_header[WORKER_GENERATION].load(Ordering::Relaxed)
    }

    /// Monotonic ns at which the present worker attached.
    pub fn worker_started_ns(&self) -> u64 {
        self.worker_header[WORKER_STARTED].load(Ordering::Relaxed)
    }
}

/// A place in a mapping.
struct At<'a> {
    mapping: &'a Arc<Mapping>,
    place: Place,
}

impl At<'_> {
    fn table<T: Cells>(&self) -> Shared<T> {
        Shared::new(self.mapping, self.place.offset, self.place.cells)
    }

    fn part<T: Cells>(&self, byte: usize, cells: usize) -> Shared<T> {
        Shared::new(self.mapping, self.place.offset + byte, cells)
    }

    /// One of several tables of equal size that lie one after another.
    fn share<T: Cells>(&self, number: usize, of: usize) -> Shared<T> {
        let cells = self.place.cells / of;
        self.part(number * cells * self.place.cell_bytes, cells)
    }
}

/// Slots, head and tail of one lcore's ring: the slots and the head lie with the producer, the tail with the consumer.
fn ring_parts(
    segment: &Segment,
    geometry: &Geometry,
    lcore: usize,
    producer: Role,
) -> (Shared<Slot>, Shared<AtomicU64>, Shared<AtomicU64>) {
    let layout = &segment.layout;
    let (near, far) = match producer {
        Role::Worker => (&segment.worker, &segment.control),
        _ => (&segment.control, &segment.worker),
    };
    let (slots, head, tail) = match producer {
        Role::Worker => (layout.punt_slots, layout.punt_heads, layout.punt_tails),
        _ => (layout.inject_slots, layout.inject_heads, layout.inject_tails),
    };
    let count = geometry.ring_slots as usize;
    let line = lcore * 64;
    (
        Shared::new(near, slots.offset + lcore * count * size_of::<Slot>(), count),
        Shared::new(near, head.offset + line, 1),
        Shared::new(far, tail.offset + line, 1),
    )
}

fn producers(segment: &Segment, geometry: &Geometry, role: Role) -> Vec<Producer> {
    (0..geometry.lcores as usize)
        .map(|lcore| {
            let (slots, head, tail) = ring_parts(segment, geometry, lcore, role);
            Producer::new(slots, head, tail)
        })
        .collect()
}

fn consumers(segment: &Segment, geometry: &Geometry, producer: Role) -> Vec<Consumer> {
    (0..geometry.lcores as usize)
        .map(|lcore| {
            let (slots, head, tail) = ring_parts(segment, geometry, lcore, producer);
            Consumer::new(slots, head, tail)
        })
        .collect()
}

/// Control's hold on the segment.
#[derive(Debug)]
pub struct ControlSide {
    pub tables: Tables,
    pub intent: IntentCell,
    /// By lcore slot.
    pub punts: Vec<Consumer>,
    /// By lcore slot.
    pub injects: Vec<Producer>,
    pub about: About,
    presence: Presence,
}

/// Tells whether the other processes live. Cheap enough to ask at every grace period, not for every packet.
#[derive(Clone, Debug)]
pub struct Presence(Arc<Locks>);

impl Presence {
    pub fn is_alive(&self, role: Role) -> bool {
        self.0.is_held(role)
    }
}

impl ControlSide {
    /// Attaches as the one control process.
    pub fn attach(config: &SegmentConfig) -> Result<ControlSide, SegmentError> {
        ControlSide::new(Segment::attach(config, Role::Control)?, &config.geometry)
    }

    fn new(segment: Segment, geometry: &Geometry) -> Result<ControlSide, SegmentError> {
        let tables = Tables::new(&segment);
        let header = &tables.control_header;
        let generation = header[CONTROL_GENERATION].load(Ordering::Relaxed).wrapping_add(1);
        header[CONTROL_GENERATION].store(generation, Ordering::Relaxed);
        if header[EPOCH].load(Ordering::Relaxed) < epoch::FIRST {
            header[EPOCH].store(epoch::FIRST, Ordering::Release);
        }
        let words = At {
            mapping: &segment.control,
            place: segment.layout.control_header,
        };
        Ok(ControlSide {
            intent: IntentCell(words.part(INTENT * 8, 2)),
            punts: consumers(&segment, geometry, Role::Worker),
            injects: producers(&segment, geometry, Role::Control),
            tables,
            about: segment.about,
            presence: Presence(Arc::new(segment.locks)),
        })
    }

    /// Shows that control lives.
    pub fn beat(&self, now_ns: u64) {
        self.tables.control_header[CONTROL_HEARTBEAT].store(now_ns, Ordering::Relaxed);
    }

    pub fn presence(&self) -> Presence {
        self.presence.clone()
    }

    /// Opens a new epoch after something was unlinked.
    pub fn advance_epoch(&self) -> u64 {
        epoch::advance(self.tables.epoch())
    }

    /// Whether no worker can still be reading what was unlinked before `epoch` was opened.
    pub fn epoch_reached(&self, epoch: u64) -> bool {
        epoch::all_reached(epoch, self.tables.lcores.epochs()) || !self.presence.is_alive(Role::Worker)
    }
}

/// The worker's hold on the segment.
#[derive(Debug)]
pub struct WorkerSide {
    pub tables: Tables,
    /// By lcore slot; each is moved to its lcore.
    pub punts: Vec<Producer>,
    /// By lcore slot; each is moved to its lcore.
    pub injects: Vec<Consumer>,
    pub about: About,
    presence: Presence,
}

impl WorkerSide {
    /// Attaches as the one worker process at `now_ns` (monotonic): a new generation begins. The epoch slots of the dead one are
    /// taken offline, and what it had in hand is counted as lost in flight, so that the sum of law 2 holds from here on.
    pub fn attach(config: &SegmentConfig, now_ns: u64) -> Result<WorkerSide, SegmentError> {
        Ok(WorkerSide::new(
            Segment::attach(config, Role::Worker)?,
            &config.geometry,
            now_ns,
        ))
    }

    fn new(segment: Segment, geometry: &Geometry, now_ns: u64) -> WorkerSide {
        let tables = Tables::new(&segment);
        for lcore in tables.lcores.0.iter() {
            lcore.epoch.store(epoch::OFFLINE, Ordering::Release);
        }
        tables.lcores.close_generation();
        let header = &tables.worker_header;
        let generation = header[WORKER_GENERATION]
            .load(Ordering::Relaxed)
            .wrapping_add(1)
            .max(1);
        header[WORKER_GENERATION].store(generation, Ordering::Relaxed);
        header[WORKER_STARTED].store(now_ns, Ordering::Relaxed);
        WorkerSide {
            punts: producers(&segment, geometry, Role::Worker),
            injects: consumers(&segment, geometry, Role::Control),
            tables,
            about: segment.about,
            presence: Presence(Arc::new(segment.locks)),
        }
    }

    pub fn presence(&self) -> Presence {
        self.presence.clone()
    }

    /// This worker's generation, to be set in the block of each lcore it runs (`Counter::set`).
    pub fn generation(&self) -> u64 {
        self.tables.worker_generation()
    }
}

/// A third process's hold: it reads everything and writes nothing.
#[derive(Debug)]
pub struct ObserverSide {
    pub tables: Tables,
    pub path: Option<PathBuf>,
    pub presence: Presence,
}

impl ObserverSide {
    pub fn attach(config: &SegmentConfig) -> Result<ObserverSide, SegmentError> {
        let segment = Segment::attach(config, Role::Observer)?;
        Ok(ObserverSide {
            tables: Tables::new(&segment),
            path: segment.about.path,
            presence: Presence(Arc::new(segment.locks)),
        })
    }
}

/// Both sides of a segment in anonymous memory, in one process: for unit tests and benchmarks. The protections are as between
/// two processes.
pub fn in_memory(geometry: &Geometry) -> Result<(ControlSide, WorkerSide), SegmentError> {
    let file: Arc<File> = Segment::in_memory(geometry)?;
    let control = ControlSide::new(Segment::map_memory(&file, geometry, Role::Control)?, geometry)?;
    let worker = WorkerSide::new(Segment::map_memory(&file, geometry, Role::Worker)?, geometry, 0);
    Ok((control, worker))
}

#[cfg(all(test, not(loom)))]
mod tests;
