//! What must be there before anything is made, and which memory the worker gets.

use std::fs;
use std::path::{Path, PathBuf};

use olt_sim::lab::process::find_binary;
use olt_sim::lab::world::Memory;

use super::Demo;
use super::error::DemoError;

const TUN: &str = "/dev/net/tun";
const HUGE_PAGES_FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const HUGE_PAGE_MEGABYTES: u64 = 2;
/// The worker's packet memory: two ports of 8,192 mbufs of 2.5 KiB, rings, and DPDK's own.
const WORKER_MEGABYTES: u32 = 128;
/// Without huge pages DPDK takes all of it at once, so more costs only address space.
const WORKER_MEGABYTES_ORDINARY: u32 = 512;
/// The segment of a small gateway, most of it the FIB.
const SEGMENT_MEGABYTES: u64 = 120;

#[derive(Debug)]
pub struct Preflight {
    pub worker: PathBuf,
    pub control: PathBuf,
    pub memory: Memory,
    /// Where the segment lies, for sluice.toml.
    pub hugetlbfs: String,
}

impl Preflight {
    pub fn check(demo: &Demo) -> Result<Preflight, DemoError> {
        let unprepared = |text: String| Err(DemoError::Unprepared(text));
        if !rustix::process::geteuid().is_root() {
            return unprepared("network namespaces and TAP devices need root: run it with sudo".into());
        }
        if !Path::new(TUN).exists() {
            return unprepared(format!(
                "{TUN} is not there, so no TAP device can be made: load the kernel's module tun (modprobe tun)"
            ));
        }
        for (program, package) in [("ip", "iproute2"), ("udhcpc", "udhcpc")] {
            if !is_in_path(program) {
                return unprepared(format!(
                    "the program {program} is missing: install the package {package}"
                ));
            }
        }
        let find = |name: &str| find_binary(name).map_err(|error| DemoError::Unprepared(error.to_string()));
        let (memory, hugetlbfs) = memory(demo)?;
        Ok(Preflight {
            worker: find("sluice-worker")?,
            control: find("sluice-control")?,
            memory,
            hugetlbfs,
        })
    }
}

fn memory(demo: &Demo) -> Result<(Memory, String), DemoError> {
    let ordinary = (
        Memory::OrdinaryMegabytes(WORKER_MEGABYTES_ORDINARY),
        "none".to_owned(),
    );
    if demo.no_huge_pages {
        return Ok(ordinary);
    }
    match (huge_page_mount(), free_huge_pages_megabytes()) {
        (Some(mount), free) if free >= SEGMENT_MEGABYTES + u64::from(WORKER_MEGABYTES) => {
            Ok((Memory::HugeMegabytes(WORKER_MEGABYTES), mount))
        }
        _ if !demo.huge_pages => Ok(ordinary),
        (None, _) => Err(DemoError::Unprepared(
            "no hugetlbfs is mounted: ./hugepage-setup.sh reserve".into(),
        )),
        (Some(_), free) => Err(DemoError::Unprepared(format!(
            "{free} MiB of huge pages are free, {} MiB are needed: ./hugepage-setup.sh reserve",
            SEGMENT_MEGABYTES + u64::from(WORKER_MEGABYTES)
        ))),
    }
}

fn free_huge_pages_megabytes() -> u64 {
    fs::read_to_string(HUGE_PAGES_FREE)
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map_or(0, |pages| pages.saturating_mul(HUGE_PAGE_MEGABYTES))
}

/// The first hugetlbfs of 2 MiB pages.
fn huge_page_mount() -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    mount_of(&mounts)
}

fn mount_of(mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let [_, directory, kind, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let fits = kind == "hugetlbfs" && options.split(',').any(|option| option == "pagesize=2M");
        fits.then(|| directory.to_owned())
    })
}

fn is_in_path(program: &str) -> bool {
    // Administrators' directories are not in everybody's path.
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mount_of_two_megabyte_pages_counts() {
        let mounts = "sysfs /sys sysfs rw 0 0\n\
                      x /dev/hugepages1G hugetlbfs rw,relatime,pagesize=1024M 0 0\n\
                      y /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n";
        assert_eq!(mount_of(mounts).as_deref(), Some("/dev/hugepages"));
        assert_eq!(mount_of("sysfs /sys sysfs rw 0 0\n"), None);
    }
}
