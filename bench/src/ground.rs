//! What the starts of a group stand on: files of frames, configurations, and a segment with filled tables. All of it goes with the group.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use shm_bridge::{ControlSide, Direction};
use sluice_config::Config;
use tempfile::TempDir;

use crate::layout::{Layout, Taker};
use crate::leftovers::{self, Watched};
use crate::peers::mbufs;
use crate::tables::{self, Filled};
use crate::traffic::Traffic;
use crate::traffic::network::HARNESS;

#[derive(Debug)]
pub struct Ground {
    pub control: ControlSide,
    pub layout: Layout,
    /// Sessions in the tables.
    pub sessions: u32,
    /// The most frames of a file.
    pub frames: u32,
    /// Most packets that our worker takes from a queue at once.
    pub burst: u16,
    _segment: Option<Segment>,
    _watched: Watched,
    dir: TempDir,
}

/// The segment's file.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    _watched: Watched,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            eprintln!("{} is left over: {error}", self.path.display());
        }
    }
}

/// The files of one run's frames: one for each receiving port.
#[derive(Clone, Debug)]
pub struct Files {
    pub direction: Direction,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub struct Part {
    pub traffic: Traffic,
    pub path: PathBuf,
}

impl Ground {
    /// A segment with `sessions` active sessions, and room for files of `frames` frames.
    pub fn new(layout: Layout, sessions: u32, frames: u32) -> anyhow::Result<(Ground, Filled)> {
        let dir = tempfile::tempdir()?;
        let watched = Watched::directory(dir.path());
        let mut first = None;
        for direction in Direction::ALL {
            for taker in [Taker::Nothing, Taker::Files] {
                let path = layout.write_config(dir.path(), direction, taker, sessions, mbufs(frames))?;
                first.get_or_insert(path);
            }
        }
        let config = Config::load(&first.context("no configuration")?)?;
        let control = ControlSide::attach(&config.segment())?;
        let segment = control.about.path.clone().map(|path| Segment {
            _watched: Watched::file(&path),
            path,
        });
        if let Some(directory) = segment.as_ref().and_then(|segment| segment.path.parent()) {
            leftovers::sweep(directory)?;
        }
        let filled = tables::fill(&control, sessions, layout)?;
        let ground = Ground {
            control,
            layout,
            sessions,
            frames,
            burst: config.worker.burst,
            _segment: segment,
            _watched: watched,
            dir,
        };
        Ok((ground, filled))
    }

    /// Writes the files of `traffic`, named `name`.
    pub fn files(&self, name: &str, traffic: &Traffic) -> anyhow::Result<Files> {
        let mut parts = Vec::new();
        for at in 0..self.layout.ports() {
            let part = traffic.only(|session| usize::from(self.layout.port_of(session)) == at);
            let direction = traffic.direction().label();
            let path = self.dir.path().join(format!("{name}.{direction}.{at}.pcap"));
            let file = File::create(&path).with_context(|| path.display().to_string())?;
            part.write_pcap(&HARNESS, BufWriter::new(file))?;
            parts.push(Part { traffic: part, path });
        }
        Ok(Files {
            direction: traffic.direction(),
            parts,
        })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The worker's configuration for files of this direction.
    pub fn config(&self, direction: Direction, taker: Taker) -> anyhow::Result<PathBuf> {
        let path = self.layout.write_config(
            self.dir.path(),
            direction,
            taker,
            self.sessions,
            mbufs(self.frames),
        )?;
        let burst = format!("[worker]\nburst = {}\n", self.burst);
        let text = std::fs::read_to_string(&path)?.replace("[worker]\n", &burst);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Files {
    pub fn paths(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.path.clone()).collect()
    }
}
