//! Receive-side scaling: a NIC that chooses the queue by a hash of addresses, with our key and our table.
//!
//! ```text
//!   address ── Toeplitz, key ──► hash ── lowest bits ──► table entry ──► receive queue
//! ```
//!
//! The key is given with the configuration, key and table once more when the port runs, and both are read back: a driver may take a
//! key in either way only, and makes a table of its own at start. What the driver then holds is what the owners are worked out from.

use std::ffi::c_int;
use std::fmt;

use dpdk_sys as sys;

use super::opening::Device;
use super::{Capabilities, PortError, ReceiveSpread};
use crate::dpdk::errno::Errno;

/// The largest table that ethdev can be asked for (RTE_ETH_RSS_RETA_SIZE_512 is the largest that has a name; some have 2048).
const TABLE_ENTRIES_MAX: u16 = 2048;
/// Types of layer 3, with which no driver looks at ports.
const PACKETS: u64 = sys::ETH_RSS_IPV4 | sys::ETH_RSS_FRAG_IPV4 | sys::ETH_RSS_NONFRAG_IPV4_OTHER;
/// All of IPv4. Some drivers (i40e, ice) hash TCP and UDP by these types alone, ports included.
pub(super) const FLOWS: u64 =
    PACKETS | sys::ETH_RSS_NONFRAG_IPV4_TCP | sys::ETH_RSS_NONFRAG_IPV4_UDP | sys::ETH_RSS_NONFRAG_IPV4_SCTP;
const GROUP_ENTRIES: usize = sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// Which addresses of an IPv4 packet are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    Source,
    Destination,
    /// And ports, where the driver will have it so: a flow stays on its queue, which is all that order needs.
    Both,
}

/// How a device is to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashing<'a> {
    pub addresses: Addresses,
    /// As long as the device wants it ([`Capabilities::key_len`]).
    pub key: &'a [u8],
    /// The queue of each entry; repeated up to the size of the device's table, which it must divide.
    pub queues: &'a [u16],
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Addresses::Source => "the IPv4 source address alone",
            Addresses::Destination => "the IPv4 destination address alone",
            Addresses::Both => "IPv4 addresses",
        })
    }
}

impl ReceiveSpread<'_> {
    /// A copy of the key, for as long as the port is open. Empty where there is none.
    pub(super) fn key(&self) -> Box<[u8]> {
        match self {
            ReceiveSpread::Hashed(hashing) => hashing.key.into(),
            ReceiveSpread::None | ReceiveSpread::Arbitrary => Box::default(),
        }
    }
}

impl Capabilities {
    pub fn can_hash(&self, addresses: Addresses) -> bool {
        match addresses {
            Addresses::Source => self.hashes_source,
            Addresses::Destination => self.hashes_destination,
            Addresses::Both => self.hashes_ipv4,
        }
    }

    /// Bytes of the key that the device wants. Forty where it does not say: 320 bits are the key of Microsoft's specification, and net_null's.
    pub fn key_len(&self) -> usize {
        match self.key_bytes {
            0 => 40,
            said => usize::from(said),
        }
    }

    /// Whether its table can repeat one of so many entries.
    pub fn takes_table_of(&self, entries: usize) -> bool {
        let own = usize::from(self.table_entries);
        own >= entries && own <= usize::from(TABLE_ENTRIES_MAX) && own.is_multiple_of(entries)
    }
}

impl Device<'_> {
    /// The fields to hash. For an owner only types of layer 3: with those of TCP and UDP some drivers (mlx5) take the ports in.
    pub(super) fn hash_fields(&self, addresses: Addresses, key: &[u8]) -> sys::rte_eth_rss_conf {
        let (types, only) = match addresses {
            Addresses::Source => (PACKETS, sys::ETH_RSS_L3_SRC_ONLY),
            Addresses::Destination => (PACKETS, sys::ETH_RSS_L3_DST_ONLY),
            Addresses::Both => (FLOWS, 0),
        };
        sys::rte_eth_rss_conf {
            rss_key: key.as_ptr().cast_mut(),
            // A key has at most 255 bytes: Capabilities::key_len.
            rss_key_len: key.len() as u8,
            rss_hf: types & self.info.flow_type_rss_offloads | only,
        }
    }

    /// Gives the started device key and table, and makes sure that it has them.
    pub(super) fn set_hashing(&self, hashing: &Hashing<'_>) -> Result<(), PortError> {
        if self.key(hashing.key.len())?.as_deref() != Some(hashing.key) {
            let mut fields = self.hash_fields(hashing.addresses, hashing.key);
            // SAFETY: a started port; the key is read and copied.
            let code = unsafe { sys::rte_eth_dev_rss_hash_update(self.id, &mut fields) };
            self.call("set the key of its hash", code)?;
            if self.key(hashing.key.len())?.is_some_and(|key| key != hashing.key) {
                return Err(self.not_taken("key of its hash"));
            }
        }

        let entries = usize::from(self.info.reta_size);
        let wanted: Vec<u16> = hashing.queues.iter().copied().cycle().take(entries).collect();
        let mut groups = groups(&wanted);
        // SAFETY: a started port, and as many groups as its table has entries for.
        let code =
            unsafe { sys::rte_eth_dev_rss_reta_update(self.id, groups.as_mut_ptr(), self.info.reta_size) };
        self.call("set the table of its hash", code)?;
        for group in &mut groups {
            group.reta.fill(u16::MAX);
        }
        // SAFETY: as above.
        let code =
            unsafe { sys::rte_eth_dev_rss_reta_query(self.id, groups.as_mut_ptr(), self.info.reta_size) };
        if self.says(code, "read the table of its hash")? {
            let held = groups.iter().flat_map(|group| group.reta).take(entries);
            if !held.eq(wanted) {
                return Err(self.not_taken("table of its hash"));
            }
        }
        Ok(())
    }

    /// The key that the device holds; `None` where its driver does not tell.
    fn key(&self, bytes: usize) -> Result<Option<Vec<u8>>, PortError> {
        // Room for the longest, whatever the driver thinks is asked for.
        let mut key = [0u8; u8::MAX as usize];
        let mut fields = sys::rte_eth_rss_conf {
            rss_key: key.as_mut_ptr(),
            rss_key_len: bytes as u8,
            rss_hf: 0,
        };
        // SAFETY: a known port, and room for the longest key.
        let code = unsafe { sys::rte_eth_dev_rss_hash_conf_get(self.id, &mut fields) };
        let told = self.says(code, "read the key of its hash")?;
        Ok(told.then(|| key.get(..bytes).unwrap_or_default().to_vec()))
    }

    /// Whether the driver answers the question at all.
    fn says(&self, code: c_int, step: &str) -> Result<bool, PortError> {
        if code < 0 && Errno::from_return(code).is_unsupported() {
            return Ok(false);
        }
        self.call(step, code).map(|()| true)
    }

    fn not_taken(&self, what: &'static str) -> PortError {
        PortError::NotTaken {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            what,
        }
    }
}

/// The table as ethdev wants it: groups of 64, each with a mask of the entries that count.
fn groups(queues: &[u16]) -> Vec<sys::rte_eth_rss_reta_entry64> {
    queues
        .chunks(GROUP_ENTRIES)
        .map(|chunk| {
            let mut group = sys::rte_eth_rss_reta_entry64 {
                mask: u64::MAX >> (GROUP_ENTRIES - chunk.len()),
                ..Default::default()
            };
            group.reta[..chunk.len()].copy_from_slice(chunk);
            group
        })
        .collect()
}

#[cfg(test)]
mod tests;
