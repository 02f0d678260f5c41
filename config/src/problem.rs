//! The kinds of problems. Each says what is wrong with the value (`Display`, read after the key) and, where the message
//! does not say it already, what would be right ([`ProblemKind::advice`]).

use crate::identity::TemplateError;
use crate::key_path::KeyPath;
use crate::mac::MacError;
use crate::names::{GardenName, NameError, PoolName, PortName};
use crate::node::SOCKET_PATH_MAX;
use crate::vlan::{VlanError, VlanId};
use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    // The document.
    #[error("syntax error: {message}")]
    Syntax { message: String },
    /// The reader gave up without saying why: a defect of ours, and still an error instead of a panic.
    #[error("the file is incomplete in a way that no key explains; please report it")]
    Incomplete,
    #[error("is no key of this table")]
    UnknownKey {
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("is missing")]
    Missing { expected: &'static str },
    #[error("means nothing here: {reason}")]
    Pointless { reason: &'static str },
    #[error("is {found} where {expected} belongs")]
    WrongType {
        found: &'static str,
        expected: &'static str,
    },

    // One value.
    #[error("is {found}, outside {min}..={max} {unit}")]
    OutOfRange {
        found: String,
        min: u64,
        max: u64,
        unit: &'static str,
    },
    #[error("is {found}, which is no number this file can mean")]
    NumberTooLong { found: String },
    #[error("is {found}, not a power of two")]
    NotAPowerOfTwo { found: u32, above: u32 },
    #[error("is {found:?}, which is none of the choices")]
    NotAChoice {
        found: String,
        nearest: Option<String>,
        allowed: Vec<String>,
    },
    #[error("{0}")]
    Name(#[source] NameError),
    #[error("{0}")]
    Vlan(#[source] VlanError),
    #[error("{0}")]
    Mac(#[source] MacError),
    #[error("{0}")]
    Template(#[from] TemplateError),
    #[error("is a group address; a port needs an address of its own")]
    MacNotUnicast,
    #[error("has {found:#06x}, which is no tag protocol id of an outer tag")]
    NotATpid { found: i128 },
    #[error("is empty: no tagged frame could be received")]
    NoTpids,
    #[error("is {found:?}, which is no IPv4 address")]
    NotAnAddress { found: String },
    #[error("is {found:?}, which is no address with a port")]
    NotASocketAddress { found: String },
    #[error("is {found:?}, which is no IPv4 prefix")]
    NotAPrefix { found: String },
    #[error("is {found:?}, which is no range of IPv4 addresses")]
    NotAnAddressRange { found: String },
    #[error("is {found:?}, which is no list of ports in 1..=65535")]
    NotPorts { found: String },
    #[error("is {found}, whose host bits are not zero")]
    HostBits { found: Ipv4Net, network: Ipv4Net },
    #[error("is {found:?}, neither a mount point nor a choice")]
    NotAMount { found: String },
    #[error("is empty")]
    EmptyPath,
    #[error("contains a NUL character")]
    PathWithNul,
    #[error("makes the socket {path}, {length} bytes long; Unix sockets have at most {SOCKET_PATH_MAX}", path = path.display())]
    SocketPathTooLong { path: PathBuf, length: usize },
    #[error("is {found}: the API has no TLS and must not leave this machine")]
    ListenNotLoopback { found: SocketAddr },
    #[error("is empty: no TCP request could be accepted")]
    NoHosts,

    // Ports.
    #[error("has {found} entries, more than the {max} ports a gateway can have")]
    TooManyPorts { found: usize, max: usize },
    #[error("has no port with role {role:?}")]
    NoPortOfRole { role: &'static str },
    #[error("is {name:?}, which {other} is called already")]
    PortNameTaken { name: PortName, other: KeyPath },
    #[error("is {device:?}, which port {other} uses already")]
    DeviceTaken { device: String, other: PortName },
    #[error("claims line {line} a second time; {other} has it already")]
    LineTaken { line: LineTags, other: KeyPath },
    #[error("gives {tag} a second model; {other} has it already, and there is one for each S-VLAN", tag = s_vlan_or_port(s_vlan))]
    MixedModels { s_vlan: Option<VlanId>, other: KeyPath },
    #[error("is {address}, which is no host's address in {network}")]
    NoHostAddress { address: Ipv4Addr, network: Ipv4Net },
    #[error("is {address}, an address that no host can have")]
    NotUnicast { address: Ipv4Addr },
    #[error("is {address}, outside this port's network {network}: it could not be reached")]
    NextHopOutside { address: Ipv4Addr, network: Ipv4Net },
    #[error("is {address}, this gateway's own address")]
    NextHopIsOurs { address: Ipv4Addr },
    #[error("is a second default route; {other} is one already")]
    SecondDefaultRoute { other: KeyPath },
    #[error("is {prefix}, which {other} routes already")]
    RouteTaken { prefix: Ipv4Net, other: KeyPath },
    #[error("is {network}, which overlaps {other} {theirs}")]
    Overlaps {
        network: Ipv4Net,
        other: KeyPath,
        theirs: Ipv4Net,
    },
    #[error("is /{found}, outside /{min}..=/{max}")]
    PrefixLength { found: u8, min: u8, max: u8 },

    // Pools and DHCP.
    #[error("has {found} entries, more than {max}")]
    TooMany { found: usize, max: usize },
    #[error("is {gateway}, outside the pool's network {network}")]
    GatewayOutside { gateway: Ipv4Addr, network: Ipv4Net },
    #[error("is {range}, not wholly inside the pool's network {network}")]
    ExclusionOutside { range: String, network: Ipv4Net },
    #[error("is longer than the binding: {lease} s against {binding} s")]
    LeaseOverBinding { lease: u64, binding: u64 },
    #[error("leaves no address for subscribers in {network}")]
    PoolEmpty { network: Ipv4Net },
    #[error("is {address}, which pool {pool} could give to a subscriber")]
    AddressAssignable { address: Ipv4Addr, pool: PoolName },
    #[error("is {found:?}, but no such pool exists")]
    UnknownPool {
        found: PoolName,
        nearest: Option<String>,
        known: Vec<PoolName>,
    },

    // Gardens.
    #[error("is {found:?}, but no such garden exists")]
    UnknownGarden {
        found: GardenName,
        nearest: Option<String>,
        known: Vec<GardenName>,
    },
    #[error("does not permit DNS (udp/53) to {server}, which pool {pool} tells its subscribers to use")]
    DnsNotPermitted { server: Ipv4Addr, pool: PoolName },
    #[error("is {destination}: with so wide a destination it is a hole, not a garden")]
    PermitTooWide { destination: Ipv4Net },
    #[error("need {found} rules, more than limits.garden_rules = {limit}")]
    TooManyGardenRules { found: usize, limit: u32 },
    #[error("is {groups}: {sessions} sessions cannot have addresses in so few groups")]
    TooFewGroups { groups: u32, sessions: u32, least: u32 },

    // Subscribers.
    #[error("names a second {what}; a subscriber is known by exactly one")]
    TwoKeys { what: &'static str },
    #[error("is {found:?}, which {other} has already")]
    SubscriberTaken { found: String, other: KeyPath },
    #[error("is {found:?}, but no access port has this name")]
    UnknownPort {
        found: PortName,
        nearest: Option<String>,
        known: Vec<PortName>,
    },
    #[error("can never apply: rule {other:?} above matches everything it does")]
    Shadowed { other: String },
    #[error("is missing although {given} is given")]
    HalfAPair { given: &'static str },
}

/// The tags of one line, for messages: `100.7`, `7` or `untagged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTags {
    pub s_vlan: Option<VlanId>,
    pub c_vlan: Option<VlanId>,
}

impl std::fmt::Display for LineTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.s_vlan, self.c_vlan) {
            (Some(s_vlan), Some(c_vlan)) => write!(f, "{s_vlan}.{c_vlan}"),
            (Some(only), None) | (None, Some(only)) => write!(f, "{only}"),
            (None, None) => f.write_str("untagged"),
        }
    }
}

fn s_vlan_or_port(s_vlan: &Option<VlanId>) -> String {
    s_vlan.map_or("this port".to_owned(), |id| format!("S-VLAN {id}"))
}

impl ProblemKind {
    /// What would be right, where the message does not say it.
    pub fn advice(&self) -> Option<String> {
        use ProblemKind as P;
        Some(match self {
            P::UnknownKey {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            P::UnknownKey { known, .. } if known.is_empty() => "this table has no keys".to_owned(),
            P::UnknownKey { known, .. } => format!("known are {}", listed(known)),
            P::Missing { expected } => format!("add {expected}"),
            P::Pointless { .. } => "remove it".to_owned(),
            P::NotAPowerOfTwo { above, .. } => format!("{} or {above} would be", above / 2),
            P::NotAChoice {
                nearest: Some(nearest),
                allowed,
                ..
            } => {
                format!(
                    "did you mean \"{nearest}\"? Allowed are {}",
                    listed(&quoted(allowed))
                )
            }
            P::NotAChoice { allowed, .. } => format!("allowed are {}", listed(&quoted(allowed))),
            P::Template(TemplateError::UnknownField { .. }) => {
                let fields = crate::identity::IdentityField::ALL.map(|(name, _)| format!("{{{name}}}"));
                format!("fields are {}", listed(&fields))
            }
            P::Template(TemplateError::NotUnique) => {
                "use {circuit_id}, {remote_id} or {ont_serial}, or all of {port}, {s_vlan} and {c_vlan}"
                    .to_owned()
            }
            P::MacNotUnicast => "an address of your own begins with 02, such as 02:00:5e:00:01:01".to_owned(),
            P::NotATpid { .. } | P::NoTpids => "0x88a8, 0x8100 and 0x9100 are allowed".to_owned(),
            P::NotAnAddress { .. } => "write four numbers, such as \"192.0.2.1\"".to_owned(),
            P::NotASocketAddress { .. } => {
                "write \"127.0.0.1:8080\", or \"\" for the Unix socket alone".to_owned()
            }
            P::NotAPrefix { .. } => "write address and prefix length, such as \"192.0.2.0/24\"".to_owned(),
            P::NotAnAddressRange { .. } => {
                "write \"10.0.0.1-10.0.0.9\", one address, or a prefix \"10.0.0.0/28\"".to_owned()
            }
            P::NotPorts { .. } => "write \"80,443,8000-8010\"; for all ports leave the key out".to_owned(),
            P::HostBits { network, .. } => format!("you may mean {network}"),
            P::NotAMount { .. } => {
                "write \"auto\", \"none\" or an absolute path such as \"/dev/hugepages\"".to_owned()
            }
            P::ListenNotLoopback { .. } => {
                "listen on 127.0.0.1 or ::1 and put a TLS proxy in front".to_owned()
            }
            P::NoHosts => "name at least \"localhost\", or switch TCP off with listen = \"\"".to_owned(),
            P::NoPortOfRole { role } => format!("add a [[ports]] table with role = \"{role}\""),
            P::NextHopIsOurs { .. } => "a next hop is the neighbour's address".to_owned(),
            P::ExclusionOutside { .. } | P::GatewayOutside { .. } => {
                "choose addresses of the network, or widen it".to_owned()
            }
            P::LeaseOverBinding { binding, .. } => {
                format!("at most {binding} here, or a longer binding_seconds")
            }
            P::AddressAssignable { pool, .. } => format!("add it to pools.{pool}.exclude"),
            P::UnknownPool { nearest, known, .. } => choose(nearest.as_deref(), known),
            P::UnknownGarden { nearest, known, .. } => choose(nearest.as_deref(), known),
            P::UnknownPort { nearest, known, .. } => choose(nearest.as_deref(), known),
            P::DnsNotPermitted { server, .. } => {
                format!("add a permit with destination = \"{server}/32\", protocol = \"udp\", ports = \"53\"")
            }
            P::PermitTooWide { .. } => "name the servers that are needed, at widest a /8".to_owned(),
            P::TooManyGardenRules { found, .. } => format!("raise limits.garden_rules to {found} at least"),
            P::TooFewGroups { least, .. } => format!("at least {least}"),
            P::TwoKeys { .. } => "keep one and remove the other".to_owned(),
            P::Shadowed { .. } => "move it up or remove it".to_owned(),
            _ => return None,
        })
    }

    /// A short, stable word for this kind, for programs that read our diagnostics.
    pub fn code(&self) -> &'static str {
        use ProblemKind as P;
        match self {
            P::Syntax { .. } => "syntax",
            P::UnknownKey { .. } => "unknown_key",
            P::Missing { .. } | P::HalfAPair { .. } => "missing",
            P::Pointless { .. } => "pointless",
            P::WrongType { .. } => "wrong_type",
            P::OutOfRange { .. }
            | P::NumberTooLong { .. }
            | P::NotAPowerOfTwo { .. }
            | P::PrefixLength { .. } => "out_of_range",
            P::UnknownPool { .. } | P::UnknownGarden { .. } | P::UnknownPort { .. } => "unknown_reference",
            P::Overlaps { .. }
            | P::PortNameTaken { .. }
            | P::DeviceTaken { .. }
            | P::LineTaken { .. }
            | P::MixedModels { .. }
            | P::RouteTaken { .. }
            | P::SecondDefaultRoute { .. }
            | P::SubscriberTaken { .. } => "conflict",
            _ => "bad_value",
        }
    }
}

fn choose<N: std::fmt::Display>(nearest: Option<&str>, known: &[N]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None if known.is_empty() => "none is defined".to_owned(),
        None => format!("known are {}", listed(known)),
    }
}

fn quoted(words: &[String]) -> Vec<String> {
    words.iter().map(|word| format!("\"{word}\"")).collect()
}

/// `a, b, c`; long lists end in the number of the rest.
fn listed<N: std::fmt::Display>(items: &[N]) -> String {
    const SHOWN: usize = 12;
    let mut text = items
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}
