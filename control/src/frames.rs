//! Frames between control and the wire: punted ones are taken apart, injected ones put together.
//!
//! A punted frame is a subscriber's or a neighbour's bytes, copied out of memory that another process writes: nothing about it is
//! believed. What cannot be read is a [`Malformed`] with a name that is counted.

use std::net::Ipv4Addr;

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacket, ArpPacketSlice, EtherType, IpNumber, Ipv4Slice, PacketBuilder,
    UdpSlice,
};
use shm_bridge::PuntReason;
use shm_bridge::ring::About;
use sluice_config::{AccessPort, Config, CorePort, Port, PortRole, Tagging};

use crate::engine::{DhcpIn, Ingress};
use crate::session::{Line, Mac};

/// UDP ports of DHCP (RFC 2131, section 4.1).
pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;
/// TPID of the inner tag, and of a single one where the port does not say otherwise (IEEE 802.1Q).
const C_TAG: u16 = 0x8100;
const ETHERNET_HEADER: usize = 14;
const TAG: usize = 4;
/// Hops a message of ours may take: what RFC 1122 asks for at least.
const TTL: u8 = 64;

/// What a punted frame is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Punted {
    Dhcp(DhcpIn),
    /// A neighbour on a core port said where it is.
    Neighbour {
        port: u16,
        address: Ipv4Addr,
        mac: Mac,
    },
    /// Somebody wants to reach a host of a connected network.
    Wanted {
        port: u16,
        address: Ipv4Addr,
    },
}

/// Why a punted frame is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("unknown_reason")]
    UnknownReason,
    #[error("unknown_port")]
    UnknownPort,
    #[error("truncated")]
    Truncated,
    #[error("bad_tags")]
    BadTags,
    #[error("unknown_line")]
    UnknownLine,
    #[error("not_ipv4")]
    NotIpv4,
    #[error("bad_ip_header")]
    BadIpHeader,
    #[error("fragment")]
    Fragment,
    #[error("not_dhcp")]
    NotDhcp,
    #[error("bad_udp_checksum")]
    BadUdpChecksum,
    #[error("not_arp")]
    NotArp,
    #[error("no_network")]
    NoNetwork,
}

/// A frame that cannot be built: a message or a port that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("port {0} is no access port")]
    NotAccess(u16),
    #[error("port {0} is no core port")]
    NotCore(u16),
    #[error("a payload of {0} bytes does not fit a packet")]
    TooLong(usize),
}

/// Takes a punted frame apart.
pub fn parse(config: &Config, about: &About, frame: &[u8]) -> Result<Punted, Malformed> {
    let reason = PuntReason::from_index(usize::from(about.reason)).ok_or(Malformed::UnknownReason)?;
    let port = config
        .ports
        .get(usize::from(about.port))
        .ok_or(Malformed::UnknownPort)?;
    match (reason, &port.role) {
        (PuntReason::Dhcp | PuntReason::DhcpKnown, PortRole::Access(access)) => {
            let source = Mac(array(frame, 6)?);
            let (tags, packet) = untag(access, frame)?;
            let line = Line {
                port: about.port,
                s_vlan: tags.0,
                c_vlan: tags.1,
            };
            if !has_line(access, &line) {
                return Err(Malformed::UnknownLine);
            }
            dhcp(Ingress::Line { line, mac: source }, packet)
        }
        (PuntReason::DhcpRelayed, PortRole::Core(_)) => dhcp(
            Ingress::Core { port: about.port },
            packet_of(frame, EtherType::IPV4)?,
        ),
        (PuntReason::Arp, PortRole::Core(core)) => {
            neighbour(about.port, core, packet_of(frame, EtherType::ARP)?)
        }
        (PuntReason::Glean, _) => wanted(config, port, frame),
        _ => Err(Malformed::UnknownPort),
    }
}

/// A frame to a host on an access line, with the port's tags, carrying a DHCP message of ours.
pub fn dhcp_to_line(
    port: &Port,
    line: &Line,
    to: Mac,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &[u8],
) -> Result<Vec<u8>, Unsendable> {
    let access = port.access().ok_or(Unsendable::NotAccess(line.port))?;
    let mut frame = udp(port.mac.octets(), to.0, source, destination, CLIENT_PORT, payload)?;
    let outer = access.outer_tpid_tx.ethertype();
    let tags: Vec<u8> = match access.tagging {
        Tagging::QinQ => tag(outer, line.s_vlan)
            .into_iter()
            .chain(tag(C_TAG, line.c_vlan))
            .collect(),
        Tagging::Single => tag(outer, line.c_vlan).into(),
        Tagging::Untagged => Vec::new(),
    };
    frame.splice(12..12, tags);
    Ok(frame)
}

/// A frame to a next hop on a core port, carrying a DHCP message to a relay.
pub fn dhcp_to_relay(
    port: &Port,
    next_hop: Mac,
    source: Ipv4Addr,
    relay: Ipv4Addr,
    destination_port: u16,
    payload: &[u8],
) -> Result<Vec<u8>, Unsendable> {
    udp(
        port.mac.octets(),
        next_hop.0,
        source,
        relay,
        destination_port,
        payload,
    )
}

/// "Who has `target`?", asked on a core port (RFC 826). Broadcast, or to the neighbour known so far when it is only confirmed.
pub fn arp_request(port: &Port, to: Option<Mac>, target: Ipv4Addr) -> Option<Vec<u8>> {
    let core = port.core()?;
    let source = port.mac.octets();
    let packet = ArpPacket::from(ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: source,
        sender_ipv4: core.address.addr().octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    });
    let builder = PacketBuilder::ethernet2(source, to.map_or([0xff; 6], |mac| mac.0)).arp(packet);
    let mut frame = Vec::with_capacity(builder.size());
    builder.write(&mut frame).ok()?;
    Some(frame)
}

fn udp(
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    destination_port: u16,
    payload: &[u8],
) -> Result<Vec<u8>, Unsendable> {
    let builder = PacketBuilder::ethernet2(source_mac, destination_mac)
        .ipv4(source.octets(), destination.octets(), TTL)
        .udp(SERVER_PORT, destination_port);
    let mut frame = Vec::with_capacity(builder.size(payload.len()) + 2 * TAG);
    builder
        .write(&mut frame, payload)
        .map_err(|_| Unsendable::TooLong(payload.len()))?;
    Ok(frame)
}

fn tag(tpid: u16, vlan: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), (vlan & 0xfff).to_be_bytes());
    [a, b, c, d]
}

/// Takes the tags off that the port expects: (S-VLAN, C-VLAN) and the IPv4 packet behind them.
fn untag<'f>(access: &AccessPort, frame: &'f [u8]) -> Result<((u16, u16), &'f [u8]), Malformed> {
    let is_outer = |tpid: u16| {
        access
            .outer_tpids
            .iter()
            .any(|allowed| allowed.ethertype() == tpid)
    };
    let id = |at: usize| Ok(word(frame, at)? & 0xfff);
    let (tags, ethertype_at) = match access.tagging {
        Tagging::QinQ => {
            if !is_outer(word(frame, 12)?) || word(frame, 12 + TAG)? != C_TAG {
                return Err(Malformed::BadTags);
            }
            ((id(14)?, id(14 + TAG)?), 12 + 2 * TAG)
        }
        Tagging::Single => {
            if !is_outer(word(frame, 12)?) {
                return Err(Malformed::BadTags);
            }
            ((0, id(14)?), 12 + TAG)
        }
        // A priority tag is no VLAN tag (IEEE 802.1Q, 6.9).
        Tagging::Untagged if word(frame, 12)? == C_TAG && id(14)? == 0 => ((0, 0), 12 + TAG),
        Tagging::Untagged => ((0, 0), 12),
    };
    if word(frame, ethertype_at)? != EtherType::IPV4.0 {
        return Err(Malformed::NotIpv4);
    }
    Ok((tags, frame.get(ethertype_at + 2..).ok_or(Malformed::Truncated)?))
}

fn has_line(access: &AccessPort, line: &Line) -> bool {
    let vlan = |id: u16| sluice_config::VlanId::new(id).ok();
    // An id that is neither 0 ("no such tag") nor a VLAN's can be no line's.
    let valid = [line.s_vlan, line.c_vlan]
        .iter()
        .all(|id| *id == 0 || vlan(*id).is_some());
    valid && access.line(vlan(line.s_vlan), vlan(line.c_vlan)).is_some()
}

fn dhcp(from: Ingress, packet: &[u8]) -> Result<Punted, Malformed> {
    let ip = Ipv4Slice::from_slice(packet).map_err(|_| Malformed::BadIpHeader)?;
    if ip.is_payload_fragmented() {
        return Err(Malformed::Fragment);
    }
    let payload = ip.payload();
    if payload.ip_number != IpNumber::UDP {
        return Err(Malformed::NotDhcp);
    }
    let udp = UdpSlice::from_slice(payload.payload).map_err(|_| Malformed::Truncated)?;
    if udp.destination_port() != SERVER_PORT {
        return Err(Malformed::NotDhcp);
    }
    let header = ip.header();
    let checksum =
        udp.to_header()
            .calc_checksum_ipv4_raw(header.source(), header.destination(), udp.payload());
    // A sender may leave the checksum out over IPv4 (RFC 768).
    if udp.checksum() != 0 && checksum.ok() != Some(udp.checksum()) {
        return Err(Malformed::BadUdpChecksum);
    }
    Ok(Punted::Dhcp(DhcpIn {
        from,
        source: header.source_addr(),
        destination: header.destination_addr(),
        payload: udp.payload().to_vec(),
    }))
}

fn neighbour(port: u16, core: &CorePort, packet: &[u8]) -> Result<Punted, Malformed> {
    let slice = ArpPacketSlice::from_slice(packet).map_err(|_| Malformed::Truncated)?;
    let arp = ArpEthIpv4Packet::try_from(slice.to_packet()).map_err(|_| Malformed::NotArp)?;
    let address = Ipv4Addr::from(arp.sender_ipv4);
    // A neighbour is of the port's network, is not us, and is one station.
    if !core.address.contains(&address) || address == core.address.addr() {
        return Err(Malformed::NoNetwork);
    }
    if arp.sender_mac[0] & 1 != 0 || arp.sender_mac == [0; 6] {
        return Err(Malformed::NotArp);
    }
    Ok(Punted::Neighbour {
        port,
        address,
        mac: Mac(arp.sender_mac),
    })
}

/// The host that a packet was on its way to, and the core port whose network has it.
fn wanted(config: &Config, port: &Port, frame: &[u8]) -> Result<Punted, Malformed> {
    let packet = match &port.role {
        PortRole::Access(access) => untag(access, frame)?.1,
        PortRole::Core(_) => packet_of(frame, EtherType::IPV4)?,
    };
    let address = Ipv4Addr::from(array::<4>(packet, 16)?);
    let network = config
        .core_ports()
        .find(|(_, _, core)| core.address.contains(&address));
    let (port, ..) = network.ok_or(Malformed::NoNetwork)?;
    Ok(Punted::Wanted { port, address })
}

/// What an untagged frame of this type carries.
fn packet_of(frame: &[u8], ethertype: EtherType) -> Result<&[u8], Malformed> {
    if word(frame, 12)? != ethertype.0 {
        return Err(if ethertype == EtherType::ARP {
            Malformed::NotArp
        } else {
            Malformed::NotIpv4
        });
    }
    frame.get(ETHERNET_HEADER..).ok_or(Malformed::Truncated)
}

fn word(frame: &[u8], at: usize) -> Result<u16, Malformed> {
    Ok(u16::from_be_bytes(array(frame, at)?))
}

fn array<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let bytes = frame.get(at..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or(Malformed::Truncated)
}

#[cfg(test)]
mod tests;
