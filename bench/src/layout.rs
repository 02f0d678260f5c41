//! How sessions come to the worker's lcores, and which devices and configuration that takes.
//!
//! ```text
//!   One         F ─► port ─► lcore 0
//!   Spread      F0 ─► port ─► lcore 0      each file holds the sessions that its lcore owns:
//!               F1 ─► port ─► lcore 1      what a NIC does that hashes the subscriber's address
//!   HandedOver  F ─► port ─► lcore 0 ─ring─► lcore 1, half of them
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use shm_bridge::Direction;
use sluice_config::Idle;
use sluice_worker::owner::{Owners, Spread};

use crate::leftovers;
use crate::settings::{HugePages, Settings};
use crate::traffic::network::HARNESS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    One,
    Spread,
    HandedOver,
}

impl Layout {
    /// As the rows by lcores are named.
    pub fn name(self) -> &'static str {
        match self {
            Layout::One => "1-lcore",
            Layout::Spread => "2-lcores-nic-spread",
            Layout::HandedOver => "2-lcores-handed-over",
        }
    }

    pub fn lcores(self) -> usize {
        match self {
            Layout::One => 1,
            Layout::Spread | Layout::HandedOver => 2,
        }
    }

    /// EAL's `-l`: the first is the main lcore. One lcore has the second CPU, away from whatever the first one has to do.
    pub fn cpus(self) -> &'static str {
        match self {
            Layout::One => "1",
            Layout::Spread | Layout::HandedOver => "0,1",
        }
    }

    /// Ports of each side; each receives on its own, and a file is for one of them.
    pub fn ports(self) -> usize {
        match self {
            Layout::Spread => 2,
            Layout::One | Layout::HandedOver => 1,
        }
    }

    /// The port of its side that session `index` is on: the one whose lcore owns its address, see [`sluice_worker::owner`].
    pub fn port_of(self, index: u32) -> u16 {
        match self {
            Layout::Spread => {
                let owners = Owners::new(0, &[0, 1], Spread::Software);
                u16::from(owners.of(HARNESS.subscribers.get(index).ipv4))
            }
            Layout::One | Layout::HandedOver => 0,
        }
    }

    /// The number of the first core port: core ports come after the access ports.
    pub fn core_port(self) -> u8 {
        self.ports() as u8
    }

    /// The receiving port's number in the worker, of port `at` of the side that receives.
    pub fn receiving(self, direction: Direction, at: usize) -> usize {
        match direction {
            Direction::Upstream => at,
            Direction::Downstream => usize::from(self.core_port()) + at,
        }
    }

    /// Devices of an endless run: the files in a loop, and what takes what is sent.
    pub fn loops(self, files: &[PathBuf]) -> Vec<String> {
        let mut devices = Vec::new();
        for (at, file) in files.iter().enumerate() {
            // Queues to send on come with queues to receive on; a file given again is one more, and is not read.
            let queues = format!("rx_pcap={},", file.display()).repeat(self.lcores());
            devices.push(format!("--vdev=net_pcap{at},{queues}infinite_rx=1"));
            devices.push(format!("--vdev=net_null{at},no-rx=1"));
        }
        devices
    }

    /// Devices of a run that ends: each file once, and what is sent goes to `sent`, a file for each queue.
    pub fn once(self, files: &[PathBuf], sent: &Path) -> (Vec<String>, Vec<PathBuf>) {
        let (mut devices, mut outs) = (Vec::new(), Vec::new());
        let nowhere = ",tx_pcap=/dev/null".repeat(self.lcores());
        for (at, file) in files.iter().enumerate() {
            devices.push(format!("--vdev=net_pcap{at},rx_pcap={}{nowhere}", file.display()));
            let mut taker = format!("--vdev=net_pcap{}", files.len() + at);
            for queue in 0..self.lcores() {
                let out = sent.with_extension(format!("{at}.{queue}.pcap"));
                taker.push_str(&format!(",tx_pcap={}", out.display()));
                outs.push(out);
            }
            devices.push(taker);
        }
        (devices, outs)
    }

    /// Writes the worker's configuration, and returns its path.
    pub fn write_config(
        self,
        dir: &Path,
        direction: Direction,
        taker: Taker,
        sessions: u32,
        mbufs: u32,
    ) -> anyhow::Result<PathBuf> {
        // The side that receives has the files.
        let names = |receives: bool| {
            (0..self.ports())
                .map(|at| match receives {
                    true => format!("net_pcap{at}"),
                    false => taker.device(self.ports(), at),
                })
                .collect()
        };
        let settings = Settings {
            name: leftovers::segment_name(),
            dir: dir.to_owned(),
            pages: HugePages::WhereThereAre,
            idle: Idle::Poll,
            sessions,
            mbufs,
            access: names(direction == Direction::Upstream),
            core: names(direction == Direction::Downstream),
        };
        let path = dir.join(format!(
            "{}.{}.{}.toml",
            self.name(),
            direction.label(),
            taker.driver()
        ));
        fs::write(&path, settings.to_toml())?;
        Ok(path)
    }
}

/// What takes the frames that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    Nothing,
    Files,
}

impl Taker {
    fn driver(self) -> &'static str {
        match self {
            Taker::Nothing => "null",
            Taker::Files => "pcap",
        }
    }

    fn device(self, ports: usize, at: usize) -> String {
        match self {
            Taker::Nothing => format!("net_null{at}"),
            Taker::Files => format!("net_pcap{}", ports + at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_are_ones_that_the_worker_accepts() {
        let dir = tempfile::tempdir().unwrap();
        for layout in [Layout::One, Layout::Spread, Layout::HandedOver] {
            for direction in Direction::ALL {
                for (taker, sessions) in [(Taker::Nothing, 4096), (Taker::Files, 1_048_575)] {
                    let path = layout
                        .write_config(dir.path(), direction, taker, sessions, 32_768)
                        .unwrap();
                    let config = sluice_config::Config::load(&path).unwrap();
                    assert_eq!(config.ports.len(), 2 * layout.ports());
                }
            }
        }
    }

    #[test]
    fn a_spread_gives_each_lcore_about_half() {
        let second = (0..4096)
            .filter(|index| Layout::Spread.port_of(*index) == 1)
            .count();
        assert!((1900..2200).contains(&second), "{second}");
    }

    #[test]
    fn a_device_has_as_many_queues_to_send_on_as_there_are_lcores() {
        let file = PathBuf::from("F");
        let looped = Layout::HandedOver.loops(std::slice::from_ref(&file));
        assert_eq!(
            looped,
            [
                "--vdev=net_pcap0,rx_pcap=F,rx_pcap=F,infinite_rx=1",
                "--vdev=net_null0,no-rx=1"
            ]
        );
        let (devices, outs) = Layout::One.once(&[file], Path::new("sent"));
        assert_eq!(
            devices,
            [
                "--vdev=net_pcap0,rx_pcap=F,tx_pcap=/dev/null",
                "--vdev=net_pcap1,tx_pcap=sent.0.0.pcap"
            ]
        );
        assert_eq!(outs, [PathBuf::from("sent.0.0.pcap")]);
    }
}
