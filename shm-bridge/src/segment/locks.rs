//! The locks that say who is there.
//!
//! Three kinds, each released by the kernel when its holder dies:
//! - `segment.lock` in the run directory is held while a process looks for, makes and locks the segment, so that of any
//!   number that start at once one acts at a time.
//! - `control.lock` and `worker.lock` in the run directory are held for a process's life: a second one of either refuses to
//!   start.
//! - A byte of the segment file itself, one for each role, is held for a process's life too. It is what liveness is read from: it
//!   cannot be told wrong by a lock file that was removed, and it stops two installations with run directories of their own
//!   from sharing one segment by a common name.
//!
//! The locks of roles belong to open file descriptions (`F_OFD_SETLK`): they end with the process, not with some thread's
//! `close` of another descriptor of the same file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Role, SegmentError, io_error};

/// Which part of a file a lock covers.
#[derive(Clone, Copy)]
struct Range {
    start: libc::off_t,
    /// 0 = to the end, however long the file grows.
    len: libc::off_t,
}

const WHOLE: Range = Range { start: 0, len: 0 };

impl Role {
    pub(super) fn lock_name(self) -> Option<&'static str> {
        match self {
            Role::Control => Some("control.lock"),
            Role::Worker => Some("worker.lock"),
            Role::Observer => None,
        }
    }

    /// The role's byte of the segment file.
    fn byte(self) -> Option<Range> {
        match self {
            Role::Control => Some(Range { start: 0, len: 1 }),
            Role::Worker => Some(Range { start: 1, len: 1 }),
            Role::Observer => None,
        }
    }

    /// Who else must agree before a segment is thrown away.
    pub(super) fn other(self) -> Role {
        match self {
            Role::Control => Role::Worker,
            _ => Role::Control,
        }
    }
}

/// Held while the segment is looked for or made.
pub(super) struct Guard(#[allow(dead_code, reason = "held for its lock")] File);

impl Guard {
    /// Waits for whoever is at it. `None` where there is no lock file and the observer, who makes nothing, finds nobody ever
    /// was here.
    pub fn take(run_dir: &Path, role: Role) -> Result<Option<Guard>, SegmentError> {
        let path = run_dir.join("segment.lock");
        let file = if role == Role::Observer {
            match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                opened => opened.map_err(io_error("cannot open lock", &path))?,
            }
        } else {
            open_lock(&path)?
        };
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| io_error("cannot lock", &path)(e.into()))?;
        Ok(Some(Guard(file)))
    }
}

/// The locks that a process holds for its life, and where it sees the others'.
#[derive(Debug)]
pub(crate) struct Locks {
    own: Role,
    _run_dir: Option<File>,
    /// Our own description of the segment file, not the mapped one: a mapping would keep the lock after we let go.
    /// `None` in anonymous memory.
    segment: Option<File>,
}

impl Locks {
    /// For a segment in anonymous memory: both sides are this process.
    pub fn none(own: Role) -> Locks {
        Locks {
            own,
            _run_dir: None,
            segment: None,
        }
    }

    /// Takes the role's byte of the segment file.
    pub fn take(run_dir: Option<File>, segment: &Path, own: Role) -> Result<Locks, SegmentError> {
        let file = OpenOptions::new()
            .read(true)
            .write(own != Role::Observer)
            .open(segment)
            .map_err(io_error("cannot open segment", segment))?;
        if let Some(byte) = own.byte() {
            set(&file, byte).map_err(|error| refused(error, own, segment))?;
        }
        Ok(Locks {
            own,
            _run_dir: run_dir,
            segment: Some(file),
        })
    }

    /// Whether a process of this role is on our segment.
    pub fn is_held(&self, role: Role) -> bool {
        match (&self.segment, role.byte()) {
            (Some(_), _) if role == self.own => true,
            (Some(file), Some(byte)) => is_locked(file, byte),
            _ => true,
        }
    }
}

/// Whether some process of this role is on the segment in `file`.
pub(super) fn is_on(file: &File, role: Role) -> bool {
    role.byte().is_some_and(|byte| is_locked(file, byte))
}

/// Whether some process of this role runs in this run directory, whatever segment it is on.
pub(super) fn runs_in(run_dir: &Path, role: Role) -> bool {
    let Some(name) = role.lock_name() else {
        return false;
    };
    match File::open(run_dir.join(name)) {
        Ok(file) => is_locked(&file, WHOLE),
        // Who cannot tell must assume that somebody lives.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Takes the role's lock in the run directory.
pub(super) fn take_role(run_dir: &Path, role: Role) -> Result<Option<File>, SegmentError> {
    let Some(name) = role.lock_name() else {
        return Ok(None);
    };
    let path = run_dir.join(name);
    let file = open_lock(&path)?;
    set(&file, WHOLE).map_err(|error| refused(error, role, &path))?;
    Ok(Some(file))
}

fn refused(error: io::Error, role: Role, path: &Path) -> SegmentError {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => SegmentError::AlreadyRunning {
            role,
            path: path.to_owned(),
        },
        _ => io_error("cannot lock", path)(error),
    }
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

/// Takes a lock or fails at once.
fn set(file: &File, range: Range) -> io::Result<()> {
    fcntl(file, libc::F_OFD_SETLK, range).map(|_| ())
}

/// Whether somebody else holds the lock; asking takes nothing.
fn is_locked(file: &File, range: Range) -> bool {
    match fcntl(file, libc::F_OFD_GETLK, range) {
        Ok(kind) => kind != libc::F_UNLCK as libc::c_short,
        // Who cannot tell must assume that somebody lives.
        Err(_) => true,
    }
}

/// An exclusive lock, taken or asked about; returns the kind the kernel wrote back.
fn fcntl(file: &File, command: libc::c_int, range: Range) -> io::Result<libc::c_short> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: range.start,
        l_len: range.len,
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
