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
use crate::wire::ipv4::{self, Fragment};
use crate::wire::udp;

/// Flows that are remembered, a word each: 32 KiB, of which a garden of a few places touches a few lines.
const FLOWS: usize = 4096;

/// What the garden permitted, of one lcore. In cells: nobody else has it.
pub struct Permitted {
    /// The index that judged.
    version: Cell<u64>,
    flows: Box<[Cell<u64>; FLOWS]>,
}

impl Default for Permitted {
    fn default() -> Permitted {
        Permitted {
            version: Cell::new(0),
            flows: Box::new([const { Cell::new(0) }; FLOWS]),
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
            permitted.forget(version);
        }
        Judge { index, permitted }
    }

    /// Whether the garden of this profile permits a packet of which `head` is the beginning.
    #[inline(always)]
    pub fn permits<const TAGS: usize, const N: usize>(
        &self,
        profile: u8,
        head: &[u8; N],
        total_len: u16,
        (direction, far_address): (Direction, u32),
    ) -> bool {
        let flow = flow::<TAGS, N>(head, total_len, direction, far_address);
        let Some(key) = key(profile, &flow) else {
            return self.judge(profile, &flow);
        };
        let place = place(key);
        self.permitted.flows[place].get() == key || self.judge_and_note(profile, &flow, (key, place))
    }

    #[cold]
    #[inline(never)]
    fn judge(&self, profile: u8, flow: &Flow) -> bool {
        self.index.judge(profile, flow) == Judgement::Permitted
    }

    #[inline(never)]
    fn judge_and_note(&self, profile: u8, flow: &Flow, (key, place): (u64, usize)) -> bool {
        let permits = self.index.judge(profile, flow) == Judgement::Permitted;
        if permits {
            self.permitted.flows[place].set(key);
        }
        permits
    }
}

impl Permitted {
    #[cold]
    fn forget(&self, version: u64) {
        self.flows.iter().for_each(|flow| flow.set(0));
        self.version.set(version);
    }
}

/// A flow in one word, not 0, as no garden has number 0; `None` where it shows no port but could have one.
#[inline(always)]
fn key(profile: u8, flow: &Flow) -> Option<u64> {
    let has_ports = matches!(flow.protocol, ipv4::TCP | ipv4::UDP);
    let port = match flow.far_port {
        Some(port) => port,
        None if has_ports => return None,
        None => 0,
    };
    Some(
        u64::from(flow.far_address)
            | u64::from(port) << 32
            | u64::from(flow.protocol) << 48
            | u64::from(profile) << 56,
    )
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
