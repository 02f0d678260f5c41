//! What a device can do, as its driver says.

use std::ffi::CStr;

use dpdk_sys as sys;

use super::hashing;

/// What a device can do, to be asked before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub driver: String,
    pub rx_queues_max: u16,
    pub tx_queues_max: u16,
    /// The longest frame it says it takes. net_af_packet and net_memif say 1518 and take more.
    pub frame_bytes_max: u32,
    /// What of IPv4 it can hash to choose a queue: the source alone, the destination alone, or anything at all.
    pub hashes_source: bool,
    pub hashes_destination: bool,
    pub hashes_ipv4: bool,
    /// Entries of its table from hash to queue; 0 where it has none.
    pub table_entries: u16,
    /// Bytes of its key; 0 where it does not say.
    pub key_bytes: u8,
    /// `None` where the device is on no socket, as virtual ones.
    pub socket: Option<u32>,
}

impl Capabilities {
    /// `id` is a known port, and `info` what its driver said.
    pub(super) fn from_info(id: u16, info: &sys::rte_eth_dev_info) -> Self {
        let hashes = |by: u64| {
            let needed = sys::ETH_RSS_IPV4 | by;
            info.flow_type_rss_offloads & needed == needed
        };
        // SAFETY: a known port; negative where it has no socket.
        let socket = unsafe { sys::rte_eth_dev_socket_id(id) };
        let driver = if info.driver_name.is_null() {
            "unknown".to_owned()
        } else {
            // SAFETY: a driver's name is a NUL-terminated string in its library, which stays loaded.
            unsafe { CStr::from_ptr(info.driver_name) }
                .to_string_lossy()
                .into_owned()
        };
        Capabilities {
            driver,
            rx_queues_max: info.max_rx_queues,
            tx_queues_max: info.max_tx_queues,
            frame_bytes_max: info.max_rx_pktlen,
            hashes_source: hashes(sys::ETH_RSS_L3_SRC_ONLY),
            hashes_destination: hashes(sys::ETH_RSS_L3_DST_ONLY),
            // i40e has no type for all of IPv4.
            hashes_ipv4: info.flow_type_rss_offloads & hashing::FLOWS != 0,
            table_entries: info.reta_size,
            key_bytes: info.hash_key_size,
            socket: u32::try_from(socket).ok(),
        }
    }
}
