//! Gardens: the packets of a burst that a garden judges.
//!
//! A subscriber in a garden talks to few places: the portal, a resolver. What was permitted is remembered ([`Permitted`]), so that a
//! packet like an earlier one costs a comparison; only others are taken through the index. What is refused is not remembered: it goes
//! by the stages, and nobody can fill the memory with it.

use std::cell::Cell;
use std::fmt;

use shm_bridge::Direction;
use shm_bridge::garden::{Flow, Gardens, Index, Judgement};

use super::header::network;
use crate::simd::prefetch::{prefetch, prefetch_at};
use crate::wire::ipv4::{self, Fragment};
use crate::wire::udp;

/// Flows that are remembered, a word each: 128 KiB, of which a garden of a few places touches a few lines. Each has one place, so that of
/// 4,096 flows at once four in five keep theirs.
const FLOWS: usize = 16_384;

/// What the garden permitted, of one lcore. In cells: nobody else has it.
pub struct Permitted {
    /// The index that judged.
    version: Cell<u64>,
    flows: Box<[Cell<u64>; FLOWS]>,
}

/// Made on the heap: the stack of an lcore is not for this.
fn flows() -> Box<[Cell<u64>; FLOWS]> {
    let flows: Box<[Cell<u64>]> = (0..FLOWS).map(|_| Cell::new(0)).collect();
    match flows.try_into() {
        Ok(flows) => flows,
        Err(_) => unreachable!("so many were collected"),
    }
}

impl Default for Permitted {
    fn default() -> Permitted {
        Permitted {
            version: Cell::new(0),
            flows: flows(),
        }
    }
}

impl fmt::Debug for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permitted")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A packet that a garden judges.
#[derive(Clone, Copy)]
pub(super) struct Question {
    profile: u8,
    flow: Flow,
    key: u64,
}

/// The garden's judge for one burst.
#[derive(Clone, Copy)]
pub(super) struct Judge<'t> {
    index: Index<'t>,
    permitted: &'t Permitted,
}

impl<'t> Judge<'t> {
    #[inline(always)]
    pub fn new(gardens: &'t Gardens, permitted: &'t Permitted) -> Judge<'t> {
        let (index, version) = gardens.index_and_version();
        if permitted.version.get() != version {
            permitted.clear();
            permitted.version.set(version);
        }
        Judge { index, permitted }
    }

    /// What is asked about a packet of which `head` is the beginning; and what will be needed to answer is asked for.
    #[inline(always)]
    pub fn ask<const TAGS: usize, const N: usize>(
        &self,
        profile: u8,
        head: &[u8; N],
        total_len: u16,
        (direction, far_address): (Direction, u32),
    ) -> Question {
        let flow = flow::<TAGS, N>(head, total_len, direction, far_address);
        let key = key(profile, &flow);
        prefetch(&self.permitted.flows[place(key)]);
        prefetch_at(self.index.root_cell(far_address));
        Question { profile, flow, key }
    }

    /// Whether the garden permits it.
    #[inline(always)]
    pub fn permits(&self, question: &Question) -> bool {
        let known = &self.permitted.flows[place(question.key)];
        question.key != 0 && known.get() == question.key || self.judge(question, known)
    }

    /// Asks the index, and remembers what it permits.
    #[inline(never)]
    fn judge(&self, question: &Question, known: &Cell<u64>) -> bool {
        let permits = self.index.judge(question.profile, &question.flow) == Judgement::Permitted;
        if permits {
            known.set(question.key);
        }
        permits
    }
}

impl Permitted {
    /// Forgets all: what comes is judged anew.
    #[cold]
    pub fn clear(&self) {
        self.flows.iter().for_each(|flow| flow.set(0));
    }
}

/// A flow in one word. 0, which is no flow's as no garden has number 0, where it shows no port but could have one: that is judged
/// each time.
#[inline(always)]
fn key(profile: u8, flow: &Flow) -> u64 {
    let has_ports = matches!(flow.protocol, ipv4::TCP | ipv4::UDP);
    if has_ports && flow.far_port.is_none() {
        return 0;
    }
    u64::from(flow.far_address)
        | u64::from(flow.far_port.unwrap_or(0)) << 32
        | u64::from(flow.protocol) << 48
        | u64::from(profile) << 56
}

/// Where a flow is remembered: the upper bits of a product depend on all bits of the key.
#[inline(always)]
fn place(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FLOWS.ilog2())) as usize
}

/// What the garden asks of a packet.
#[inline(always)]
fn flow<const TAGS: usize, const N: usize>(
    head: &[u8; N],
    total_len: u16,
    direction: Direction,
    far_address: u32,
) -> Flow {
    let l3 = network(TAGS);
    let protocol = head[l3 + 9];
    let fragment = Fragment([head[l3 + 6], head[l3 + 7]].into());
    let has_ports = matches!(protocol, ipv4::TCP | ipv4::UDP)
        && !fragment.is_later()
        && usize::from(total_len) >= ipv4::HEADER_BYTES + size_of::<udp::Ports>();
    let at = l3
        + ipv4::HEADER_BYTES
        + match direction {
            Direction::Upstream => 2,
            Direction::Downstream => 0,
        };
    Flow {
        far_address,
        protocol,
        far_port: has_ports.then_some(u16::from_be_bytes([head[at], head[at + 1]])),
    }
}
