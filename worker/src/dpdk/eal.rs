//! DPDK's environment as a value: made once from the command line, cleaned up when dropped.
//!
//! ```text
//!   sluice-worker -l 0,1 --vdev net_tap0,iface=acc0 -- --config /etc/sluice/sluice.toml
//!                 └──────────── EAL's ────────────┘    └──────────── ours ────────────┘
//! ```

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dpdk_sys as sys;

use super::errno::Errno;

/// Everything before this is DPDK's, everything after it ours.
const SEPARATOR: &str = "--";

/// EAL keeps its state in C globals and starts once a process, even after a failure.
static STARTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, thiserror::Error)]
pub enum EalError {
    #[error("EAL starts once a process, and it has been started before")]
    AlreadyStarted,
    #[error("argument {argument:?} contains a NUL byte")]
    Argument { argument: String },
    #[error("EAL did not start: {errno}; arguments were: {arguments}; its own log above says why")]
    Init { errno: Errno, arguments: String },
}

/// The started environment. It stays on the thread that started it, which becomes the main lcore.
///
/// Dropping it waits for the worker lcores to return, so set their stop flag first.
#[derive(Debug)]
pub struct Eal {
    pub(super) shared: Arc<EalShared>,
    main_thread_only: PhantomData<*const ()>,
}

impl Eal {
    /// Starts EAL. `arguments` begins with the program's name; what follows `--` is returned untouched. All of it is
    /// EAL's where there is no `--`.
    ///
    /// `--huge-unlink` is added where hugepages are used and nothing contradicts it: without it a killed primary
    /// leaves its pages allocated.
    pub fn init(arguments: impl IntoIterator<Item = String>) -> Result<(Eal, Vec<String>), EalError> {
        let (eal_arguments, ours) = split(arguments);
        let eal_arguments = with_defaults(eal_arguments);
        let mut argv = to_argv(&eal_arguments)?;
        let argc = c_int::try_from(eal_arguments.len()).unwrap_or(c_int::MAX);

        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        // SAFETY: argv is argc writable pointers to NUL-terminated strings and a NULL, as main's would be. EAL permutes
        // the pointers and may keep some: the strings were leaked for that, and STARTED makes it once a process.
        if unsafe { sys::rte_eal_init(argc, argv.as_mut_ptr()) } < 0 {
            return Err(EalError::Init {
                errno: Errno::last(),
                arguments: eal_arguments.join(" "),
            });
        }
        Ok((
            Eal {
                shared: Arc::default(),
                main_thread_only: PhantomData,
            },
            ours,
        ))
    }

    /// Whether memory comes from hugepages (`--no-huge` not given).
    pub fn has_hugepages(&self) -> bool {
        // SAFETY: reads EAL's configuration, which exists since init.
        unsafe { sys::rte_eal_has_hugepages() != 0 }
    }

    /// Where this process keeps its files and its telemetry socket, e.g. `/var/run/dpdk/rte`.
    pub fn runtime_dir(&self) -> PathBuf {
        // SAFETY: a NUL-terminated string in EAL's static storage, written once during init.
        PathBuf::from(
            unsafe { CStr::from_ptr(sys::rte_eal_get_runtime_dir()) }
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// E.g. `DPDK 22.11.11`. The library's that is loaded, not the headers'.
    pub fn version(&self) -> String {
        // SAFETY: a NUL-terminated string in static storage.
        unsafe { CStr::from_ptr(sys::rte_version()) }
            .to_string_lossy()
            .into_owned()
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        self.join_all();
        // get_mut is Some only when no Port, queue, Mempool or handoff holds a clone, and it synchronises with the
        // drop of the last one. Their Drop has closed the devices by then, so drivers hold no mbufs either.
        let unused = Arc::get_mut(&mut self.shared).is_some_and(|shared| shared.mbufs_in_use() == 0);
        if unused {
            // SAFETY: unmaps EAL's memory, so nothing may point into it. Lcores have been joined; devices, queues and
            // rings are gone; every mbuf is back in its pool, and none can appear any more: it would need a queue or a
            // pool handle. This is the main lcore, as cleanup asks for.
            unsafe { sys::rte_eal_cleanup() };
        } else {
            eprintln!("EAL: ports or mbufs are still in use; its memory is left to the end of the process");
        }
    }
}

/// What ports, queues, pools and handoffs hold a clone of, so that cleanup cannot pull memory from under them.
#[derive(Debug, Default)]
pub(super) struct EalShared {
    pools: Mutex<Vec<PoolPointer>>,
}

#[derive(Debug)]
struct PoolPointer(NonNull<sys::rte_mempool>);

// SAFETY: a pool is shared between lcores by design; it is freed by nobody before cleanup, and the pointer is used for
// counting alone.
unsafe impl Send for PoolPointer {}

impl EalShared {
    pub(super) fn remember(&self, pool: NonNull<sys::rte_mempool>) {
        self.pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(PoolPointer(pool));
    }

    fn mbufs_in_use(&mut self) -> usize {
        let pools = self.pools.get_mut().unwrap_or_else(PoisonError::into_inner);
        pools
            .iter()
            // SAFETY: pools live until cleanup, and the only caller of this is what decides on cleanup.
            .map(|pool| unsafe { sys::rte_mempool_in_use_count(pool.0.as_ptr()) } as usize)
            .sum()
    }
}

fn split(arguments: impl IntoIterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let mut arguments = arguments.into_iter();
    let eal = arguments
        .by_ref()
        .take_while(|argument| argument != SEPARATOR)
        .collect();
    (eal, arguments.collect())
}

/// `--huge-unlink`, unless an argument already speaks of it or EAL would refuse the combination.
fn with_defaults(mut arguments: Vec<String>) -> Vec<String> {
    let contradicts = |argument: &String| {
        let name = argument.split('=').next().unwrap_or_default();
        // getopt accepts every unambiguous beginning of a long option.
        [
            "--huge-unlink",
            "--no-huge",
            "--in-memory",
            "--single-file-segments",
        ]
        .into_iter()
        .zip([8, 7, 4, 4])
        .any(|(option, shortest)| name.len() >= shortest && option.starts_with(name))
            || argument.starts_with("--proc-type=s")
    };
    if arguments.is_empty() {
        arguments.push(env!("CARGO_PKG_NAME").to_owned());
    }
    if !arguments.iter().any(contradicts) {
        arguments.insert(1, "--huge-unlink".to_owned());
    }
    arguments
}

/// C's argv: the strings leaked (EAL may keep pointers into them for as long as the process lives), then a NULL.
fn to_argv(arguments: &[String]) -> Result<Vec<*mut c_char>, EalError> {
    let to_c = |argument: &String| {
        CString::new(argument.as_str()).map_err(|_| EalError::Argument {
            argument: argument.clone(),
        })
    };
    let strings = arguments.iter().map(to_c).collect::<Result<Vec<_>, _>>()?;
    Ok(strings
        .into_iter()
        .map(CString::into_raw)
        .chain([std::ptr::null_mut()])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_follows_the_separator_is_ours() {
        let (eal, ours) = split(words("worker -l 1 -- --config f -- x"));

        assert_eq!(eal, words("worker -l 1"));
        assert_eq!(ours, words("--config f -- x"));
    }

    #[test]
    fn without_a_separator_all_is_eals() {
        let (eal, ours) = split(words("worker -l 1"));

        assert_eq!(eal, words("worker -l 1"));
        assert!(ours.is_empty());
    }

    #[test]
    fn pages_are_unlinked_unless_something_contradicts() {
        assert_eq!(
            with_defaults(words("worker -l 1")),
            words("worker --huge-unlink -l 1")
        );
        for contradiction in [
            "--no-huge",
            "--no-hu",
            "--in-memory",
            "--huge-unlink=never",
            "--single-file-segments",
            "--proc-type=secondary",
        ] {
            let line = format!("worker {contradiction} -l 1");
            assert_eq!(with_defaults(words(&line)), words(&line));
        }
        assert_eq!(
            with_defaults(words("worker --no-hpet")),
            words("worker --huge-unlink --no-hpet")
        );
        assert_eq!(
            with_defaults(words("worker --huge-dir /mnt")),
            words("worker --huge-unlink --huge-dir /mnt")
        );
    }
}
