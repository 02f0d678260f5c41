//! ICMP errors: what is said to the sender of a packet that could not be forwarded.
//!
//! ```text
//!  before   │ Ethernet, tags │ IPv4 of the sender …                        │
//!  after    │ Ethernet, tags │ IPv4 │ ICMP │ IPv4 of the sender … (cut)    │     28 bytes of headroom are used
//! ```
//!
//! The frame goes back where it came from, on the same tags: from the subscriber's gateway on the access side, from the port's
//! address on the core side. The packet itself counts as dropped, the error as originated. Errors are limited per lcore (RFC
//! 1812, 4.3.2.8); one that is over the limit, or that must not be sent (4.3.2.7), is not made, and the packet is just dropped.

use shm_bridge::DropReason;
use shm_bridge::policer::{Profile, Rate, Time, from_ns};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use crate::answer;
use crate::burst::{Lane, Marks};
use crate::counts::Counts;
use crate::ports::{Port, Ports, Side};
use crate::wire::icmp::{self, Icmp};
use crate::wire::ipv4::{self, Fragment, Ipv4};
use crate::wire::{checksum, ethernet};

/// Errors a second and lcore: enough for traceroutes and path MTU discovery of thousands, too few to amplify a flood.
const ERRORS_PER_SECOND: u64 = 1000;
/// Errors at once: a traceroute sends three probes a hop.
const ERRORS_BURST: u64 = 100;
/// Largest error, bytes of IP (RFC 1812, 4.3.2.3).
const PACKET_BYTES_MAX: usize = 576;
const TTL: u8 = 64;
/// Internetwork control (RFC 1812, 4.3.2.5).
const TOS: u8 = 0xc0;

/// Which error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    NetworkUnreachable,
    HostUnreachable,
    PortUnreachable,
    /// The packet may not be fragmented and the next link bears no more than this (RFC 1191).
    FragmentationNeeded {
        mtu: u16,
    },
    TimeExceeded,
}

impl IcmpError {
    fn header(self) -> Icmp {
        let (kind, code, mtu) = match self {
            IcmpError::NetworkUnreachable => (icmp::UNREACHABLE, 0, 0),
            IcmpError::HostUnreachable => (icmp::UNREACHABLE, 1, 0),
            IcmpError::PortUnreachable => (icmp::UNREACHABLE, 3, 0),
            IcmpError::FragmentationNeeded { mtu } => (icmp::UNREACHABLE, 4, mtu),
            IcmpError::TimeExceeded => (icmp::TIME_EXCEEDED, 0, 0),
        };
        let [high, low] = mtu.to_be_bytes();
        Icmp {
            kind,
            code,
            checksum: [0; 2],
            rest: [0, 0, high, low],
        }
    }
}

/// The limit of one lcore, and the numbering of its errors.
#[derive(Debug)]
pub struct IcmpErrors {
    profile: Profile,
    arrival: Time,
    id: u16,
}

impl Default for IcmpErrors {
    fn default() -> Self {
        IcmpErrors {
            profile: Profile::new(Rate {
                bits_per_second: ERRORS_PER_SECOND * 8,
                burst_bytes: ERRORS_BURST,
            }),
            arrival: 0,
            id: 0,
        }
    }
}

/// What an error is made with: the ports' addresses, and what this lcore keeps about errors.
#[derive(Debug)]
pub struct Refusal<'c> {
    pub ports: &'c Ports,
    pub errors: &'c mut IcmpErrors,
    pub counts: &'c mut Counts,
    /// The port the packet came from.
    pub port: &'c Port,
    pub now_ns: u64,
}

impl Refusal<'_> {
    /// Drops the packet for `reason` and, where that may be done, turns its frame into an error to its sender.
    #[cold]
    pub fn refuse(&mut self, lane: &mut Lane<'_>, reason: DropReason, error: IcmpError) {
        if self.answer(lane, error).is_none() {
            lane.drop(reason, self.counts);
            return;
        }
        self.counts.drop(reason);
        self.counts.originated += 1;
        lane.forward(self.port.index);
    }

    /// Makes the frame the error. `None`, and nothing changed but what is not sent, where no error may be made.
    fn answer(&mut self, lane: &mut Lane<'_>, error: IcmpError) -> Option<()> {
        if !may_be_told(lane) {
            return None;
        }
        let source = match self.port.side {
            Side::Access(_) => self.ports.gateway_of(lane.meta.source)?,
            Side::Core(core) => core.address,
        };
        let now = from_ns(self.now_ns);
        self.errors.arrival = self.errors.profile.conform(self.errors.arrival, now, 1)?;
        self.errors.id = self.errors.id.wrapping_add(1);
        answer::turn_around(lane, self.port)?;
        insert(lane, error, source, self.errors.id)
    }
}

/// Whether the sender may be told (RFC 1812, 4.3.2.7): not about errors, later fragments, and what was sent to or from more
/// than one host.
fn may_be_told(lane: &Lane<'_>) -> bool {
    let meta = &lane.meta;
    if meta.fragment.is_later()
        || meta.marks.has(Marks::GROUP_FRAME)
        || !ipv4::is_host(meta.source)
        || !ipv4::is_host(meta.destination)
    {
        return false;
    }
    if meta.protocol != ipv4::ICMP {
        return true;
    }
    let offset = usize::from(meta.l3) + usize::from(meta.header_len);
    lane.frame
        .header::<Icmp>(offset)
        .is_some_and(|header| !icmp::is_error(header.kind))
}

/// Puts IPv4 and ICMP headers in front of the packet, whose link header is already that of the answer.
fn insert(lane: &mut Lane<'_>, error: IcmpError, source: u32, id: u16) -> Option<()> {
    const ADDED: usize = ipv4::HEADER_BYTES + icmp::HEADER_BYTES;
    let l3 = usize::from(lane.meta.l3);
    let quoted = usize::from(lane.meta.total_len).min(PACKET_BYTES_MAX - ADDED);
    let sender = lane.meta.source;
    let mut link = [0u8; ethernet::HEADER_BYTES + 8];
    let link = link.get_mut(..l3)?;
    link.copy_from_slice(lane.frame.bytes().get(..l3)?);

    if !lane.frame.move_start(-(ADDED as isize)) {
        return None;
    }
    lane.frame.truncate(l3 + ADDED + quoted);
    let (new_link, packet) = lane.frame.bytes_mut().split_at_mut_checked(l3)?;
    new_link.copy_from_slice(link);
    let (ip, rest) = Ipv4::mut_from_prefix(packet).ok()?;
    *ip = Ipv4 {
        version_ihl: ipv4::PLAIN_VERSION_IHL,
        tos: TOS,
        total_len: U16::new((ADDED + quoted) as u16),
        id: U16::new(id),
        fragment: Fragment::default(),
        ttl: TTL,
        protocol: ipv4::ICMP,
        checksum: [0; 2],
        source: U32::new(source),
        destination: U32::new(sender),
    };
    ip.checksum = checksum::field(checksum::sum(ip.as_bytes()));
    let (header, _) = Icmp::mut_from_prefix(&mut *rest).ok()?;
    *header = error.header();
    let sum = checksum::field(checksum::sum(rest));
    let (header, _) = Icmp::mut_from_prefix(rest).ok()?;
    header.checksum = sum;
    Some(())
}
