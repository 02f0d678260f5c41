//! `[[ports]]`: the two sides of the gateway. An access port faces subscribers, a core port the operator's network.
//!
//! A port's index everywhere else (rows, counters, REST) is its place in this list.

use crate::mac::MacAddr;
use crate::names::{DeviceName, PortName};
use crate::problem::ProblemKind;
use crate::reader::Section;
use crate::value::{Choice, InterfaceAddress};
use crate::vlan::{IdRanges, Tpid, VlanId};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

/// Each port has a directory of S-VLANs in the segment, which is laid out for this many.
pub const PORTS_MAX: usize = 16;

/// Line ranges of one port: as many as there are S-VLANs.
pub const LINES_MAX: usize = 4094;
/// Static routes of one port.
pub const ROUTES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: PortName,
    pub device: DeviceName,
    /// Largest IP packet in octets; tags and Ethernet header come on top.
    pub mtu: u16,
    /// The one address the gateway uses on this port, whatever the device says.
    pub mac: MacAddr,
    /// Receive and transmit queues.
    pub queues: u16,
    pub role: PortRole,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortRole {
    Access(AccessPort),
    Core(CorePort),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPort {
    pub tagging: Tagging,
    /// Outer tag protocol ids accepted on receive; empty on an untagged port. The inner one is always 0x8100.
    pub outer_tpids: Vec<Tpid>,
    /// The outer tag protocol id sent.
    pub outer_tpid_tx: Tpid,
    pub option82: Option82Policy,
    /// The lines that exist; frames of others are dropped as `unknown_line`.
    pub lines: Vec<LineRange>,
}

/// How subscriber frames are tagged on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tagging {
    /// S-VLAN outside, C-VLAN inside (TR-101 section 2.5).
    QinQ,
    /// One tag: the C-VLAN.
    Single,
    Untagged,
}

/// What to make of the relay agent information (RFC 3046) in a subscriber's DHCP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Option82Policy {
    /// The access node inserts it in every packet and strips what subscribers send: it is the identity, and a packet
    /// without it is refused.
    Trusted,
    /// Nothing inserts it: a packet that carries it is refused (RFC 3046 section 2.1), the tags are the identity.
    Untrusted,
    /// Believed where present, the tags are the identity where not. Only for access nodes that strip what subscribers send.
    AbsentOk,
}

/// Lines of one kind: every pair of an S-VLAN and a C-VLAN from the two sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRange {
    /// Empty on single-tagged and untagged ports.
    pub s_vlans: IdRanges,
    /// Empty on untagged ports.
    pub c_vlans: IdRanges,
    pub model: LineModel,
}

/// How many hosts a line has (TR-101 section 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineModel {
    /// One: the tags alone find the session.
    OneToOne,
    /// Several behind the same tags: the source MAC finds the session.
    ManyToOne,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorePort {
    /// The port's own address and its network's length.
    pub address: Ipv4Net,
    /// Next hop of the default route, if it goes through this port.
    pub gateway: Option<Ipv4Addr>,
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub prefix: Ipv4Net,
    pub via: Ipv4Addr,
}

impl Port {
    /// From the smallest datagram every host must take (RFC 791) to a jumbo frame.
    pub const MTU: RangeInclusive<u16> = 576..=9600;
    pub const QUEUES: RangeInclusive<u16> = 1..=64;
    pub const MTU_DEFAULT: u16 = 1500;

    pub fn access(&self) -> Option<&AccessPort> {
        match &self.role {
            PortRole::Access(access) => Some(access),
            PortRole::Core(_) => None,
        }
    }

    pub fn core(&self) -> Option<&CorePort> {
        match &self.role {
            PortRole::Core(core) => Some(core),
            PortRole::Access(_) => None,
        }
    }

    pub(crate) fn read_all(root: &Section<'_>) -> Vec<Port> {
        if !root.has("ports") {
            root.missing(
                "ports",
                "[[ports]] tables, at least one with role \"access\" and one with role \"core\"",
            );
        }
        root.sections("ports").iter().filter_map(Port::read).collect()
    }

    fn read(section: &Section<'_>) -> Option<Port> {
        let name = section.required("name", "a name such as \"access0\"");
        let device = section.required(
            "device",
            "a DPDK device name or PCI address, such as \"net_tap0\"",
        );
        let mtu = section
            .number("mtu", Port::MTU, "octets")
            .unwrap_or(Port::MTU_DEFAULT);
        let mac = section.required(
            "mac",
            "an Ethernet address of its own, such as \"02:00:5e:00:01:01\"",
        );
        let queues = section.number("queues", Port::QUEUES, "queues").unwrap_or(1);
        if mac.is_some_and(|mac: MacAddr| !mac.is_unicast()) {
            section.wrong("mac", ProblemKind::MacNotUnicast);
        }
        if !section.has("role") {
            section.missing(
                "role",
                "\"access\" (faces subscribers) or \"core\" (faces the network)",
            );
        }
        let Some(role) = section.choice("role") else {
            // Without the role nobody can say which of the other keys belong here.
            return None;
        };
        let role = match role {
            RoleWord::Access => PortRole::Access(AccessPort::read(section)),
            RoleWord::Core => PortRole::Core(CorePort::read(section)?),
        };
        Some(Port {
            name: name?,
            device: device?,
            mtu,
            mac: mac?,
            queues,
            role,
        })
    }
}

impl AccessPort {
    fn read(section: &Section<'_>) -> AccessPort {
        let tagging = section.choice("tagging").unwrap_or(Tagging::QinQ);
        let (mut outer_tpids, mut outer_tpid_tx) = match tagging {
            Tagging::QinQ => (Tpid::ALL.to_vec(), Tpid::STag),
            Tagging::Single => (vec![Tpid::CTag], Tpid::CTag),
            Tagging::Untagged => (Vec::new(), Tpid::CTag),
        };
        if tagging == Tagging::Untagged {
            section.refuse("outer_tpids", "an untagged port has no tag protocol ids");
            section.refuse("outer_tpid_tx", "an untagged port has no tag protocol ids");
        } else {
            outer_tpids = section.list("outer_tpids").unwrap_or(outer_tpids);
            outer_tpid_tx = section.get_or("outer_tpid_tx", outer_tpid_tx);
            if section.has("outer_tpids") && outer_tpids.is_empty() {
                section.wrong("outer_tpids", ProblemKind::NoTpids);
            }
        }
        let option82 = section.choice("option82").unwrap_or(Option82Policy::Trusted);
        for key in ["address", "gateway", "routes"] {
            section.refuse(key, "it belongs to core ports; this port has role \"access\"");
        }
        let lines = LineRange::read_all(section, tagging);
        section.finish();
        AccessPort {
            tagging,
            outer_tpids,
            outer_tpid_tx,
            option82,
            lines,
        }
    }

    /// The first line range that holds this line; the tags the port does not use are `None`.
    pub fn line(&self, s_vlan: Option<VlanId>, c_vlan: Option<VlanId>) -> Option<&LineRange> {
        self.lines.iter().find(|range| range.contains(s_vlan, c_vlan))
    }
}

impl LineRange {
    pub fn contains(&self, s_vlan: Option<VlanId>, c_vlan: Option<VlanId>) -> bool {
        let holds = |ids: &IdRanges, id: Option<VlanId>| id.map_or(ids.is_empty(), |id| ids.contains(id));
        holds(&self.s_vlans, s_vlan) && holds(&self.c_vlans, c_vlan)
    }

    fn read_all(port: &Section<'_>, tagging: Tagging) -> Vec<LineRange> {
        if !port.has("lines") {
            if tagging == Tagging::Untagged {
                // All hosts of an untagged port share its only line.
                let (s_vlans, c_vlans) = (IdRanges::NONE, IdRanges::NONE);
                return vec![LineRange {
                    s_vlans,
                    c_vlans,
                    model: LineModel::ManyToOne,
                }];
            }
            port.missing(
                "lines",
                "[[ports.lines]] tables with the S-VLANs and C-VLANs whose frames are accepted",
            );
        }
        port.sections("lines")
            .iter()
            .filter_map(|section| LineRange::read(section, tagging))
            .collect()
    }

    fn read(section: &Section<'_>, tagging: Tagging) -> Option<LineRange> {
        let s_vlans = match tagging {
            Tagging::QinQ => section.required("s_vlans", "S-VLANs such as \"100-109,200\""),
            Tagging::Single | Tagging::Untagged => {
                section.refuse("s_vlans", "only ports with tagging \"qinq\" have S-VLANs");
                Some(IdRanges::NONE)
            }
        };
        let c_vlans = match tagging {
            Tagging::QinQ | Tagging::Single => section.required("c_vlans", "C-VLANs such as \"1-4094\""),
            Tagging::Untagged => {
                section.refuse("c_vlans", "an untagged port has no C-VLANs");
                Some(IdRanges::NONE)
            }
        };
        let model = section.choice("model").unwrap_or(LineModel::OneToOne);
        section.finish();
        Some(LineRange {
            s_vlans: s_vlans?,
            c_vlans: c_vlans?,
            model,
        })
    }
}

impl CorePort {
    fn read(section: &Section<'_>) -> Option<CorePort> {
        let address = section.required("address", "this port's own address such as \"192.0.2.2/24\"");
        let gateway = section.get("gateway");
        let routes = section
            .sections("routes")
            .iter()
            .filter_map(Route::read)
            .collect();
        for key in ["tagging", "outer_tpids", "outer_tpid_tx", "option82", "lines"] {
            section.refuse(key, "it belongs to access ports; this port has role \"core\"");
        }
        section.finish();
        Some(CorePort {
            address: address.map(|InterfaceAddress(address)| address)?,
            gateway,
            routes,
        })
    }
}

impl Route {
    fn read(section: &Section<'_>) -> Option<Route> {
        let prefix = section.required("prefix", "a destination such as \"198.51.100.0/24\"");
        let via = section.required("via", "the next hop's address");
        section.finish();
        Some(Route {
            prefix: prefix?,
            via: via?,
        })
    }
}

#[derive(Clone, Copy)]
enum RoleWord {
    Access,
    Core,
}

impl Choice for RoleWord {
    const WORDS: &'static [(&'static str, RoleWord)] =
        &[("access", RoleWord::Access), ("core", RoleWord::Core)];
}

impl Choice for Tagging {
    const WORDS: &'static [(&'static str, Tagging)] = &[
        ("qinq", Tagging::QinQ),
        ("single", Tagging::Single),
        ("untagged", Tagging::Untagged),
    ];
}

impl Choice for Option82Policy {
    const WORDS: &'static [(&'static str, Option82Policy)] = &[
        ("trusted", Option82Policy::Trusted),
        ("untrusted", Option82Policy::Untrusted),
        ("absent-ok", Option82Policy::AbsentOk),
    ];
}

impl Choice for LineModel {
    const WORDS: &'static [(&'static str, LineModel)] =
        &[("1:1", LineModel::OneToOne), ("n:1", LineModel::ManyToOne)];
}
