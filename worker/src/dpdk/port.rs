//! A port: an Ethernet device of DPDK, configured, started, and closed with its last queue.

mod tap_mtu;

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::sync::Arc;

use dpdk_sys as sys;

use super::eal::{Eal, EalShared};
use super::errno::Errno;
use super::mempool::Mempool;
use super::queue::{RxQueue, TxQueue};

/// Destination, source and type of a frame; and one VLAN tag.
const ETHERNET_BYTES: u16 = 14;
const TAG_BYTES: u16 = 4;

/// Descriptors a queue, where the driver allows: 1024 is 0.7 ms of 64-byte frames at 1 Gbit/s, 70 µs at 10.
const DESCRIPTORS: u16 = 1024;

#[derive(Debug, Clone, Copy)]
pub struct PortConfig<'a> {
    /// The port's name in our configuration, for errors.
    pub name: &'a str,
    /// DPDK's name of the device: `net_tap0`, `0000:8a:00.0`.
    pub device: &'a str,
    pub rx_queues: u16,
    pub tx_queues: u16,
    /// The IP MTU.
    pub mtu: u16,
    /// The most VLAN tags that a frame carries here; the device is asked to take frames longer by so much.
    pub tags: u16,
    pub promiscuous: Promiscuous,
    pub spread: ReceiveSpread,
}

/// Whether the device hands up frames for other MACs than its own. The BNG's MAC is a virtual one that the device does
/// not have (a TAP shares its own with the kernel), so both roles want `On`; the pipeline checks the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promiscuous {
    On,
    Off,
}

/// How the NIC chooses among several receive queues. A session's direction must come to one queue, so only a hash over
/// the subscriber's address alone will do, and anything else is one queue (and handing over in software).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveSpread {
    /// One receive queue.
    None,
    /// For access ports.
    SourceAddress,
    /// For core ports.
    DestinationAddress,
}

/// What a device can do, to be asked before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub driver: String,
    pub rx_queues_max: u16,
    pub tx_queues_max: u16,
    /// The longest frame it says it takes. net_af_packet and net_memif say 1518 and take more.
    pub frame_bytes_max: u32,
    pub spreads_by_source: bool,
    pub spreads_by_destination: bool,
    /// `None` where the device is on no socket, as virtual ones.
    pub socket: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub up: bool,
    /// 0 where unknown.
    pub megabits_per_second: u32,
}

/// The device's own counts since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// Dropped by the device because no descriptor was free: the worker is too slow.
    pub rx_missed: u64,
    pub rx_errors: u64,
    /// Dropped because the mempool was empty.
    pub rx_no_mbuf: u64,
    pub tx_errors: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(
        "port {port}: no device {device:?} ({}); give EAL its --vdev or -a",
        Present(present)
    )]
    NoDevice {
        port: String,
        device: String,
        present: Vec<String>,
    },
    #[error(
        "port {port} ({device}): {wanted} {direction} queues wanted, the {driver} driver has at most {max}"
    )]
    Queues {
        port: String,
        device: String,
        driver: String,
        direction: &'static str,
        wanted: u16,
        max: u16,
    },
    #[error("port {port} ({device}): MTU {mtu} wanted, the {driver} driver takes at most {max}")]
    Mtu {
        port: String,
        device: String,
        driver: String,
        mtu: u16,
        max: u16,
    },
    #[error("port {port} ({device}): the {driver} driver cannot spread by {spread:?}; use one receive queue")]
    Spread {
        port: String,
        device: String,
        driver: String,
        spread: ReceiveSpread,
    },
    #[error("port {port} ({device}): {step}: {errno}")]
    Call {
        port: String,
        device: String,
        step: String,
        errno: Errno,
    },
}

/// An open port, for whoever watches it. It closes when this and all its queues are dropped.
#[derive(Debug)]
pub struct Port {
    open: Arc<OpenPort>,
    socket: Option<u32>,
    frame_shortage: Option<FrameShortage>,
}

/// A device that says it takes shorter frames than the port needs: full-size tagged ones may be lost. Worth a warning,
/// no refusal, since some drivers understate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShortage {
    pub declared_bytes: u32,
    pub needed_bytes: u32,
}

impl Port {
    /// What `device` can do. Needs no configuration of it.
    pub fn capabilities(_eal: &Eal, port: &str, device: &str) -> Result<Capabilities, PortError> {
        let names = Names { port, device };
        let id = names.find()?;
        let info = names.info(id)?;
        Ok(capabilities_of(id, &info))
    }

    /// Configures the device and starts it. The receive queues take their mbufs from `pool`. The queues come in order,
    /// to be moved to their lcores.
    pub fn open(
        eal: &Eal,
        config: &PortConfig<'_>,
        pool: &Mempool,
    ) -> Result<(Port, Vec<RxQueue>, Vec<TxQueue>), PortError> {
        let names = Names {
            port: config.name,
            device: config.device,
        };
        let id = names.find()?;
        let info = names.info(id)?;
        let capabilities = capabilities_of(id, &info);
        names.check(config, &capabilities)?;
        let mtu = DeviceMtu::of(&info, &capabilities.driver, config)
            .ok_or_else(|| names.too_short(config, &capabilities, &info))?;

        names.configure(id, config, mtu)?;
        // From here on the device is ours to close, whatever fails.
        let open = Arc::new(OpenPort {
            id,
            name: config.name.into(),
            _pool: pool.clone(),
            _eal: Arc::clone(&eal.shared),
        });
        match mtu {
            DeviceMtu::WithTags(mtu) => names.set_mtu(id, mtu)?,
            DeviceMtu::PastDriver { wanted, .. } => names.set_tap_mtu(info.if_index, wanted)?,
            DeviceMtu::Reduced(_) => {}
        }
        names.set_up_queues(id, &info, config, pool, capabilities.socket)?;
        // SAFETY: configured, queues set up.
        names.call("start", unsafe { sys::rte_eth_dev_start(id) })?;
        if config.promiscuous == Promiscuous::On {
            names.set_promiscuous(id)?;
        }

        let rx = (0..config.rx_queues)
            .map(|queue| RxQueue::new(Arc::clone(&open), queue))
            .collect();
        let tx = (0..config.tx_queues)
            .map(|queue| TxQueue::new(Arc::clone(&open), queue))
            .collect();
        let frame_shortage = FrameShortage::of(config, &capabilities);
        Ok((
            Port {
                open,
                socket: capabilities.socket,
                frame_shortage,
            },
            rx,
            tx,
        ))
    }

    pub fn name(&self) -> &str {
        self.open.name()
    }

    /// DPDK's number of the device.
    pub fn id(&self) -> u16 {
        self.open.id
    }

    pub fn socket(&self) -> Option<u32> {
        self.socket
    }

    pub fn frame_shortage(&self) -> Option<FrameShortage> {
        self.frame_shortage
    }

    /// The link as the driver last saw it; never waits. A device that cannot tell is down.
    pub fn link(&self) -> Link {
        let mut link = sys::rte_eth_link::default();
        // SAFETY: an open port, and room for the answer. May run beside the queues' polling.
        let code = unsafe { sys::rte_eth_link_get_nowait(self.open.id, &mut link) };
        let speed = if link.link_speed == u32::MAX {
            0
        } else {
            link.link_speed
        };
        Link {
            up: code == 0 && link.link_status() != 0,
            megabits_per_second: speed,
        }
    }

    /// Zeroes where the driver keeps none.
    pub fn stats(&self) -> PortStats {
        let mut stats = sys::rte_eth_stats::default();
        // SAFETY: an open port, and room for the answer. May run beside the queues' polling.
        if unsafe { sys::rte_eth_stats_get(self.open.id, &mut stats) } != 0 {
            return PortStats::default();
        }
        PortStats {
            rx_packets: stats.ipackets,
            rx_bytes: stats.ibytes,
            tx_packets: stats.opackets,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            rx_no_mbuf: stats.rx_nombuf,
            tx_errors: stats.oerrors,
        }
    }

    /// The MAC that the device has by itself (the BNG's is a configured one).
    pub fn device_mac(&self) -> Option<[u8; 6]> {
        let mut mac = sys::rte_ether_addr::default();
        // SAFETY: an open port, and room for the answer.
        let code = unsafe { sys::rte_eth_macaddr_get(self.open.id, &mut mac) };
        (code == 0).then_some(mac.addr_bytes)
    }
}

/// A configured device. Closed when the last of its port and queues is gone, so no queue is polled after that.
#[derive(Debug)]
pub(super) struct OpenPort {
    id: u16,
    name: Box<str>,
    /// The receive queues hold mbufs of it.
    _pool: Mempool,
    _eal: Arc<EalShared>,
}

impl OpenPort {
    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        // SAFETY: no queue of this port exists any more, so nobody polls it; both calls check the state they find.
        // Stopping a port that never started is an error that means nothing here.
        unsafe {
            sys::rte_eth_dev_stop(self.id);
            sys::rte_eth_dev_close(self.id);
        }
    }
}

/// The two names of a port, for errors; the steps of opening it.
struct Names<'a> {
    port: &'a str,
    device: &'a str,
}

impl Names<'_> {
    fn find(&self) -> Result<u16, PortError> {
        let unknown = || PortError::NoDevice {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            present: devices_present(),
        };
        let device = CString::new(self.device).map_err(|_| unknown())?;
        let mut id = 0;
        // SAFETY: a NUL-terminated name and room for the number.
        match unsafe { sys::rte_eth_dev_get_port_by_name(device.as_ptr(), &mut id) } {
            0 => Ok(id),
            _ => Err(unknown()),
        }
    }

    fn info(&self, id: u16) -> Result<sys::rte_eth_dev_info, PortError> {
        let mut info = sys::rte_eth_dev_info::default();
        // SAFETY: a known port, and room for the answer.
        self.call("device information", unsafe {
            sys::rte_eth_dev_info_get(id, &mut info)
        })?;
        Ok(info)
    }

    fn check(&self, config: &PortConfig<'_>, able: &Capabilities) -> Result<(), PortError> {
        let too_many = |direction, wanted, max| PortError::Queues {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            driver: able.driver.clone(),
            direction,
            wanted,
            max,
        };
        if config.rx_queues > able.rx_queues_max {
            return Err(too_many("receive", config.rx_queues, able.rx_queues_max));
        }
        if config.tx_queues > able.tx_queues_max {
            return Err(too_many("transmit", config.tx_queues, able.tx_queues_max));
        }
        let spreads = match config.spread {
            ReceiveSpread::None => config.rx_queues <= 1,
            ReceiveSpread::SourceAddress => able.spreads_by_source,
            ReceiveSpread::DestinationAddress => able.spreads_by_destination,
        };
        if !spreads {
            return Err(PortError::Spread {
                port: self.port.to_owned(),
                device: self.device.to_owned(),
                driver: able.driver.clone(),
                spread: config.spread,
            });
        }
        Ok(())
    }

    /// No offload is asked for: tags stay in the frame, checksums are ours, frames stay in one buffer.
    fn configure(&self, id: u16, config: &PortConfig<'_>, mtu: DeviceMtu) -> Result<(), PortError> {
        let mut conf = sys::rte_eth_conf::default();
        conf.rxmode.mtu = u32::from(mtu.value());
        let addresses = match config.spread {
            ReceiveSpread::None => None,
            ReceiveSpread::SourceAddress => Some(sys::ETH_RSS_L3_SRC_ONLY),
            ReceiveSpread::DestinationAddress => Some(sys::ETH_RSS_L3_DST_ONLY),
        };
        if let Some(addresses) = addresses {
            conf.rxmode.mq_mode = sys::rte_eth_rx_mq_mode::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = sys::ETH_RSS_IPV4 | addresses;
        }
        // SAFETY: a known port that nothing polls yet; the configuration is read and copied.
        let code = unsafe { sys::rte_eth_dev_configure(id, config.rx_queues, config.tx_queues, &conf) };
        self.call("configure", code)
    }

    /// Drivers that keep no MTU (rings, files) take any frame that fits an mbuf.
    fn set_mtu(&self, id: u16, mtu: u16) -> Result<(), PortError> {
        // SAFETY: a configured port, not started.
        let code = unsafe { sys::rte_eth_dev_set_mtu(id, mtu) };
        self.call_if_supported("set MTU", code)
    }

    fn set_tap_mtu(&self, if_index: u32, mtu: u16) -> Result<(), PortError> {
        tap_mtu::set(if_index, mtu).map_err(|error| PortError::Call {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            step: format!("set the TAP's MTU to {mtu}"),
            errno: Errno::from_return(error.raw_os_error().unwrap_or_default()),
        })
    }

    fn set_up_queues(
        &self,
        id: u16,
        info: &sys::rte_eth_dev_info,
        config: &PortConfig<'_>,
        pool: &Mempool,
        socket: Option<u32>,
    ) -> Result<(), PortError> {
        let (mut rx_descriptors, mut tx_descriptors) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: a configured port, and two numbers that are brought into the driver's range.
        let code =
            unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &mut rx_descriptors, &mut tx_descriptors) };
        self.call("adjust descriptors", code)?;
        let any_socket = u32::MAX;
        let socket = socket.unwrap_or(any_socket);
        for queue in 0..config.rx_queues {
            // SAFETY: a configured port and one of its queues; the pool outlives the port (OpenPort holds it).
            let code = unsafe {
                sys::rte_eth_rx_queue_setup(
                    id,
                    queue,
                    rx_descriptors,
                    socket,
                    &info.default_rxconf,
                    pool.as_ptr(),
                )
            };
            self.call_for_queue("receive", queue, code)?;
        }
        for queue in 0..config.tx_queues {
            // SAFETY: a configured port and one of its queues.
            let code = unsafe {
                sys::rte_eth_tx_queue_setup(id, queue, tx_descriptors, socket, &info.default_txconf)
            };
            self.call_for_queue("transmit", queue, code)?;
        }
        Ok(())
    }

    /// Drivers without an address filter need no such mode.
    fn set_promiscuous(&self, id: u16) -> Result<(), PortError> {
        // SAFETY: a started port.
        let code = unsafe { sys::rte_eth_promiscuous_enable(id) };
        self.call_if_supported("promiscuous mode", code)
    }

    fn too_short(
        &self,
        config: &PortConfig<'_>,
        able: &Capabilities,
        info: &sys::rte_eth_dev_info,
    ) -> PortError {
        PortError::Mtu {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            driver: able.driver.clone(),
            mtu: config.mtu,
            max: mtu_max(info),
        }
    }

    fn call(&self, step: &str, code: c_int) -> Result<(), PortError> {
        if code >= 0 {
            return Ok(());
        }
        Err(PortError::Call {
            port: self.port.to_owned(),
            device: self.device.to_owned(),
            step: step.to_owned(),
            errno: Errno::from_return(code),
        })
    }

    fn call_if_supported(&self, step: &str, code: c_int) -> Result<(), PortError> {
        if code < 0 && Errno::from_return(code).is_unsupported() {
            Ok(())
        } else {
            self.call(step, code)
        }
    }

    fn call_for_queue(&self, direction: &str, queue: u16, code: c_int) -> Result<(), PortError> {
        if code >= 0 {
            Ok(())
        } else {
            self.call(&format!("set up {direction} queue {queue}"), code)
        }
    }
}

fn capabilities_of(id: u16, info: &sys::rte_eth_dev_info) -> Capabilities {
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
        spreads_by_source: hashes(sys::ETH_RSS_L3_SRC_ONLY),
        spreads_by_destination: hashes(sys::ETH_RSS_L3_DST_ONLY),
        socket: u32::try_from(socket).ok(),
    }
}

/// What to ask the device for.
#[derive(Debug, Clone, Copy)]
enum DeviceMtu {
    /// The IP MTU and the tags.
    WithTags(u16),
    /// As much as the driver admits, which is less; the device's own setting is left alone.
    Reduced(u16),
    /// As [`DeviceMtu::Reduced`] for DPDK, and `wanted` for the kernel, whose TAP it is.
    PastDriver { admitted: u16, wanted: u16 },
}

impl DeviceMtu {
    /// `None` where the driver does not even admit the MTU without tags.
    fn of(info: &sys::rte_eth_dev_info, driver: &str, config: &PortConfig<'_>) -> Option<DeviceMtu> {
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

    fn value(self) -> u16 {
        match self {
            DeviceMtu::WithTags(mtu) | DeviceMtu::Reduced(mtu) => mtu,
            DeviceMtu::PastDriver { admitted, .. } => admitted,
        }
    }
}

impl FrameShortage {
    fn of(config: &PortConfig<'_>, able: &Capabilities) -> Option<FrameShortage> {
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
fn mtu_max(info: &sys::rte_eth_dev_info) -> u16 {
    const ETHERNET_AND_CRC: u32 = 18;
    let says_overhead = info.max_mtu != u16::MAX && info.max_rx_pktlen > u32::from(info.max_mtu);
    if says_overhead {
        return info.max_mtu;
    }
    let by_frame = info.max_rx_pktlen.saturating_sub(ETHERNET_AND_CRC);
    u16::try_from(by_frame).unwrap_or(u16::MAX).min(info.max_mtu)
}

/// The names of all devices that EAL has found.
fn devices_present() -> Vec<String> {
    const NO_OWNER: u64 = 0;
    let mut names = Vec::new();
    // SAFETY: walks the table of ports from the given one; RTE_MAX_ETHPORTS or more ends it.
    let next = |from: u16| unsafe { sys::rte_eth_find_next_owned_by(from, NO_OWNER) };
    let mut port = next(0);
    while port < u64::from(sys::RTE_MAX_ETHPORTS) {
        // Below RTE_MAX_ETHPORTS, so it fits.
        let id = port as u16;
        let mut name = [0 as c_char; sys::RTE_ETH_NAME_MAX_LEN as usize];
        // SAFETY: the buffer has the length that the function asks for.
        if unsafe { sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) } == 0 {
            // SAFETY: the function has written a NUL-terminated name into the buffer.
            names.push(
                unsafe { CStr::from_ptr(name.as_ptr()) }
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        port = next(id + 1);
    }
    names
}

struct Present<'a>(&'a [String]);

impl fmt::Display for Present<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("EAL has none")
        } else {
            write!(f, "EAL has {}", self.0.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
