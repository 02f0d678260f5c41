//! Parse: what kind of packet is this, where are its headers, and are they right?
//!
//! Reads the frame and the tags that the NIC took out of it, writes the parse part of [`Meta`]. Changes no byte.
//!
//! In this order, the first that fails is the reason:
//! 1. Ethernet: whole (`truncated`), from a station (`bad_ethernet`).
//! 2. Tags: those the port expects, neither more nor fewer, the outer TPID one of the port's, the inner 0x8100, ids that name
//!    VLANs (`bad_tags`). A priority tag (id 0) on a port without tags is no VLAN tag (IEEE 802.1Q, 6.9) and is passed over; on a
//!    port with tags it is wrong.
//! 3. What it carries: IPv4 or ARP (`ipv6`, `unknown_ethertype`).
//! 4. To us: the port's address or broadcast (`not_for_us`, `multicast`).
//! 5. The IPv4 header (RFC 1812, 5.2.2): present (`truncated`), version, lengths, options that can be walked
//!    (`bad_ip_header`), checksum (`bad_ip_checksum`); no source route (`source_route`); on the core side a source that a
//!    host can have (`bad_source_address`; on the access side anti-spoof compares it with the session's).
//!
//! The common packet (right tags in the frame, to us, IPv4 without options) is recognised by one conjunction over a header of
//! fixed size; whatever does not fit goes the long way, which finds the reason.

use arrayvec::ArrayVec;
use shm_bridge::DropReason;
use shm_bridge::session::mac_bits;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::burst::{Burst, Lane, Marks, Meta, StrippedTags};
use crate::context::Context;
use crate::ports::{Access, Port, Side, Tagging};
use crate::wire::ethernet::{self, Ethernet};
use crate::wire::ipv4::{self, Ipv4, Options};
use crate::wire::link::{DoubleTagged, Head, SingleTagged, Untagged};
use crate::wire::vlan;
use crate::wire::{checksum, udp};

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let port = burst.port;
    match port.side {
        Side::Core(_) => each(burst, context, |lane| {
            common(lane, &port, |_: &Untagged| Some((0, 0))) && ipv4::is_host(lane.meta.source)
        }),
        Side::Access(access) => match access.tagging {
            Tagging::QinQ => each(burst, context, |lane| {
                common(lane, &port, |link| double(link, &access))
            }),
            Tagging::Single => each(burst, context, |lane| {
                common(lane, &port, |link| single(link, &access))
            }),
            Tagging::Untagged => each(burst, context, |lane| {
                common(lane, &port, |_: &Untagged| Some((0, 0)))
            }),
        },
    }
}

/// Tries the short way for every lane, and the long one where it does not do.
#[inline(always)]
fn each(burst: &mut Burst<'_>, context: &mut Context, short: impl Fn(&mut Lane<'_>) -> bool) {
    let port = burst.port;
    let mut marks = Marks::NONE;
    for lane in burst.live() {
        if !short(lane)
            && let Err(reason) = whole(lane, &port)
        {
            lane.drop(reason, &mut context.counts);
            continue;
        }
        marks = marks.with(lane.meta.marks);
    }
    burst.marks = marks;
}

/// The fixed part of the common packet, with what would be its ports.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Common<L> {
    head: Head<L>,
    ports: udp::Ports,
}

/// What the three link headers have in common.
trait Link: FromBytes + Immutable + KnownLayout + Unaligned {
    fn ethernet(&self) -> &Ethernet;
    /// What follows the tags.
    fn ethertype(&self) -> u16;
}

impl Link for Untagged {
    #[inline(always)]
    fn ethernet(&self) -> &Ethernet {
        &self.ethernet
    }
    #[inline(always)]
    fn ethertype(&self) -> u16 {
        self.ethernet.ethertype.get()
    }
}

impl Link for SingleTagged {
    #[inline(always)]
    fn ethernet(&self) -> &Ethernet {
        &self.ethernet
    }
    #[inline(always)]
    fn ethertype(&self) -> u16 {
        self.ethertype.get()
    }
}

impl Link for DoubleTagged {
    #[inline(always)]
    fn ethernet(&self) -> &Ethernet {
        &self.ethernet
    }
    #[inline(always)]
    fn ethertype(&self) -> u16 {
        self.ethertype.get()
    }
}

/// (S-VLAN, C-VLAN), where the tag is what the port expects.
#[inline(always)]
fn single(link: &SingleTagged, access: &Access) -> Option<(u16, u16)> {
    let c_vlan = vlan::vid(link.tci.get());
    (access.takes(link.ethernet.ethertype.get()) && vlan::is_vlan(c_vlan)).then_some((0, c_vlan))
}

/// (S-VLAN, C-VLAN), where the tags are what the port expects.
#[inline(always)]
fn double(link: &DoubleTagged, access: &Access) -> Option<(u16, u16)> {
    let (s_vlan, c_vlan) = (vlan::vid(link.outer_tci.get()), vlan::vid(link.inner.tci.get()));
    (access.takes(link.ethernet.ethertype.get())
        && link.inner.tpid.get() == vlan::C_TAG
        && vlan::is_vlan(s_vlan)
        && vlan::is_vlan(c_vlan))
    .then_some((s_vlan, c_vlan))
}

/// The short way. `false`, with nothing decided, where the packet is not the common one or not right.
#[inline(always)]
fn common<L: Link>(lane: &mut Lane<'_>, port: &Port, tags: impl Fn(&L) -> Option<(u16, u16)>) -> bool {
    let l3 = size_of::<L>();
    let len = lane.frame.len();
    let Some(common) = lane.frame.header::<Common<L>>(0) else {
        return false;
    };
    let Common {
        head: Head { link, ip },
        ports,
    } = common;
    let Some((s_vlan, c_vlan)) = tags(link) else {
        return false;
    };
    let ethernet = link.ethernet();
    let total_len = ip.total_len.get();
    if lane.stripped != StrippedTags::None
        || ethernet.destination != port.mac
        || !ethernet::is_unicast(ethernet.source)
        || link.ethertype() != ethernet::IPV4
        || ip.version_ihl != ipv4::PLAIN_VERSION_IHL
        || usize::from(total_len) < ipv4::HEADER_BYTES
        || usize::from(total_len) > len - l3
        || checksum::header_sum(zerocopy::transmute_ref!(ip)) != checksum::INTACT
    {
        return false;
    }
    let destination = ip.destination.get();
    let dhcp = ip.protocol == ipv4::UDP
        && is_dhcp(ports.destination.get())
        && !ip.fragment.is_later()
        && usize::from(total_len) >= ipv4::HEADER_BYTES + size_of::<udp::Ports>();
    lane.meta = Meta {
        l3: l3 as u8,
        header_len: ipv4::HEADER_BYTES as u8,
        protocol: ip.protocol,
        ttl: ip.ttl,
        marks: Marks::NO_HOST
            .when(!ipv4::is_host(destination))
            .with(Marks::DHCP_PORT.when(dhcp)),
        s_vlan,
        c_vlan,
        total_len,
        fragment: ip.fragment,
        source: ip.source.get(),
        destination,
        source_mac: mac_bits(ethernet.source),
        ..lane.meta
    };
    true
}

#[inline(always)]
fn is_dhcp(port: u16) -> bool {
    port == udp::DHCP_SERVER || port == udp::DHCP_CLIENT
}

/// The long way: any frame, and the reason where it is not right.
fn whole(lane: &mut Lane<'_>, port: &Port) -> Result<(), DropReason> {
    let frame = &lane.frame;
    let meta = &mut lane.meta;
    let ethernet: &Ethernet = frame.header(0).ok_or(DropReason::Truncated)?;
    if !ethernet::is_unicast(ethernet.source) {
        return Err(DropReason::BadEthernet);
    }
    let tags = Tags::read(lane.stripped, |offset| {
        frame.header(offset).map(|word: &U16| word.get())
    })?;
    (meta.s_vlan, meta.c_vlan) = tags.of_port(port).ok_or(DropReason::BadTags)?;
    meta.l3 = tags.end as u8;
    meta.source_mac = mac_bits(ethernet.source);
    meta.marks = match tags.ethertype {
        ethernet::IPV4 => Marks::NONE,
        ethernet::ARP => Marks::ARP,
        ethernet::IPV6 => return Err(DropReason::Ipv6),
        _ => return Err(DropReason::UnknownEthertype),
    };
    match ethernet.destination {
        mac if mac == port.mac => {}
        ethernet::BROADCAST => meta.marks.set(Marks::GROUP_FRAME),
        mac if ethernet::is_group(mac) => return Err(DropReason::Multicast),
        _ => return Err(DropReason::NotForUs),
    }
    if meta.marks.has(Marks::ARP) {
        return Ok(());
    }
    let packet = frame.bytes().get(tags.end..).ok_or(DropReason::Truncated)?;
    network(packet, port, meta)
}

/// The IPv4 header.
fn network(packet: &[u8], port: &Port, meta: &mut Meta) -> Result<(), DropReason> {
    let (ip, after) = Ipv4::ref_from_prefix(packet).map_err(|_| DropReason::Truncated)?;
    let header_len = ip.header_len();
    if ip.version() != 4 || header_len < ipv4::HEADER_BYTES {
        return Err(DropReason::BadIpHeader);
    }
    let header = packet.get(..header_len).ok_or(DropReason::Truncated)?;
    let total_len = usize::from(ip.total_len.get());
    if total_len < header_len || total_len > packet.len() {
        return Err(DropReason::BadIpHeader);
    }
    if checksum::sum(header) != checksum::INTACT {
        return Err(DropReason::BadIpChecksum);
    }
    let area = after.get(..header_len - ipv4::HEADER_BYTES).unwrap_or_default();
    if !area.is_empty() {
        match ipv4::options(area) {
            Options::Harmless => meta.marks.set(Marks::OPTIONS),
            Options::SourceRoute => return Err(DropReason::SourceRoute),
            Options::Malformed => return Err(DropReason::BadIpHeader),
        }
    }
    let (source, destination) = (ip.source.get(), ip.destination.get());
    if port.core().is_some() && !ipv4::is_host(source) {
        return Err(DropReason::BadSourceAddress);
    }
    if !ipv4::is_host(destination) {
        meta.marks.set(Marks::NO_HOST);
    }
    let payload = packet.get(header_len..total_len).unwrap_or_default();
    if ip.protocol == ipv4::UDP
        && !ip.fragment.is_later()
        && let Ok((ports, _)) = udp::Ports::ref_from_prefix(payload)
        && is_dhcp(ports.destination.get())
    {
        meta.marks.set(Marks::DHCP_PORT);
    }
    meta.header_len = header_len as u8;
    meta.protocol = ip.protocol;
    meta.ttl = ip.ttl;
    meta.total_len = total_len as u16;
    meta.fragment = ip.fragment;
    (meta.source, meta.destination) = (source, destination);
    Ok(())
}

/// The tags of a frame, wherever they are.
struct Tags {
    /// (TPID where it is known, TCI), outermost first.
    tags: ArrayVec<(Option<u16>, u16), 2>,
    /// What follows the tags, and where it begins.
    ethertype: u16,
    end: usize,
}

impl Tags {
    /// The NIC's tags come before those in the frame. More than two are wrong on any port.
    fn read(stripped: StrippedTags, word_at: impl Fn(usize) -> Option<u16>) -> Result<Tags, DropReason> {
        // The EtherType stands where a tag's TPID would.
        let mut end = ethernet::HEADER_BYTES;
        let mut tags = ArrayVec::new();
        match stripped {
            StrippedTags::None => {}
            StrippedTags::One { tci } => tags.push((None, tci)),
            StrippedTags::Two { outer_tci, inner_tci } => tags.extend([(None, outer_tci), (None, inner_tci)]),
        }
        loop {
            let place = end - size_of::<U16>();
            let ethertype = word_at(place).ok_or(DropReason::Truncated)?;
            if !vlan::is_tpid(ethertype) {
                return Ok(Tags { tags, ethertype, end });
            }
            let tci = word_at(end).ok_or(DropReason::Truncated)?;
            tags.try_push((Some(ethertype), tci))
                .map_err(|_| DropReason::BadTags)?;
            end += vlan::TAG_BYTES;
        }
    }

    /// (S-VLAN, C-VLAN) as the port reads these tags.
    fn of_port(&self, port: &Port) -> Option<(u16, u16)> {
        let Side::Access(access) = port.side else {
            return self.untagged();
        };
        let outer = |tpid: &Option<u16>| tpid.is_none_or(|tpid| access.takes(tpid));
        let inner = |tpid: &Option<u16>| tpid.is_none_or(|tpid| tpid == vlan::C_TAG);
        let (s_vlan, c_vlan) = match (access.tagging, self.tags.as_slice()) {
            (Tagging::Untagged, _) => return self.untagged(),
            (Tagging::Single, [(tpid, tci)]) if outer(tpid) => (0, vlan::vid(*tci)),
            (Tagging::QinQ, [(first, s_tci), (second, c_tci)]) if outer(first) && inner(second) => {
                (vlan::vid(*s_tci), vlan::vid(*c_tci))
            }
            _ => return None,
        };
        access.fits(s_vlan, c_vlan).then_some((s_vlan, c_vlan))
    }

    /// No tag, or one that carries only a priority.
    fn untagged(&self) -> Option<(u16, u16)> {
        match self.tags.as_slice() {
            [] => Some((0, 0)),
            [(tpid, tci)] if tpid.is_none_or(|tpid| tpid == vlan::C_TAG) && vlan::vid(*tci) == 0 => {
                Some((0, 0))
            }
            _ => None,
        }
    }
}
