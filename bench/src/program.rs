//! Who is measured, on whose frames.

use shm_bridge::Direction;

use crate::peers::Lookup;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// testpmd io on the file of a direction: no work at all, the floor.
    Io(Direction),
    L3fwd(Lookup),
    Ours(Direction),
}

/// `up` or `down`, as figures are named.
pub fn short(direction: Direction) -> &'static str {
    match direction {
        Direction::Upstream => "up",
        Direction::Downstream => "down",
    }
}

impl Program {
    pub fn name(self) -> String {
        match self {
            Program::L3fwd(_) => self.kind().to_owned(),
            Program::Io(direction) | Program::Ours(direction) => {
                format!("{}.{}", short(direction), self.kind())
            }
        }
    }

    /// Without the direction.
    pub fn kind(self) -> &'static str {
        match self {
            Program::Io(_) => "testpmd-io",
            Program::L3fwd(Lookup::Lpm) => "l3fwd-lpm",
            Program::L3fwd(Lookup::LpmCounters) => "l3fwd-lpm-counters",
            Program::L3fwd(Lookup::Em) => "l3fwd-em",
            Program::Ours(_) => "sluice",
        }
    }

    /// The file it gets: l3fwd routes the plain one.
    pub fn direction(self) -> Direction {
        match self {
            Program::Io(direction) | Program::Ours(direction) => direction,
            Program::L3fwd(_) => Direction::Downstream,
        }
    }
}
