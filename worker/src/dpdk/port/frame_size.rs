//! Room for the longest frame: the IP MTU, and the tags that a frame carries on this port.

use dpdk_sys as sys;

use super::{Capabilities, PortConfig};

/// Destination, source and type of a frame; and one VLAN tag.
const ETHERNET_BYTES: u16 = 14;
const TAG_BYTES: u16 = 4;

/// What to ask the device for.
#[derive(Debug, Clone, Copy)]
pub(super) enum DeviceMtu {
    /// The IP MTU and the tags.
    WithTags(u16),
    /// As much as the driver admits, which is less; the device's own setting is left alone.
    Reduced(u16),
    /// As [`DeviceMtu::Reduced`] for DPDK, and `wanted` for the kernel, whose TAP it is.
    PastDriver { admitted: u16, wanted: u16 },
}

impl DeviceMtu {
    /// `None` where the driver does not even admit the MTU without tags.
    pub(super) fn of(
        info: &sys::rte_eth_dev_info,
        driver: &str,
        config: &PortConfig<'_>,
    ) -> Option<DeviceMtu> {
        let wanted = config.mtu.saturating_add(config.tags * TAG_BYTES);
        match mtu_max(info) {
            max if max >= wanted => Some(DeviceMtu::WithTags(wanted)),
            admitted if admitted >= config.mtu => Some(match driver {
                "net_tap" => DeviceMtu::PastDriver { admitted, wanted },
                _ => DeviceMtu::Reduced(admitted),
            }),
            _ => None,
        }
    }

    pub(super) fn value(self) -> u16 {
        match self {
            DeviceMtu::WithTags(mtu) | DeviceMtu::Reduced(mtu) => mtu,
            DeviceMtu::PastDriver { admitted, .. } => admitted,
        }
    }
}

/// A device that says it takes shorter frames than the port needs: full-size tagged ones may be lost. Worth a warning,
/// no refusal, since some drivers understate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShortage {
    pub declared_bytes: u32,
    pub needed_bytes: u32,
}

impl FrameShortage {
    pub(super) fn of(config: &PortConfig<'_>, able: &Capabilities) -> Option<FrameShortage> {
        let needed_bytes =
            u32::from(ETHERNET_BYTES) + u32::from(config.mtu) + u32::from(config.tags * TAG_BYTES);
        let declared_bytes = able.frame_bytes_max;
        (declared_bytes < needed_bytes).then_some(FrameShortage {
            declared_bytes,
            needed_bytes,
        })
    }
}

/// The largest MTU that ethdev lets pass, computed as it does (eth_dev_validate_mtu in rte_ethdev.c): the longest frame
/// less what the driver adds to the MTU, which is Ethernet and CRC where the driver does not say.
pub(super) fn mtu_max(info: &sys::rte_eth_dev_info) -> u16 {
    const ETHERNET_AND_CRC: u32 = 18;
    let says_overhead = info.max_mtu != u16::MAX && info.max_rx_pktlen > u32::from(info.max_mtu);
    if says_overhead {
        return info.max_mtu;
    }
    let by_frame = info.max_rx_pktlen.saturating_sub(ETHERNET_AND_CRC);
    u16::try_from(by_frame).unwrap_or(u16::MAX).min(info.max_mtu)
}

#[cfg(test)]
mod tests;
