//! Our commands on DPDK's telemetry socket: `dpdk-telemetry.py` and `/sluice/...`.
//!
//! Answers are built on DPDK's telemetry thread, never on an lcore.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use dpdk_sys as sys;

use super::eal::Eal;
use super::errno::Errno;

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("telemetry command {command:?} or its help contains a NUL byte")]
    Text { command: String },
    #[error("telemetry command {command} exists")]
    Exists { command: String },
    #[error("telemetry command {command}: {errno}")]
    Register { command: String, errno: Errno },
}

/// The dictionary that a command answers with. Keys: letters, digits, `_` and `/`. At most 256 entries.
#[derive(Debug)]
pub struct TelemetryReply {
    data: *mut sys::rte_tel_data,
    failed: Option<c_int>,
}

impl TelemetryReply {
    pub fn number(&mut self, key: &str, value: u64) {
        let Ok(key) = CString::new(key) else { return };
        // SAFETY: `data` is the dictionary of the running callback; the key is copied.
        let code = unsafe { sys::rte_tel_data_add_dict_u64(self.data, key.as_ptr(), value) };
        self.note(code);
    }

    /// Cut at 127 bytes by DPDK.
    pub fn text(&mut self, key: &str, value: &str) {
        let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) else {
            return;
        };
        // SAFETY: `data` is the dictionary of the running callback; key and text are copied.
        let code = unsafe { sys::rte_tel_data_add_dict_string(self.data, key.as_ptr(), value.as_ptr()) };
        self.note(code);
    }

    fn note(&mut self, code: c_int) {
        let was_cut = code == -rustix::io::Errno::TOOBIG.raw_os_error();
        if code < 0 && !was_cut {
            self.failed.get_or_insert(code);
        }
    }
}

impl Eal {
    /// Adds `command` (e.g. `/sluice/info`), for as long as the process lives. `answer` gets what followed a comma in
    /// the request, and fills the reply. It may lock and allocate, and runs on DPDK's telemetry thread.
    pub fn add_telemetry(
        &self,
        command: &str,
        help: &str,
        answer: impl Fn(&str, &mut TelemetryReply) + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        let text = || TelemetryError::Text {
            command: command.to_owned(),
        };
        let c_command = CString::new(command).map_err(|_| text())?;
        let c_help = CString::new(help).map_err(|_| text())?;
        // Held over the registration, so that a request between the two waits for the answer to be there.
        let mut commands = COMMANDS.lock().unwrap_or_else(PoisonError::into_inner);
        if commands.contains_key(command) {
            return Err(TelemetryError::Exists {
                command: command.to_owned(),
            });
        }
        // SAFETY: both texts are copied; the callback is a function and lives for ever.
        let code =
            unsafe { sys::rte_telemetry_register_cmd(c_command.as_ptr(), Some(call), c_help.as_ptr()) };
        if code < 0 {
            return Err(TelemetryError::Register {
                command: command.to_owned(),
                errno: Errno::from_return(code),
            });
        }
        commands.insert(command.to_owned(), Arc::new(answer));
        Ok(())
    }
}

type Answer = dyn Fn(&str, &mut TelemetryReply) + Send + Sync;

/// By command: DPDK's callback gets no pointer of ours, only the command's name.
static COMMANDS: Mutex<BTreeMap<String, Arc<Answer>>> = Mutex::new(BTreeMap::new());

unsafe extern "C" fn call(
    command: *const c_char,
    parameters: *const c_char,
    data: *mut sys::rte_tel_data,
) -> c_int {
    // SAFETY: DPDK passes the command as a NUL-terminated string, valid for the call.
    let command = unsafe { CStr::from_ptr(command) }.to_string_lossy();
    let parameters = if parameters.is_null() {
        String::new()
    } else {
        // SAFETY: NUL-terminated where it is not NULL, valid for the call.
        unsafe { CStr::from_ptr(parameters) }
            .to_string_lossy()
            .into_owned()
    };
    let answer = COMMANDS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(command.as_ref())
        .cloned();
    let Some(answer) = answer else {
        return -rustix::io::Errno::NOENT.raw_os_error();
    };
    // SAFETY: the empty answer that DPDK passed for this call.
    let started = unsafe { sys::rte_tel_data_start_dict(data) };
    if started < 0 {
        return started;
    }
    let mut reply = TelemetryReply { data, failed: None };
    // A panic must not unwind into C.
    match catch_unwind(AssertUnwindSafe(|| answer(&parameters, &mut reply))) {
        Ok(()) => reply.failed.unwrap_or(0),
        Err(_) => -rustix::io::Errno::FAULT.raw_os_error(),
    }
}
