//! What a packet costs, stage by stage: ticks of the time-stamp counter that an lcore spent in the bursts it measured.
//!
//! An lcore measures one burst in so many, by laps: what passed since the last lap belongs to the stage that ended, so the stages'
//! sum is the whole. The cost of reading the counter is taken off each lap. The readings are not fenced, since a fence would change
//! more of what is measured: a boundary is blurred by some dozen ticks a burst. Where the processor holds back what follows a reading, stages
//! overlap less than they do in ordinary bursts, and the sum is larger: by a tenth with seven stages on a Zen 3.
//!
//! Adding a stage is one line here. The names are part of the layout fingerprint.

use crate::counters::Counter;
use crate::shared::{Cells, Shared};
use crate::sync::AtomicU64;

/// Declares the stages with their kind, metric label and meaning, and the tables that follow from it.
macro_rules! stages {
    ($($variant:ident = $kind:ident $label:literal: $meaning:literal,)*) => {
        /// What an lcore does with a burst, in the order in which it does it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Stage { $(#[doc = $meaning] $variant,)* }

        impl Stage {
            /// All stages, in the order of their counters.
            pub const ALL: &'static [Stage] = &[$(Stage::$variant,)*];
            /// Metric labels, in the same order.
            pub const LABELS: &'static [&'static str] = &[$($label,)*];
            const KINDS: &'static [Kind] = &[$(Kind::$kind,)*];
            const MEANINGS: &'static [&'static str] = &[$($meaning,)*];

            /// The label used in metrics, REST and the CLI.
            pub fn label(self) -> &'static str { Self::LABELS[self as usize] }

            /// Whose time it is.
            pub fn kind(self) -> Kind { Self::KINDS[self as usize] }

            /// What is done, in a sentence.
            pub fn meaning(self) -> &'static str { Self::MEANINGS[self as usize] }
        }
    };
}

/// Whose time a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The device driver's.
    Driver,
    /// Ours, for the common packets.
    Express,
    /// Ours, for all others.
    Stage,
    /// Ours, around both.
    Loop,
}

impl Kind {
    pub fn label(self) -> &'static str {
        match self {
            Kind::Driver => "driver",
            Kind::Express => "express",
            Kind::Stage => "stage",
            Kind::Loop => "loop",
        }
    }
}

stages! {
    Receive = Driver "receive": "The loop's turn up to the burst: looking at rings and empty queues, and the driver's receive.",
    ExpressLook = Express "express_look": "Headers of the common packets found and checked, their sessions found and asked for.",
    ExpressGo = Express "express_go": "Common packets judged, policed, counted and rewritten.",
    ExpressGarden = Express "express_garden": "Common packets of gardened sessions, what their garden permits being sent on.",
    Parse = Stage "parse": "Frames put into lanes, headers found and checked.",
    Arp = Stage "arp": "ARP answered.",
    Dhcp = Stage "dhcp": "DHCP recognised and policed on its way to control.",
    Destination = Stage "destination": "Destinations that are no hosts dropped.",
    Owner = Stage "owner": "Packets of other lcores' subscribers set aside.",
    Session = Stage "session": "Sessions found and verified.",
    Antispoof = Stage "antispoof": "Source addresses compared with the session's.",
    Fib = Stage "fib": "Destinations looked up.",
    Local = Stage "local": "Packets to the gateway's own addresses answered.",
    Garden = Stage "garden": "The walled garden's judgement.",
    Police = Stage "police": "The session's rate enforced.",
    NextHop = Stage "next_hop": "Next hops resolved.",
    Limits = Stage "limits": "TTL and MTU enforced.",
    Rewrite = Stage "rewrite": "Headers rewritten for the core.",
    Encap = Stage "encap": "Headers and tags of the subscriber's line put on.",
    Account = Stage "account": "Packets counted in their sessions.",
    Ends = Loop "ends": "Each packet put aside for its port, ring or the pool; punted frames copied into the ring.",
    Transmit = Driver "transmit": "The driver's transmit.",
    HandOver = Loop "hand_over": "Packets given to the lcores that own them, dropped ones to their pool.",
    Count = Loop "count": "Counters written down.",
}

/// Room for stages in the counters; a multiple of four, so that the block is whole cache lines.
pub const STAGE_SLOTS: usize = 32;

/// Packets that a stage had in the bursts measured, and what it took.
#[derive(Debug, Default)]
#[repr(C)]
pub struct StageCells {
    pub packets: Counter,
    pub tsc: Counter,
}

/// What one lcore measured of its bursts; written by it alone.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct CostCells {
    /// One burst in so many is measured, on average; 0 = none.
    pub one_in: Counter,
    /// Ticks a second.
    pub tsc_hz: Counter,
    /// Ticks of reading the counter once, which are taken off each lap.
    pub clock_tsc: Counter,
    /// Bursts measured.
    pub bursts: Counter,
    /// Packets of these bursts.
    pub packets: Counter,
    padding: [AtomicU64; 3],
    stages: [StageCells; STAGE_SLOTS],
}

// SAFETY: words only (Counter is a transparent word); the asserts below prove there is no padding.
#[allow(unsafe_code)]
unsafe impl Cells for CostCells {}

#[cfg(not(loom))]
const _: () = {
    assert!(Stage::ALL.len() <= STAGE_SLOTS);
    assert!(size_of::<CostCells>() == (8 + 2 * STAGE_SLOTS) * 8);
};

impl CostCells {
    #[inline(always)]
    pub fn stage(&self, stage: Stage) -> &StageCells {
        &self.stages[stage as usize]
    }

    /// What was measured so far.
    pub fn read(&self) -> Cost {
        let mut stages = [StageCost::default(); STAGES];
        for (stage, cells) in stages.iter_mut().zip(&self.stages) {
            *stage = StageCost {
                packets: cells.packets.get(),
                tsc: cells.tsc.get(),
            };
        }
        Cost {
            one_in: self.one_in.get(),
            tsc_hz: self.tsc_hz.get(),
            clock_tsc: self.clock_tsc.get(),
            bursts: self.bursts.get(),
            packets: self.packets.get(),
            stages,
        }
    }
}

const STAGES: usize = Stage::ALL.len();

/// [`CostCells`] by value. They come from another process: any number may stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub one_in: u64,
    pub tsc_hz: u64,
    pub clock_tsc: u64,
    pub bursts: u64,
    pub packets: u64,
    stages: [StageCost; STAGES],
}

/// [`StageCells`] by value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCost {
    pub packets: u64,
    pub tsc: u64,
}

impl Cost {
    pub fn stage(&self, stage: Stage) -> StageCost {
        self.stages[stage as usize]
    }

    /// All stages with what they took.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, StageCost)> + '_ {
        Stage::ALL.iter().map(|stage| (*stage, self.stage(*stage)))
    }

    /// Ticks of all stages that `chosen` holds for.
    pub fn tsc(&self, chosen: impl Fn(Stage) -> bool) -> u64 {
        self.stages()
            .filter(|(stage, _)| chosen(*stage))
            .fold(0, |sum, (_, cost)| sum.wrapping_add(cost.tsc))
    }

    /// What was measured after `earlier` was read.
    pub fn since(&self, earlier: &Cost) -> Cost {
        let mut since = self.clone();
        since.bursts = since.bursts.wrapping_sub(earlier.bursts);
        since.packets = since.packets.wrapping_sub(earlier.packets);
        for (stage, earlier) in since.stages.iter_mut().zip(&earlier.stages) {
            stage.packets = stage.packets.wrapping_sub(earlier.packets);
            stage.tsc = stage.tsc.wrapping_sub(earlier.tsc);
        }
        since
    }
}

/// The cost blocks, by slot.
#[derive(Clone, Debug)]
pub struct Costs(pub(crate) Shared<CostCells>);

impl Costs {
    #[inline(always)]
    pub fn get(&self, slot: usize) -> Option<&CostCells> {
        self.0.get(slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_stage_stands_at_its_place_with_a_label_of_its_own() {
        for (index, stage) in Stage::ALL.iter().enumerate() {
            assert_eq!(*stage as usize, index);
            assert!(!Stage::LABELS[..index].contains(&stage.label()), "{stage:?}");
            assert!(stage.meaning().ends_with('.'), "{stage:?}");
        }
    }
}
