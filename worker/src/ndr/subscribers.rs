//! The sessions of a measurement by rule: session `i` is a line, a MAC address and an IPv4 address.

use std::net::Ipv4Addr;

use sluice_config::IdRanges;

/// Sessions are numbered in 30 bits, in two UDP ports.
pub const SESSIONS_MAX: u32 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    pub s_vlan: u16,
    pub c_vlan: u16,
    pub mac: [u8; 6],
    pub ipv4: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubscriberError {
    #[error(
        "{wanted} sessions: {lines} lines are what these S-VLANs and C-VLANs make, and {SESSIONS_MAX} the most"
    )]
    Lines { wanted: u32, lines: usize },
    #[error("{wanted} sessions from {first}: the address space ends before")]
    Addresses { wanted: u32, first: Ipv4Addr },
}

/// C-VLANs run fastest: session `i` is S-VLAN number `i / C`, C-VLAN number `i % C` of the sets, MAC `02:01` and `i`, address
/// `first + i`.
#[derive(Clone, Debug)]
pub struct Subscribers {
    s_vlans: Vec<u16>,
    c_vlans: Vec<u16>,
    first: u32,
    count: u32,
}

impl Subscribers {
    pub fn new(
        s_vlans: &IdRanges,
        c_vlans: &IdRanges,
        first: Ipv4Addr,
        count: u32,
    ) -> Result<Subscribers, SubscriberError> {
        let lines = s_vlans.len() * c_vlans.len();
        if count == 0 || count > SESSIONS_MAX || count as usize > lines {
            return Err(SubscriberError::Lines { wanted: count, lines });
        }
        if u32::from(first).checked_add(count - 1).is_none() {
            return Err(SubscriberError::Addresses { wanted: count, first });
        }
        Ok(Subscribers {
            s_vlans: s_vlans.iter().map(|id| id.get()).collect(),
            c_vlans: c_vlans.iter().map(|id| id.get()).collect(),
            first: u32::from(first),
            count,
        })
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// `index` is less than the count.
    #[inline]
    pub fn get(&self, index: u32) -> Subscriber {
        let at = index as usize;
        let [a, b, c, d] = index.to_be_bytes();
        Subscriber {
            s_vlan: self.s_vlans[at / self.c_vlans.len()],
            c_vlan: self.c_vlans[at % self.c_vlans.len()],
            mac: [0x02, 0x01, a, b, c, d],
            ipv4: self.first + index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> IdRanges {
        text.parse().unwrap()
    }

    #[test]
    fn c_vlans_run_fastest() {
        let first = Ipv4Addr::new(100, 64, 0, 0);
        let all = Subscribers::new(&ids("100-101"), &ids("1-3,7"), first, 8).unwrap();

        let (last_of_first, first_of_second) = (all.get(3), all.get(4));

        assert_eq!((last_of_first.s_vlan, last_of_first.c_vlan), (100, 7));
        assert_eq!((first_of_second.s_vlan, first_of_second.c_vlan), (101, 1));
        assert_eq!(first_of_second.mac, [2, 1, 0, 0, 0, 4]);
        assert_eq!(first_of_second.ipv4, u32::from(Ipv4Addr::new(100, 64, 0, 4)));
    }

    #[test]
    fn more_sessions_than_lines_or_addresses_are_refused() {
        let first = Ipv4Addr::new(255, 255, 255, 254);

        let lines = Subscribers::new(&ids("1"), &ids("1-3"), first, 4).unwrap_err();
        let addresses = Subscribers::new(&ids("1"), &ids("1-3"), first, 3).unwrap_err();

        assert_eq!(lines, SubscriberError::Lines { wanted: 4, lines: 3 });
        assert_eq!(addresses, SubscriberError::Addresses { wanted: 3, first });
    }
}
