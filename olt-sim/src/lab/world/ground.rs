//! What stands before the BNG starts: the core namespace with both TAPs and the core side's services, and the
//! directory with configuration, sockets and logs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::lab::core_side::{CoreConfig, CoreSide};
use crate::lab::namespace::{Lab, Namespace};

/// Kernel side of the BNG's access port.
pub const ACCESS_INTERFACE: &str = "slacc0";
/// 1,500 byte packets with two tags.
const TRUNK_MTU: &str = "1508";
/// Frames a TAP queues towards the worker; the kernel's 1,000 are 5 ms of a fast sender on a busy core.
const TAP_QUEUE_FRAMES: &str = "4096";

/// The core side goes before its namespace, and the lab last.
#[derive(Debug)]
pub struct Ground {
    pub core: CoreSide,
    pub core_namespace: Namespace,
    pub lab: Lab,
}

impl Ground {
    pub fn prepare(lab: &Lab, core: CoreConfig) -> io::Result<Self> {
        let core_namespace = lab.namespace("core")?;
        for interface in [ACCESS_INTERFACE, &core.interface] {
            // Flags as DPDK's net_tap opens it: it then finds this interface instead of making its own, and
            // the interface outlives the worker.
            core_namespace.ip(&[
                "tuntap",
                "add",
                interface,
                "mode",
                "tap",
                "multi_queue",
                "vnet_hdr",
            ])?;
            core_namespace.ip(&["link", "set", interface, "txqueuelen", TAP_QUEUE_FRAMES])?;
        }
        let core = CoreSide::start(&core_namespace, core)?;
        fs::create_dir_all(lab.directory().join("run"))?;
        fs::create_dir_all(lab.directory().join("state"))?;
        let ground = Self {
            core,
            core_namespace,
            lab: lab.clone(),
        };
        ground.settle()?;
        Ok(ground)
    }

    /// Puts both interfaces in order; to be called whenever a worker has opened them.
    pub fn settle(&self) -> io::Result<()> {
        // Without ARP the kernel has no part in what passes on the trunk, even untagged.
        let namespace = &self.core_namespace;
        namespace.ip(&[
            "link",
            "set",
            ACCESS_INTERFACE,
            "mtu",
            TRUNK_MTU,
            "arp",
            "off",
            "up",
        ])?;
        self.core.settle(namespace)
    }

    pub fn run_directory(&self) -> PathBuf {
        self.lab.directory().join("run")
    }

    pub fn state_directory(&self) -> PathBuf {
        self.lab.directory().join("state")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.run_directory().join("control.sock")
    }

    pub fn olt_socket(&self) -> PathBuf {
        self.run_directory().join("olt.sock")
    }

    /// Where the BNG puts its segment if it is to lie on this hugetlbfs: outside the lab's directory.
    pub fn huge_segment(&self, hugetlbfs: &str) -> Option<PathBuf> {
        let file = format!("{}.seg", self.lab.prefix());
        hugetlbfs
            .starts_with('/')
            .then(|| Path::new(hugetlbfs).join("sluice").join(file))
    }

    pub fn settings_path(&self) -> PathBuf {
        self.lab.directory().join("sluice.toml")
    }

    pub fn subscribers_path(&self) -> PathBuf {
        self.lab.directory().join("subscribers.toml")
    }

    pub fn log_path(&self, process: &str) -> PathBuf {
        self.lab.directory().join(format!("{process}.log"))
    }

    pub fn write_settings(&self, sluice: &str, subscribers: &str) -> io::Result<()> {
        fs::write(self.settings_path(), sluice)?;
        fs::write(self.subscribers_path(), subscribers)
    }
}
