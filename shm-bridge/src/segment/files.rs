//! Where the segment's file lies, and how it is made: on huge pages where there are any, else on ordinary ones, reserved
//! in full either way, so that no later access can find the file system full (which would be a SIGBUS in a worker's loop).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, ftruncate};

use super::mapping::{Access, Mapping};
use super::{About, Pages, Role, SegmentConfig, SegmentError, io_error};
use crate::layout::{
    Difference, Geometry, Identity, Layout, PREAMBLE_WORDS, REGION_ALIGN, compare_preamble, preamble,
};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

/// The page size that regions are aligned to.
const HUGE_PAGE: usize = REGION_ALIGN;

/// Where the segment lies on ordinary pages.
pub(super) fn ordinary_path(config: &SegmentConfig) -> PathBuf {
    config.run_dir.join(format!("{}.seg", config.name))
}

fn huge_path(config: &SegmentConfig, mount: &Path) -> PathBuf {
    mount.join("sluice").join(format!("{}.seg", config.name))
}

/// Mounts of hugetlbfs, as the kernel lists them; whether their pages have our size is asked of each.
fn huge_mounts() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (dir, kind) = (fields.next()?, fields.next()?);
            (kind == "hugetlbfs").then(|| PathBuf::from(dir))
        })
        .collect()
}

fn candidate_mounts(config: &SegmentConfig) -> Vec<PathBuf> {
    match &config.pages {
        Pages::Auto => huge_mounts()
            .into_iter()
            .filter(|mount| check_mount(mount).is_ok())
            .collect(),
        Pages::Mount(mount) => vec![mount.clone()],
        Pages::Ordinary => Vec::new(),
    }
}

/// A directory that is no hugetlbfs would give ordinary pages under the name of huge ones.
fn check_mount(mount: &Path) -> Result<(), SegmentError> {
    let error = |source| io_error("cannot take huge pages from", mount)(source);
    let about = rustix::fs::statfs(mount).map_err(|e| error(e.into()))?;
    if about.f_type != libc::HUGETLBFS_MAGIC {
        return Err(error(io::Error::other("it is not a hugetlbfs")));
    }
    if about.f_bsize as usize != HUGE_PAGE {
        let text = format!("its pages have {} bytes, not {HUGE_PAGE}", about.f_bsize);
        return Err(error(io::Error::other(text)));
    }
    Ok(())
}

/// The file of an earlier process, if there is one.
pub(super) fn find(config: &SegmentConfig) -> Option<PathBuf> {
    let huge = candidate_mounts(config)
        .into_iter()
        .map(|mount| huge_path(config, &mount));
    huge.chain([ordinary_path(config)]).find(|path| path.exists())
}

pub(super) fn is_huge(config: &SegmentConfig, path: &Path) -> bool {
    path != ordinary_path(config)
}

/// Opens a segment; its layout is not looked at yet.
pub(super) fn open(path: &Path, role: Role) -> Result<File, SegmentError> {
    OpenOptions::new()
        .read(true)
        .write(role != Role::Observer)
        .open(path)
        .map_err(io_error("cannot open segment", path))
}

/// Whether the segment is what this program and configuration expect.
pub(super) fn check_layout(file: &File, path: &Path, geometry: &Geometry) -> Result<(), SegmentError> {
    let layout = |difference| SegmentError::Layout {
        path: path.to_owned(),
        difference,
    };
    let expected = Layout::of(geometry).total() as u64;
    let found = file
        .metadata()
        .map_err(io_error("cannot stat segment", path))?
        .len();
    let size = layout(Difference {
        name: "size",
        found,
        expected,
    });
    if found < (PREAMBLE_WORDS * 8) as u64 {
        return Err(size);
    }
    compare_preamble(&read_preamble(file, path)?, geometry, boot()).map_err(layout)?;
    if found == expected { Ok(()) } else { Err(size) }
}

/// The words of the preamble. hugetlbfs files cannot be read with `read` on every kernel, so they are mapped.
pub(super) fn read_preamble(file: &File, path: &Path) -> Result<Vec<u64>, SegmentError> {
    let mapping =
        Mapping::new(file, 0, REGION_ALIGN, Access::Read).map_err(io_error("cannot map segment", path))?;
    let cells = Shared::<AtomicU64>::new(&mapping, 0, PREAMBLE_WORDS);
    Ok(cells.iter().map(|cell| cell.load(Ordering::Relaxed)).collect())
}

/// Makes the segment on the first pages that hold it.
pub(super) fn create(config: &SegmentConfig) -> Result<(File, About), SegmentError> {
    let mut warning = None;
    for mount in candidate_mounts(config) {
        let path = huge_path(config, &mount);
        match check_mount(&mount).and_then(|()| create_at(&path, &config.geometry)) {
            Ok(file) => {
                let about = About {
                    path: Some(path),
                    huge_pages: true,
                    created: true,
                    warning: None,
                };
                return Ok((file, about));
            }
            Err(error) if config.pages == Pages::Auto => {
                warning = Some(match &error {
                    SegmentError::Io { source, .. } => format!("{error}: {source}"),
                    other => other.to_string(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    if config.pages == Pages::Auto && warning.is_none() {
        warning = Some("no hugetlbfs with 2 MiB pages is mounted".to_owned());
    }
    let path = ordinary_path(config);
    let file = create_at(&path, &config.geometry)?;
    let about = About {
        path: Some(path),
        huge_pages: false,
        created: true,
        warning,
    };
    Ok((file, about))
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
    let made = reserve(&file, Layout::of(geometry).total() as u64)
        .map_err(io_error("cannot reserve the pages of segment", path))
        .and_then(|()| sign(&file, path, geometry));
    if let Err(error) = made {
        // A half-made file must not be found by the next; the error that matters is the first one.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Gives the file its size and all its pages, zeroed.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    ftruncate(file, bytes)?;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system that cannot reserve is made to by writing.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0u8; 1 << 20];
            let mut at = 0;
            while at < bytes {
                let part = zeros.len().min((bytes - at) as usize);
                file.write_all_at(&zeros[..part], at)?;
                at += part as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes the preamble, last of all: a file without it is no segment.
pub(super) fn sign(file: &File, path: &Path, geometry: &Geometry) -> Result<(), SegmentError> {
    let mapping =
        Mapping::new(file, 0, REGION_ALIGN, Access::Write).map_err(io_error("cannot map segment", path))?;
    let cells = Shared::<AtomicU64>::new(&mapping, 0, PREAMBLE_WORDS);
    let words = preamble(geometry, &Identity::fresh(boot()));
    // The magic comes last: who dies on the way leaves something that nobody attaches to.
    for (cell, word) in cells.iter().zip(words).rev() {
        cell.store(word, Ordering::Release);
    }
    Ok(())
}

/// Tells one run of the kernel from another; 0 where it does not say.
pub(super) fn boot() -> u64 {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or(0, |id| crate::layout::hash(&[id.trim()]))
}
