//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use shm_bridge::layout::Geometry;
use shm_bridge::segment::{Pages, SegmentConfig};

/// A run directory that goes away with the value.
pub struct RunDir(PathBuf);

impl RunDir {
    pub fn new() -> RunDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sluice-shm-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        RunDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A small segment on ordinary pages in this directory.
    pub fn config(&self) -> SegmentConfig {
        config_in(&self.0)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn config_in(run_dir: &Path) -> SegmentConfig {
    SegmentConfig {
        name: "test".to_owned(),
        run_dir: run_dir.to_owned(),
        pages: Pages::Ordinary,
        geometry: small(),
    }
}

pub fn small() -> Geometry {
    Geometry {
        sessions: 1024,
        adjacencies: 16,
        policer_profiles: 16,
        garden_rules: 64,
        svlan_blocks: 8,
        tbl8_groups: 16,
        lcores: 4,
        ring_slots: 64,
    }
}

/// Numbers that look random and come again with the same seed (xorshift64*, Vigna 2016).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}
