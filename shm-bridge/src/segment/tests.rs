//! What only the crate itself can provoke: another boot, another seed. The rest is in `tests/attach.rs`.

use std::os::unix::fs::FileExt;

use super::*;
use crate::sides::{ControlSide, WorkerSide};

fn config(name: &str) -> SegmentConfig {
    SegmentConfig {
        name: name.to_owned(),
        run_dir: std::env::temp_dir().join(format!("sluice-seg-{}-{name}", std::process::id())),
        pages: Pages::Ordinary,
        geometry: Geometry {
            sessions: 64,
            lcores: 1,
            ring_slots: 2,
            ..Geometry::DEFAULT
        },
    }
}

#[test]
fn a_segment_of_an_earlier_boot_is_made_anew() {
    let config = config("boot");
    let made = ControlSide::attach(&config).unwrap();
    let path = made.about.path.clone().unwrap();
    drop(made);
    assert!(!WorkerSide::attach(&config, 0).unwrap().about.created);
    let file = File::options().write(true).open(&path).unwrap();
    let boot = (SEED_WORD - 1) as u64;
    file.write_all_at(&(files::boot() ^ 1).to_ne_bytes(), boot * 8)
        .unwrap();

    let anew = WorkerSide::attach(&config, 0).unwrap();

    assert!(anew.about.created);
    drop(anew);
    fs::remove_dir_all(&config.run_dir).unwrap();
}

#[test]
fn both_sides_hash_with_the_seed_of_the_segment_and_no_two_segments_have_the_same() {
    let config = config("seed");
    let control = ControlSide::attach(&config).unwrap();
    let worker = WorkerSide::attach(&config, 0).unwrap();
    let (other, _) = crate::sides::in_memory(&config.geometry).unwrap();

    assert_eq!(control.tables.access.seed, worker.tables.access.seed);
    assert_ne!(control.tables.access.seed, other.tables.access.seed);
    drop((control, worker));
    fs::remove_dir_all(&config.run_dir).unwrap();
}
