//! A port: an Ethernet device of DPDK, configured, started, and closed with its last queue.

mod capabilities;
mod error;
mod frame_size;
mod hashing;
mod opening;
mod tap_mtu;

use std::sync::Arc;

use dpdk_sys as sys;

pub use self::capabilities::Capabilities;
pub use self::error::PortError;
pub use self::frame_size::FrameShortage;
pub use self::hashing::{Addresses, Hashing};

use self::opening::Device;
use super::eal::{Eal, EalShared};
use super::mempool::Mempool;
use super::queue::{RxQueue, TxQueue};

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
    pub spread: ReceiveSpread<'a>,
}

/// Whether the device hands up frames for other MACs than its own. The BNG's MAC is a virtual one that the device does
/// not have (a TAP shares its own with the kernel), so both roles want `On`; the pipeline checks the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promiscuous {
    On,
    Off,
}

/// How the NIC chooses among several receive queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveSpread<'a> {
    /// One receive queue.
    None,
    /// By a hash of addresses, with our key and table.
    Hashed(Hashing<'a>),
    /// Several queues that the device fills as it likes.
    Arbitrary,
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

/// An open port, for whoever watches it. It closes when this and all its queues are dropped.
#[derive(Debug)]
pub struct Port {
    open: Arc<OpenPort>,
    socket: Option<u32>,
    frame_shortage: Option<FrameShortage>,
    hashing_fault: Option<PortError>,
    queued_mbufs_max: u32,
}

impl Port {
    /// What `device` can do. Needs no configuration of it.
    pub fn capabilities(_eal: &Eal, port: &str, device: &str) -> Result<Capabilities, PortError> {
        Ok(Device::find(port, device)?.capabilities())
    }

    /// Configures the device and starts it. The receive queues take their mbufs from `pool`. The queues come in order,
    /// to be moved to their lcores.
    pub fn open(
        eal: &Eal,
        config: &PortConfig<'_>,
        pool: &Mempool,
    ) -> Result<(Port, Vec<RxQueue>, Vec<TxQueue>), PortError> {
        let device = Device::find(config.name, config.device)?;
        let capabilities = device.capabilities();
        device.check(config, &capabilities)?;
        let mtu = device.choose_mtu(config, &capabilities)?;

        let key = config.spread.key();
        device.configure(config, mtu, &key)?;
        // From here on the device is ours to close, whatever fails. (Configuring a started one is refused, so that
        // there is never a second owner of its queues.)
        let open = Arc::new(OpenPort {
            id: device.id(),
            name: config.name.into(),
            _key: key,
            _pool: pool.clone(),
            _eal: Arc::clone(&eal.shared),
        });
        device.set_mtu(mtu)?;
        let queued_mbufs_max = device.set_up_queues(config, pool, capabilities.socket)?;
        device.start(config.promiscuous)?;
        let hashing_fault = match &config.spread {
            ReceiveSpread::Hashed(hashing) => device.set_hashing(hashing).err(),
            ReceiveSpread::None | ReceiveSpread::Arbitrary => None,
        };

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
                hashing_fault,
                queued_mbufs_max,
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

    /// Why the device does not hash as it was told to, though it said it could: packets may come to any queue.
    pub fn hashing_fault(&self) -> Option<&PortError> {
        self.hashing_fault.as_ref()
    }

    /// How many mbufs the queues hold when all are full: a pool of fewer can run dry while nothing is lost yet.
    pub fn queued_mbufs_max(&self) -> u32 {
        self.queued_mbufs_max
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
    /// The configuration that ethdev keeps of a port points to it.
    _key: Box<[u8]>,
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
