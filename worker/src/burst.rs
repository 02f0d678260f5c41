//! A burst: up to 32 frames of one port, and what the stages have found out about each.
//!
//! A lane is a packet's place in its burst. Stages read what earlier ones wrote in its [`Meta`], write their own part, and
//! end the lane by one [`Verdict`]; a lane that has one is not looked at again.

use arrayvec::ArrayVec;
use shm_bridge::fib::Leaf;
use shm_bridge::session::Policy;
use shm_bridge::{DropReason, PuntReason, SessionIndex};

use crate::counts::Counts;
use crate::frame::Frame;
use crate::ports::Port;
use crate::verdict::{Verdict, Way};
use crate::wire::ipv4::Fragment;

/// Lanes of a burst: 32 headers and what is known about them stay in the first-level cache.
pub const LANES: usize = 32;

/// Tags that the NIC has taken out of a frame, TCIs in host order. Their TPIDs are lost and taken to be the port's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrippedTags {
    #[default]
    None,
    /// The outermost tag only; an inner one is still in the frame.
    One {
        tci: u16,
    },
    Two {
        outer_tci: u16,
        inner_tci: u16,
    },
}

/// Frames of one port that came at one time.
#[derive(Debug)]
pub struct Burst<'a> {
    pub port: Port,
    /// How much of the way is before these frames.
    pub way: Way,
    /// CLOCK_MONOTONIC when they were received. The pipeline reads no clock.
    pub now_ns: u64,
    /// All marks of all lanes that parsed: a stage that looks for one of them need not look at every lane.
    pub marks: Marks,
    lanes: ArrayVec<Lane<'a>, LANES>,
}

impl<'a> Burst<'a> {
    #[inline(always)]
    pub fn new(port: &Port, way: Way, now_ns: u64) -> Burst<'a> {
        Burst {
            port: *port,
            way,
            now_ns,
            marks: Marks::NONE,
            lanes: ArrayVec::new_const(),
        }
    }

    /// Appends a frame; `false` where the burst is full.
    #[inline(always)]
    #[must_use]
    pub fn push(&mut self, frame: Frame<'a>, stripped: StrippedTags) -> bool {
        self.lanes
            .try_push(Lane {
                frame,
                stripped,
                verdict: None,
                meta: Meta::EMPTY,
            })
            .is_ok()
    }

    /// All lanes, in the order they were pushed.
    #[inline(always)]
    pub fn lanes(&self) -> &[Lane<'a>] {
        &self.lanes
    }

    /// The same, to be written to.
    #[inline(always)]
    pub fn lanes_mut(&mut self) -> &mut [Lane<'a>] {
        &mut self.lanes
    }

    /// The lanes that have no verdict yet.
    #[inline(always)]
    pub fn live(&mut self) -> impl Iterator<Item = &mut Lane<'a>> {
        self.lanes.iter_mut().filter(|lane| lane.is_live())
    }

    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// One packet.
#[derive(Debug)]
pub struct Lane<'a> {
    pub frame: Frame<'a>,
    pub stripped: StrippedTags,
    verdict: Option<Verdict>,
    pub meta: Meta,
}

impl Lane<'_> {
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.verdict.is_none()
    }

    /// What became of the packet; after the pipeline every lane has one.
    #[inline(always)]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    #[inline(always)]
    pub fn forward(&mut self, port: u8) {
        self.end(Verdict::Forward { port });
    }

    /// Ends the lane and counts why.
    #[inline(always)]
    pub fn drop(&mut self, reason: DropReason, counts: &mut Counts) {
        counts.drop(reason);
        self.end(Verdict::Drop(reason));
    }

    #[inline(always)]
    pub fn punt(&mut self, reason: PuntReason) {
        self.end(Verdict::Punt(reason));
    }

    #[inline(always)]
    pub fn hand_over(&mut self, slot: u8, way: Way) {
        self.end(Verdict::HandOver { slot, way });
    }

    #[inline(always)]
    fn end(&mut self, verdict: Verdict) {
        debug_assert!(self.verdict.is_none(), "a second verdict: {verdict:?}");
        self.verdict = Some(verdict);
    }
}

/// What the stages know of a packet. Numbers are in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    // From parse.
    /// Where the network header begins, counted from the frame's start.
    pub l3: u8,
    /// Bytes of the IPv4 header.
    pub header_len: u8,
    pub protocol: u8,
    pub ttl: u8,
    /// What later stages must look at more closely; 0 for the common packet.
    pub marks: Marks,
    /// 0 where the frame carries no such tag.
    pub s_vlan: u16,
    pub c_vlan: u16,
    /// Header and payload, bytes; the frame holds that many from `l3` on.
    pub total_len: u16,
    pub fragment: Fragment,
    pub source: u32,
    pub destination: u32,
    /// Source MAC address, in the low 48 bits.
    pub source_mac: u64,

    // From session: whose packet it is; in the downstream half whom it is for.
    pub session: Option<SessionIndex>,
    pub policy: Policy,

    // From fib.
    pub leaf: Leaf,
    /// The next hop's MAC address in the low 48 bits, as the rewrite needs it.
    pub next_mac: u64,
    pub next_port: u8,
    /// Largest IP packet of the next link, bytes.
    pub mtu: u16,
}

impl Meta {
    pub const EMPTY: Meta = Meta {
        l3: 0,
        header_len: 0,
        protocol: 0,
        ttl: 0,
        marks: Marks::NONE,
        s_vlan: 0,
        c_vlan: 0,
        total_len: 0,
        fragment: Fragment(zerocopy::byteorder::network_endian::U16::ZERO),
        source: 0,
        destination: 0,
        source_mac: 0,
        session: None,
        policy: Policy(0),
        leaf: Leaf::None,
        next_mac: 0,
        next_port: 0,
        mtu: 0,
    };
}

/// What sets a packet apart from the common one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    pub const NONE: Marks = Marks(0);
    /// ARP, not IPv4.
    pub const ARP: Marks = Marks(1);
    /// The frame was sent to a group of stations, broadcast or multicast.
    pub const GROUP_FRAME: Marks = Marks(2);
    /// The destination is no host's address.
    pub const NO_HOST: Marks = Marks(4);
    /// UDP to a DHCP port, the port being visible.
    pub const DHCP_PORT: Marks = Marks(8);
    /// IPv4 options.
    pub const OPTIONS: Marks = Marks(16);

    #[inline(always)]
    pub fn any(self) -> bool {
        self.0 != 0
    }

    #[inline(always)]
    pub fn has(self, mark: Marks) -> bool {
        self.0 & mark.0 != 0
    }

    #[inline(always)]
    pub fn set(&mut self, mark: Marks) {
        self.0 |= mark.0;
    }

    /// The mark where `is` holds, else none.
    #[inline(always)]
    pub fn when(self, is: bool) -> Marks {
        Marks(self.0 * u8::from(is))
    }

    #[inline(always)]
    pub fn with(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }
}
