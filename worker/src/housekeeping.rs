//! What the worker does beside its lcores, on an unpinned thread: clock discipline, link state, device counts.

use std::io::Write as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use shm_bridge::ports::{LinkState, PortStatus};
use shm_bridge::sides::Tables;

use crate::assembly::reception::Strays;
use crate::dpdk::{Mempool, Port, StopFlag, Timebase};

/// How often devices are asked and the clock is compared.
const ROUND: Duration = Duration::from_secs(1);
/// How soon a stop is noticed.
const GLANCE: Duration = Duration::from_millis(20);

/// A port with what is reported of it.
#[derive(Debug)]
pub struct Watched {
    pub port: Port,
    pub pool: Mempool,
    pub mbufs: u32,
    /// The last link state that was logged.
    pub link: LinkState,
    pub strays: Strays,
}

/// Runs until the stop flag is set, and gives the ports back so that they are closed on the main thread.
pub fn run(
    mut ports: Vec<Watched>,
    tables: &Tables,
    timebase: &Arc<Timebase>,
    stop: &StopFlag,
) -> Vec<Watched> {
    loop {
        timebase.discipline();
        for (index, watched) in ports.iter_mut().enumerate() {
            let status = watched.status();
            watched.log_change(&status);
            watched.log_strays(&status);
            if let Some(cells) = tables.ports.get(index) {
                cells.set(&status);
            }
        }
        let round = Instant::now();
        while round.elapsed() < ROUND {
            if stop.is_set() {
                for index in 0..ports.len() {
                    if let Some(cells) = tables.ports.get(index) {
                        cells.set(&PortStatus::default());
                    }
                }
                return ports;
            }
            thread::sleep(GLANCE);
        }
    }
}

impl Watched {
    fn status(&self) -> PortStatus {
        let (link, stats) = (self.port.link(), self.port.stats());
        PortStatus {
            link: if link.up { LinkState::Up } else { LinkState::Down },
            speed_mbps: u64::from(link.megabits_per_second),
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            rx_missed: stats.rx_missed,
            rx_errors: stats.rx_errors,
            rx_no_mbuf: stats.rx_no_mbuf,
            tx_errors: stats.tx_errors,
            mbufs_free: u64::from(self.pool.available()),
            mbufs: u64::from(self.mbufs),
        }
    }

    fn log_change(&mut self, status: &PortStatus) {
        if self.link == status.link {
            return;
        }
        self.link = status.link;
        let state = if status.link == LinkState::Up {
            "up"
        } else {
            "down"
        };
        log(&format!("port {}: link {state}\n", self.port.name()));
    }

    fn log_strays(&mut self, status: &PortStatus) {
        if let Some(complaint) = self.strays.complaint(status.rx_packets) {
            log(&format!("port {}: {complaint}\n", self.port.name()));
        }
    }
}

/// In one write, so that no other thread's message comes in between.
fn log(line: &str) {
    // Nobody is left to be told that standard error is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
