//! Making, finding and mapping the segment.
//!
//! Whoever comes first, under `segment.lock`, creates the file: on hugetlbfs where there are huge pages, else on ordinary pages in
//! the run directory. `control.lock` and `worker.lock` are held for a process's life, as is a byte of the segment itself: a second one
//! of either refuses to start, and a death is proved by the kernel releasing the lock, never by a timeout (see `locks`).
//!
//! A segment that is of another layout, another geometry or an earlier boot is thrown away and made anew, provided that nobody is on
//! it; control rebuilds its tables from the store.
#![allow(unsafe_code)]

mod files;
mod locks;
mod mapping;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::layout::{Difference, Geometry, GeometryError, Layout, SEED_WORD};
pub(crate) use locks::Locks;
use locks::{Guard, is_on, runs_in, take_role};
pub(crate) use mapping::{Access, Mapping};

/// Which process maps the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Control,
    Worker,
    /// Reads everything, writes nothing, takes no lock.
    Observer,
}

/// Where the segment's memory comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The first hugetlbfs mount of 2 MiB pages that holds the segment, else ordinary pages.
    Auto,
    /// This hugetlbfs mount or nothing.
    Mount(PathBuf),
    /// Ordinary pages in the run directory.
    Ordinary,
}

/// What a process needs to find the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentConfig {
    pub name: String,
    /// Holds the lock files, and the segment itself when it is on ordinary pages.
    pub run_dir: PathBuf,
    pub pages: Pages,
    pub geometry: Geometry,
}

/// Why a segment cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("{0}")]
    Geometry(#[from] GeometryError),
    #[error("another {role:?} process holds {}", path.display())]
    AlreadyRunning { role: Role, path: PathBuf },
    #[error("segment {}: {difference}; stop the other process first", path.display())]
    Layout { path: PathBuf, difference: Difference },
    #[error("segment {} does not exist: start sluice-worker or sluice-control first", path.display())]
    Absent { path: PathBuf },
    #[error(
        "a {role:?} process runs here, but not on segment {}: its file was removed, or its hugetlbfs setting is another; restart it",
        path.display()
    )]
    Elsewhere { role: Role, path: PathBuf },
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// The mapped segment with the locks held.
#[derive(Debug)]
pub(crate) struct Segment {
    pub layout: Layout,
    pub control: Arc<Mapping>,
    pub worker: Arc<Mapping>,
    /// What the segment's creator seeded the access index's hash with.
    pub seed: u64,
    pub about: About,
    pub locks: Locks,
}

/// What a process may want to log about the segment it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `None` for a segment in anonymous memory.
    pub path: Option<PathBuf>,
    pub huge_pages: bool,
    /// Whether this process made it: its tables are empty.
    pub created: bool,
    /// Why huge pages were wanted and not had.
    pub warning: Option<String>,
}

impl Segment {
    /// Takes the role's locks, and finds or makes the segment.
    pub fn attach(config: &SegmentConfig, role: Role) -> Result<Segment, SegmentError> {
        config.geometry.validate()?;
        let run_dir = &config.run_dir;
        let absent = || SegmentError::Absent {
            path: files::ordinary_path(config),
        };
        if role != Role::Observer {
            fs::create_dir_all(run_dir).map_err(io_error("cannot create run directory", run_dir))?;
        }
        // Under the guard a held role lock means a process that is attached, not one that is on its way here.
        let _guard = Guard::take(run_dir, role)?.ok_or_else(absent)?;
        let role_lock = take_role(run_dir, role)?;
        let (file, about) = match files::find(config) {
            Some(path) => open_or_replace(config, role, path)?,
            None if role == Role::Observer => return Err(absent()),
            None => {
                if runs_in(run_dir, role.other()) {
                    return Err(elsewhere(config, role));
                }
                files::create(config)?
            }
        };
        let locks = match &about.path {
            Some(path) => Locks::take(role_lock, path, role)?,
            None => Locks::none(role),
        };
        Segment::map(&file, Layout::of(&config.geometry), role, about, locks)
    }

    /// A segment in anonymous memory for both sides of one process: unit tests, benchmarks. Its pages come as they are touched.
    pub fn in_memory(geometry: &Geometry) -> Result<Arc<File>, SegmentError> {
        geometry.validate()?;
        let path = Path::new("memfd");
        let fd = memfd_create("sluice", MemfdFlags::CLOEXEC)
            .map_err(|e| io_error("cannot create", path)(e.into()))?;
        let file = File::from(fd);
        ftruncate(&file, Layout::of(geometry).total() as u64)
            .map_err(|e| io_error("cannot size", path)(e.into()))?;
        files::sign(&file, path, geometry)?;
        Ok(Arc::new(file))
    }

    /// Maps an in-memory segment.
    pub fn map_memory(file: &File, geometry: &Geometry, role: Role) -> Result<Segment, SegmentError> {
        let about = About {
            path: None,
            huge_pages: false,
            created: true,
            warning: None,
        };
        Segment::map(file, Layout::of(geometry), role, about, Locks::none(role))
    }

    fn map(
        file: &File,
        layout: Layout,
        role: Role,
        about: About,
        locks: Locks,
    ) -> Result<Segment, SegmentError> {
        let path = about.path.clone().unwrap_or_else(|| PathBuf::from("memfd"));
        let map = |start, len, writer| {
            let access = if role == writer {
                Access::Write
            } else {
                Access::Read
            };
            Mapping::new(file, start, len, access).map_err(io_error("cannot map", &path))
        };
        let control = map(layout.control_start, layout.control_len, Role::Control)?;
        let worker = map(layout.worker_start, layout.worker_len, Role::Worker)?;
        let seed = files::read_preamble(file, &path)?[SEED_WORD];
        Ok(Segment {
            layout,
            control,
            worker,
            seed,
            about,
            locks,
        })
    }
}

/// Opens what an earlier process left, or makes it anew where it does not fit and nobody is on it.
fn open_or_replace(config: &SegmentConfig, role: Role, path: PathBuf) -> Result<(File, About), SegmentError> {
    let file = files::open(&path, role)?;
    let other_is_here = is_on(&file, role.other());
    if role != Role::Observer && !other_is_here && runs_in(&config.run_dir, role.other()) {
        return Err(elsewhere(config, role));
    }
    match files::check_layout(&file, &path, &config.geometry) {
        Ok(()) => {
            let about = About {
                huge_pages: files::is_huge(config, &path),
                path: Some(path),
                created: false,
                warning: None,
            };
            Ok((file, about))
        }
        Err(SegmentError::Layout { path, .. })
            if role != Role::Observer && !other_is_here && !is_on(&file, role) =>
        {
            fs::remove_file(&path).map_err(io_error("cannot remove old segment", &path))?;
            files::create(config)
        }
        Err(error) => Err(error),
    }
}

fn elsewhere(config: &SegmentConfig, role: Role) -> SegmentError {
    SegmentError::Elsewhere {
        role: role.other(),
        path: files::find(config).unwrap_or_else(|| files::ordinary_path(config)),
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SegmentError + use<> {
    let path = path.to_owned();
    move |source| SegmentError::Io { what, path, source }
}
