//! What a worker knows of its devices: link and the driver's own counts. Written by the worker's housekeeping thread.

use crate::access::PORTS_MAX;
use crate::counters::Counter;
use crate::shared::{Cells, Shared};

/// One port, by its index in the configuration.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct PortStatusCells {
    /// 0 not open, 1 link down, 2 link up.
    link: Counter,
    speed_mbps: Counter,
    rx_packets: Counter,
    rx_bytes: Counter,
    tx_packets: Counter,
    tx_bytes: Counter,
    rx_missed: Counter,
    rx_errors: Counter,
    rx_no_mbuf: Counter,
    tx_errors: Counter,
    mbufs_free: Counter,
    mbufs: Counter,
    reserved: [Counter; 4],
}

// SAFETY: sixteen words fill the 128 bytes; Counter is a transparent word.
#[allow(unsafe_code)]
unsafe impl Cells for PortStatusCells {}

#[cfg(not(loom))]
const _: () = assert!(size_of::<PortStatusCells>() == 128);

/// A port's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// No worker has opened the port.
    #[default]
    Absent,
    Down,
    Up,
}

/// A port's status by value. The counts are the driver's, since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatus {
    pub link: LinkState,
    /// 0 where unknown.
    pub speed_mbps: u64,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// No descriptor was free: the worker is too slow.
    pub rx_missed: u64,
    pub rx_errors: u64,
    /// The mempool was empty.
    pub rx_no_mbuf: u64,
    pub tx_errors: u64,
    /// Of the port's mempool.
    pub mbufs_free: u64,
    pub mbufs: u64,
}

impl PortStatusCells {
    /// Housekeeping thread only.
    pub fn set(&self, status: &PortStatus) {
        for (cell, value) in self.numbers().into_iter().zip(status.numbers()) {
            cell.set(value);
        }
        self.link.set(match status.link {
            LinkState::Absent => 0,
            LinkState::Down => 1,
            LinkState::Up => 2,
        });
    }

    pub fn read(&self) -> PortStatus {
        let [
            speed_mbps,
            rx_packets,
            rx_bytes,
            tx_packets,
            tx_bytes,
            rx_missed,
            rx_errors,
            rx_no_mbuf,
            tx_errors,
            mbufs_free,
            mbufs,
        ] = self.numbers().map(Counter::get);
        PortStatus {
            link: match self.link.get() {
                1 => LinkState::Down,
                2 => LinkState::Up,
                _ => LinkState::Absent,
            },
            speed_mbps,
            rx_packets,
            rx_bytes,
            tx_packets,
            tx_bytes,
            rx_missed,
            rx_errors,
            rx_no_mbuf,
            tx_errors,
            mbufs_free,
            mbufs,
        }
    }

    fn numbers(&self) -> [&Counter; 11] {
        [
            &self.speed_mbps,
            &self.rx_packets,
            &self.rx_bytes,
            &self.tx_packets,
            &self.tx_bytes,
            &self.rx_missed,
            &self.rx_errors,
            &self.rx_no_mbuf,
            &self.tx_errors,
            &self.mbufs_free,
            &self.mbufs,
        ]
    }
}

impl PortStatus {
    fn numbers(&self) -> [u64; 11] {
        [
            self.speed_mbps,
            self.rx_packets,
            self.rx_bytes,
            self.tx_packets,
            self.tx_bytes,
            self.rx_missed,
            self.rx_errors,
            self.rx_no_mbuf,
            self.tx_errors,
            self.mbufs_free,
            self.mbufs,
        ]
    }
}

/// All ports.
#[derive(Clone, Debug)]
pub struct PortStatuses(pub(crate) Shared<PortStatusCells>);

impl PortStatuses {
    pub fn get(&self, port: usize) -> Option<&PortStatusCells> {
        self.0.get(port)
    }

    /// Ports that a configuration can have at all.
    pub const MAX: usize = PORTS_MAX;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_as_it_was_set() {
        let cells = PortStatusCells::default();
        assert_eq!(cells.read().link, LinkState::Absent);
        let status = PortStatus {
            link: LinkState::Up,
            speed_mbps: 1,
            rx_packets: 2,
            mbufs: 12,
            tx_errors: 10,
            ..PortStatus::default()
        };

        cells.set(&status);

        assert_eq!(cells.read(), status);
    }
}
