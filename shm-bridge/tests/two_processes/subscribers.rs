//! Who subscriber `n` is: everything about him follows from his number, so that whoever reaches a row can tell whose it is.

use std::net::Ipv4Addr;

use shm_bridge::access::AccessKey;
use shm_bridge::fib::Prefix;
use shm_bridge::layout::Geometry;
use shm_bridge::session::{Policy, Row, RowState, mac_bits};

pub const SUBSCRIBERS: u32 = 120;
/// The first ones keep line and address; they get a new row now and then, and must be found at every moment.
pub const STABLE: u32 = 40;
pub const LCORES: usize = 3;
/// A 1:1 S-VLAN and one with several hosts to a line.
pub const S_VLANS: [u16; 2] = [100, 200];

/// Few spare rows and groups, so that both are used again and again.
pub const GEOMETRY: Geometry = Geometry {
    sessions: 256,
    adjacencies: 16,
    policer_profiles: 16,
    garden_rules: crate::gardens::RULES,
    svlan_blocks: 2,
    tbl8_groups: 96,
    lcores: LCORES as u32,
    ring_slots: 64,
};

/// A subscriber moves between two places: another line of another model, and another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    There,
}

impl Place {
    pub const BOTH: [Place; 2] = [Place::Here, Place::There];

    pub fn other(self) -> Place {
        match self {
            Place::Here => Place::There,
            Place::There => Place::Here,
        }
    }

    /// Where a stable subscriber stays.
    pub fn of_stable(n: u32) -> Place {
        Place::BOTH[n as usize % 2]
    }
}

pub fn mac(n: u32) -> [u8; 6] {
    let [_, _, a, b] = n.to_be_bytes();
    [0x02, 0x19, 0x3e, 0, a, b]
}

/// Two movers share a /24 in each place, so that its group comes and goes.
pub fn address(n: u32, place: Place) -> Ipv4Addr {
    if n < STABLE {
        return Ipv4Addr::new(10, 1, 0, n as u8);
    }
    Ipv4Addr::new(10, 2 + place as u8, (n % 40) as u8, n as u8)
}

pub fn pool() -> Prefix {
    Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 14)
}

pub fn key(n: u32, place: Place) -> AccessKey {
    AccessKey {
        port: 1,
        s_vlan: S_VLANS[place as usize],
        c_vlan: match place {
            Place::Here => n as u16,
            Place::There => (n % 4) as u16,
        },
        mac: mac_bits(mac(n)),
    }
}

/// The garden number says whose the policy word is.
pub fn policy(n: u32, state: RowState) -> Policy {
    Policy::new(state).with_garden(1 + (n % 251) as u8)
}

pub fn row(n: u32, place: Place, generation: u32) -> Row {
    let key = key(n, place);
    let mut row = Row::ipv4(address(n, place), 14, key.port, key.s_vlan, key.c_vlan, mac(n));
    row.policy = policy(n, RowState::Active);
    row.generation = generation;
    row.delegated = u64::from(n);
    row.mtu = 1000 + (generation % 500) as u16;
    row
}

/// Whose row this is and where he was when it was filled; `None` where it is nobody's or a mixture.
pub fn owner(found: &Row) -> Option<(u32, Place)> {
    let n = u32::try_from(found.delegated).ok().filter(|n| *n < SUBSCRIBERS)?;
    if found.policy.garden() != policy(n, RowState::Active).garden() {
        return None;
    }
    Place::BOTH
        .into_iter()
        .map(|place| (n, place))
        .find(|(n, place)| {
            Row {
                policy: found.policy,
                ..row(*n, *place, found.generation)
            } == *found
        })
}
