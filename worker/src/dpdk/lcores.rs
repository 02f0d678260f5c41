//! EAL's pinned threads: running a closure on one, and the proof of being on one.

use std::any::Any;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use dpdk_sys as sys;

use super::eal::Eal;
use super::errno::Errno;

/// EAL's number of an lcore: `-l 1,3` gives 1 and 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LcoreId(pub(super) c_uint);

impl LcoreId {
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LcoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lcore {}", self.0)
    }
}

/// The proof that this thread is an lcore, so that mempool caches are its own. Given to launched closures, and to the
/// thread that holds the [`Eal`]; it cannot leave its thread.
#[derive(Debug)]
pub struct Lcore {
    id: LcoreId,
    this_thread_only: PhantomData<*const ()>,
}

impl Lcore {
    fn current() -> Self {
        // SAFETY: reads a thread-local integer.
        let id = LcoreId(unsafe { sys::shim_rte_lcore_id() });
        Lcore {
            id,
            this_thread_only: PhantomData,
        }
    }

    pub fn id(&self) -> LcoreId {
        self.id
    }

    /// The CPU it is pinned to, the first where there are several.
    pub fn cpu(&self) -> Option<usize> {
        // SAFETY: the id is a running lcore's; the function reads EAL's table.
        usize::try_from(unsafe { sys::rte_lcore_to_cpu_id(c_int::try_from(self.id.0).unwrap_or(-1)) }).ok()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error("{0} is the main lcore, which runs main itself")]
    Main(LcoreId),
    #[error("{lcore}: cannot launch: {errno}")]
    Launch { lcore: LcoreId, errno: Errno },
}

/// The closure panicked; its message, if it was a string.
#[derive(Debug, thiserror::Error)]
#[error("{lcore} panicked: {message}")]
pub struct LcorePanicked {
    pub lcore: LcoreId,
    pub message: String,
}

impl Eal {
    /// This thread's token: an `Eal` never leaves the main lcore.
    pub fn main_lcore(&self) -> Lcore {
        Lcore::current()
    }

    /// The lcores that [`Eal::launch`] can use, ascending: all of `-l` but the main one.
    pub fn worker_lcores(&self) -> Vec<LcoreId> {
        let mut lcores = Vec::new();
        // SAFETY: walks EAL's table from the given index (-1 is "from the start"), skipping main, not wrapping; the
        // table is fixed after init.
        let next = |after: c_uint| unsafe { sys::rte_get_next_lcore(after, 1, 0) };
        let mut lcore = next(c_uint::MAX);
        while lcore < sys::RTE_MAX_LCORE {
            lcores.push(LcoreId(lcore));
            lcore = next(lcore);
        }
        lcores
    }

    /// The NUMA socket of an lcore, for the placement of its memory.
    pub fn socket_of(&self, lcore: LcoreId) -> u32 {
        // SAFETY: ids come from EAL's own table; reads that table.
        unsafe { sys::rte_lcore_to_socket_id(lcore.0) }
    }

    /// Runs `work` on `lcore`, which must be idle. The queues and whatever else it needs are moved into it.
    pub fn launch<T, F>(&self, lcore: LcoreId, work: F) -> Result<LcoreHandle<'_, T>, LaunchError>
    where
        F: FnOnce(&Lcore) -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: reads EAL's configuration. (Launched at itself, the main lcore would wait for its own answer.)
        if lcore.0 == unsafe { sys::rte_get_main_lcore() } {
            return Err(LaunchError::Main(lcore));
        }
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        let job: Job = Box::new(move |lcore| {
            // A panic must not unwind into C, and the closure's state is gone after it: nobody sees it half-changed.
            let result = catch_unwind(AssertUnwindSafe(|| work(lcore)));
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        });
        let argument = Box::into_raw(Box::new(job)).cast::<c_void>();
        // SAFETY: `run_job` takes the box back exactly once if the launch succeeded. The job is Send and 'static, so it
        // may run on that thread for any time; EAL waits for the thread's answer, which orders the memory.
        let code = unsafe { sys::rte_eal_remote_launch(Some(run_job), argument, lcore.0) };
        if code != 0 {
            // SAFETY: a failed launch has not passed the pointer on (EBUSY is found before), so the box is still ours.
            drop(unsafe { Box::from_raw(argument.cast::<Job>()) });
            return Err(LaunchError::Launch {
                lcore,
                errno: Errno::from_return(code),
            });
        }
        Ok(LcoreHandle {
            lcore,
            outcome,
            eal: PhantomData,
        })
    }

    /// Waits for every worker lcore, whoever holds its handle.
    pub(super) fn join_all(&self) {
        for lcore in self.worker_lcores() {
            wait(lcore);
        }
    }
}

/// A launched closure. Dropping the handle does not stop it; the [`Eal`] waits for it at the latest.
pub struct LcoreHandle<'eal, T> {
    lcore: LcoreId,
    outcome: Arc<Mutex<Option<Outcome<T>>>>,
    eal: PhantomData<&'eal Eal>,
}

impl<T> LcoreHandle<'_, T> {
    pub fn lcore(&self) -> LcoreId {
        self.lcore
    }

    /// Whether the closure has returned or panicked; never waits.
    pub fn is_finished(&self) -> bool {
        // SAFETY: reads the state of an lcore of EAL's table; ordered by EAL with an acquire load.
        unsafe { sys::rte_eal_get_lcore_state(self.lcore.0) != sys::rte_lcore_state_t::RUNNING }
    }

    /// Waits for the closure and returns what it returned.
    pub fn join(self) -> Result<T, LcorePanicked> {
        wait(self.lcore);
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match outcome {
            Some(Ok(value)) => Ok(value),
            Some(Err(payload)) => Err(LcorePanicked {
                lcore: self.lcore,
                message: message_of(payload.as_ref()),
            }),
            None => Err(LcorePanicked {
                lcore: self.lcore,
                message: "no outcome was left".to_owned(),
            }),
        }
    }
}

impl<T> fmt::Debug for LcoreHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LcoreHandle")
            .field("lcore", &self.lcore)
            .finish_non_exhaustive()
    }
}

type Outcome<T> = Result<T, Box<dyn Any + Send>>;
type Job = Box<dyn FnOnce(&Lcore) + Send>;

/// Runs on the lcore, called by EAL with what `launch` boxed.
unsafe extern "C" fn run_job(argument: *mut c_void) -> c_int {
    // SAFETY: the pointer is the one that `launch` leaked, and EAL calls this once for it.
    let job = unsafe { Box::from_raw(argument.cast::<Job>()) };
    job(&Lcore::current());
    0
}

fn wait(lcore: LcoreId) {
    // SAFETY: called on the main lcore only, as asked for: by Eal's drop, and by handles, which borrow the Eal and so
    // never leave its thread. Returns at once for an idle lcore.
    unsafe { sys::rte_eal_wait_lcore(lcore.0) };
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(no message)".to_owned())
}
