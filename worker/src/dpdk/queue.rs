//! The queues of a port: made once by [`Port::open`](super::Port::open), moved to the lcore that polls them.

use std::sync::Arc;

use dpdk_sys as sys;

use super::mbuf_burst::MbufBurst;
use super::port::OpenPort;

/// One receive queue. There is no second value for the same queue, so `&mut` is what makes one thread poll it.
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<OpenPort>,
    queue: u16,
}

impl RxQueue {
    pub(super) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        RxQueue { port, queue }
    }

    /// Appends what has arrived, up to the burst's room; returns how many. Never waits.
    #[inline]
    pub fn receive(&mut self, burst: &mut MbufBurst) -> usize {
        let (port, queue) = (self.port.id(), self.queue);
        // SAFETY: the port is started and has this queue for as long as `self.port` lives; nobody else polls it
        // (&mut, one value per queue); the driver gives the mbufs it writes away, not more than asked for.
        unsafe { burst.append_with(|slots, room| sys::shim_rte_eth_rx_burst(port, queue, slots, room)) }
    }

    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// The port's name in our configuration.
    pub fn port_name(&self) -> &str {
        self.port.name()
    }
}

/// One transmit queue. There is no second value for the same queue.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<OpenPort>,
    queue: u16,
}

impl TxQueue {
    pub(super) fn new(port: Arc<OpenPort>, queue: u16) -> Self {
        TxQueue { port, queue }
    }

    /// Gives packets to the driver, in order, and returns how many it took. What it did not take (a full ring) stays
    /// in the burst, first in order: the caller drops it and counts it, and does not spin.
    #[inline]
    pub fn send(&mut self, burst: &mut MbufBurst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let (port, queue) = (self.port.id(), self.queue);
        // SAFETY: the port is started and has this queue for as long as `self.port` lives; nobody else uses it; the
        // driver owns the mbufs that it says it took and frees them itself.
        unsafe { burst.take_with(|slots, count| sys::shim_rte_eth_tx_burst(port, queue, slots, count)) }
    }

    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// The port's name in our configuration.
    pub fn port_name(&self) -> &str {
        self.port.name()
    }
}
