//! Making, finding and mapping the segment, and the locks that say who is there.
//!
//! Whoever comes first, under `segment.lock`, creates the file: on hugetlbfs where there are huge pages, else on ordinary pages in
//! the run directory. `control.lock` and `worker.lock` are held as open-file-description locks for a process's life: a second
//! one of either refuses to start, and a death is proved by the kernel releasing the lock, never by a timeout.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::layout::{
    Difference, Geometry, GeometryError, Layout, PREAMBLE_WORDS, compare_preamble, preamble,
};

/// Which process maps the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Control,
    Worker,
    /// Reads everything, writes nothing, takes no lock.
    Observer,
}

impl Role {
    fn lock_name(self) -> Option<&'static str> {
        match self {
            Role::Control => Some("control.lock"),
            Role::Worker => Some("worker.lock"),
            Role::Observer => None,
        }
    }
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
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A region of the segment in this process's address space.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is an address range; what is done with the memory goes through atomics (see `shared`).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn new(
        file: &impl std::os::fd::AsFd,
        offset: usize,
        len: usize,
        writable: bool,
    ) -> io::Result<Arc<Mapping>> {
        let protection = if writable {
            ProtFlags::READ | ProtFlags::WRITE
        } else {
            ProtFlags::READ
        };
        // SAFETY: a fresh shared mapping at an address of the kernel's choice aliases nothing of this process.
        let start = unsafe {
            mmap(
                core::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                file,
                offset as u64,
            )?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Arc::new(Mapping { start, len }))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is what mmap returned, and every user of it holds the Arc that is being dropped last.
        // A failure would leave the range mapped, which harms nobody.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The mapped segment with the locks held.
#[derive(Debug)]
pub(crate) struct Segment {
    pub layout: Layout,
    pub control: Arc<Mapping>,
    pub worker: Arc<Mapping>,
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

/// The lock held for this process's life, and where the others' are.
#[derive(Debug)]
pub(crate) struct Locks {
    _own: Option<File>,
    run_dir: Option<PathBuf>,
}

impl Locks {
    /// Whether a process of this role is alive. In one process (tests) everyone is.
    pub fn is_held(&self, role: Role) -> bool {
        match (&self.run_dir, role.lock_name()) {
            (Some(dir), Some(name)) => is_locked(&dir.join(name)),
            _ => true,
        }
    }
}

impl Segment {
    /// Takes the role's lock, then finds or makes the segment.
    pub fn attach(config: &SegmentConfig, role: Role) -> Result<Segment, SegmentError> {
        config.geometry.validate()?;
        let run_dir = &config.run_dir;
        fs::create_dir_all(run_dir).map_err(io_error("cannot create run directory", run_dir))?;
        let own = match role.lock_name() {
            Some(name) => Some(take_lock(&run_dir.join(name), role)?),
            None => None,
        };
        let locks = Locks {
            _own: own,
            run_dir: Some(run_dir.clone()),
        };

        let guard_path = run_dir.join("segment.lock");
        let guard = open_lock(&guard_path)?;
        rustix::fs::flock(&guard, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| io_error("cannot lock", &guard_path)(e.into()))?;

        let (file, about) = match find(config) {
            Some(path) => match open_existing(&path, config) {
                Err(SegmentError::Layout { path, difference }) => {
                    let other = if role == Role::Control {
                        Role::Worker
                    } else {
                        Role::Control
                    };
                    if role == Role::Observer || locks.is_held(other) {
                        return Err(SegmentError::Layout { path, difference });
                    }
                    // Nobody else uses it: an old layout's tables are rebuilt from the store.
                    fs::remove_file(&path).map_err(io_error("cannot remove old segment", &path))?;
                    create(config)?
                }
                other => (
                    other?,
                    About {
                        huge_pages: is_huge(config, &path),
                        path: Some(path),
                        created: false,
                        warning: None,
                    },
                ),
            },
            None if role == Role::Observer => {
                return Err(SegmentError::Absent {
                    path: ordinary_path(config),
                });
            }
            None => create(config)?,
        };
        Segment::map(&file, Layout::of(&config.geometry), role, about, locks)
    }

    /// A segment in anonymous memory for both sides of one process: unit tests, benchmarks.
    pub fn in_memory(geometry: &Geometry) -> Result<Arc<File>, SegmentError> {
        geometry.validate()?;
        let path = Path::new("memfd");
        let fd = memfd_create("sluice", MemfdFlags::CLOEXEC)
            .map_err(|e| io_error("cannot create", path)(e.into()))?;
        let file = File::from(fd);
        size_and_sign(&file, path, geometry)?;
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
        Segment::map(
            file,
            Layout::of(geometry),
            role,
            about,
            Locks {
                _own: None,
                run_dir: None,
            },
        )
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
            Mapping::new(file, start, len, role == writer).map_err(io_error("cannot map", &path))
        };
        let control = map(layout.control_start, layout.control_len, Role::Control)?;
        let worker = map(layout.worker_start, layout.worker_len, Role::Worker)?;
        Ok(Segment {
            layout,
            control,
            worker,
            about,
            locks,
        })
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SegmentError + use<> {
    let path = path.to_owned();
    move |source| SegmentError::Io { what, path, source }
}

fn ordinary_path(config: &SegmentConfig) -> PathBuf {
    config.run_dir.join(format!("{}.seg", config.name))
}

fn huge_path(config: &SegmentConfig, mount: &Path) -> PathBuf {
    mount.join("sluice").join(format!("{}.seg", config.name))
}

/// Mounts of hugetlbfs with 2 MiB pages.
fn huge_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, dir, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let size = options.split(',').find_map(|o| o.strip_prefix("pagesize="));
            (kind == "hugetlbfs" && size.is_none_or(|s| s == "2M")).then(|| PathBuf::from(dir))
        })
        .collect()
}

fn candidate_mounts(config: &SegmentConfig) -> Vec<PathBuf> {
    match &config.pages {
        Pages::Auto => huge_mounts(),
        Pages::Mount(mount) => vec![mount.clone()],
        Pages::Ordinary => Vec::new(),
    }
}

fn find(config: &SegmentConfig) -> Option<PathBuf> {
    let huge = candidate_mounts(config)
        .into_iter()
        .map(|mount| huge_path(config, &mount));
    huge.chain([ordinary_path(config)]).find(|path| path.exists())
}

fn is_huge(config: &SegmentConfig, path: &Path) -> bool {
    path != ordinary_path(config)
}

fn open_existing(path: &Path, config: &SegmentConfig) -> Result<File, SegmentError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(io_error("cannot open segment", path))?;
    let layout = |difference| SegmentError::Layout {
        path: path.to_owned(),
        difference,
    };
    let total = Layout::of(&config.geometry).total() as u64;
    let len = file
        .metadata()
        .map_err(io_error("cannot stat segment", path))?
        .len();
    if len < (PREAMBLE_WORDS * 8) as u64 {
        return Err(layout(Difference {
            name: "size",
            found: len,
            expected: total,
        }));
    }
    let words = read_preamble(&file, path)?;
    compare_preamble(&words, &config.geometry).map_err(layout)?;
    if len != total {
        return Err(layout(Difference {
            name: "size",
            found: len,
            expected: total,
        }));
    }
    Ok(file)
}

/// hugetlbfs files cannot be read with `read` on every kernel, so the preamble is mapped.
fn read_preamble(file: &File, path: &Path) -> Result<Vec<u64>, SegmentError> {
    let mapping = Mapping::new(file, 0, crate::layout::REGION_ALIGN, false)
        .map_err(io_error("cannot map segment", path))?;
    let cells = crate::shared::Shared::<crate::sync::AtomicU64>::new(&mapping, 0, PREAMBLE_WORDS);
    Ok(cells
        .iter()
        .map(|cell| cell.load(crate::sync::Ordering::Relaxed))
        .collect())
}

fn create(config: &SegmentConfig) -> Result<(File, About), SegmentError> {
    let mut warning = None;
    for mount in candidate_mounts(config) {
        let path = huge_path(config, &mount);
        match create_at(&path, &config.geometry) {
            Ok(file) => {
                return Ok((
                    file,
                    About {
                        path: Some(path),
                        huge_pages: true,
                        created: true,
                        warning: None,
                    },
                ));
            }
            Err(error) if config.pages == Pages::Auto => {
                let cause = match &error {
                    SegmentError::Io { source, .. } => format!("{error}: {source}"),
                    other => other.to_string(),
                };
                warning = Some(cause);
            }
            Err(error) => return Err(error),
        }
    }
    if config.pages == Pages::Auto && warning.is_none() {
        warning = Some("no hugetlbfs with 2 MiB pages is mounted".to_owned());
    }
    let path = ordinary_path(config);
    let file = create_at(&path, &config.geometry)?;
    Ok((
        file,
        About {
            path: Some(path),
            huge_pages: false,
            created: true,
            warning,
        },
    ))
}

fn create_at(path: &Path, geometry: &Geometry) -> Result<File, SegmentError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(io_error("cannot create directory", dir))?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io_error("cannot create segment", path))?;
    if let Err(error) = size_and_sign(&file, path, geometry) {
        // A half-made file must not be found by the next; the error that matters is the first one.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Gives the file its size, with the pages reserved so that no later access can fail, and writes the preamble.
fn size_and_sign(file: &File, path: &Path, geometry: &Geometry) -> Result<(), SegmentError> {
    let total = Layout::of(geometry).total();
    ftruncate(file, total as u64).map_err(|e| io_error("cannot size segment", path)(e.into()))?;
    if rustix::fs::fstatfs(file).is_ok_and(|fs| fs.f_type == libc::HUGETLBFS_MAGIC) {
        fallocate(file, FallocateFlags::empty(), 0, total as u64)
            .map_err(|e| io_error("not enough huge pages for segment", path)(e.into()))?;
    }
    let words: Vec<u8> = preamble(geometry)
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    if file.write_all_at(&words, 0).is_ok() {
        return Ok(());
    }
    // hugetlbfs has no write(2).
    let mapping = Mapping::new(file, 0, crate::layout::REGION_ALIGN, true)
        .map_err(io_error("cannot map segment", path))?;
    let cells = crate::shared::Shared::<crate::sync::AtomicU64>::new(&mapping, 0, PREAMBLE_WORDS);
    for (cell, word) in cells.iter().zip(preamble(geometry)) {
        cell.store(word, crate::sync::Ordering::Release);
    }
    Ok(())
}

fn open_lock(path: &Path) -> Result<File, SegmentError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io_error("cannot open lock", path))
}

fn take_lock(path: &Path, role: Role) -> Result<File, SegmentError> {
    let file = open_lock(path)?;
    match ofd_lock(&file, libc::F_OFD_SETLK) {
        Ok(_) => Ok(file),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Err(SegmentError::AlreadyRunning {
                role,
                path: path.to_owned(),
            })
        }
        Err(error) => Err(io_error("cannot lock", path)(error)),
    }
}

/// Whether somebody holds the lock; asking takes nothing.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
        return false;
    };
    match ofd_lock(&file, libc::F_OFD_GETLK) {
        Ok(kind) => kind != libc::F_UNLCK as libc::c_short,
        // Who cannot tell must assume that somebody lives.
        Err(_) => true,
    }
}

/// An exclusive lock on the whole file, taken or asked about; returns the kind the kernel wrote back.
fn ofd_lock(file: &File, command: libc::c_int) -> io::Result<libc::c_short> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open for the whole call, and `lock` is a flock structure that the kernel reads and writes.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(lock.l_type)
    }
}
