//! The running access node: its threads, and what one can do to it.
//!
//! An [`OltHandle`] is cheap to clone and usable from any thread; no call waits for the BNG. In async code
//! use [`tokio::task::spawn_blocking`] for [`OltHandle::connect`], which makes a network device; the others
//! return in microseconds. The node stops with its last handle.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::api;
use crate::config::{OltConfig, OntConfig};
use crate::events::{self, Outbox};
use crate::forwarder::{Forwarder, LineEvent, Plane};
use crate::node::{AccessNode, OntView};
use crate::operations::{OltError, OltStats, Reconfiguration, Shared};
use crate::wire::Frame;

#[derive(Debug)]
pub struct Olt;

impl Olt {
    /// Starts the threads, connects the configured ONTs and serves the API. A trunk that is not there yet
    /// is waited for in the background.
    pub fn start(config: OltConfig) -> Result<OltHandle, OltError> {
        let node = AccessNode::new(
            &config.access_node,
            config.trunk.tagging,
            config.trunk.outer_tpid(),
            config.policy,
        );
        let plane = Arc::new(Plane::new(node).map_err(OltError::system("epoll"))?);
        let forwarder = Forwarder::new(plane.clone(), config.trunk.clone()).prepare();
        let thread = std::thread::Builder::new()
            .name("olt-forward".into())
            .spawn(move || forwarder.run())
            .map_err(OltError::system("forwarding thread"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("olt-api")
            .enable_all()
            .build()
            .map_err(OltError::system("API thread"))?;
        let shared = Arc::new(Shared {
            plane,
            outbox: config.control.is_some().then(Outbox::default),
            bng_port: config.bng_port,
            bounce: Duration::from_millis(config.bounce_milliseconds),
            dark_taps: Mutex::new(Vec::new()),
        });
        let handle = OltHandle {
            running: Arc::new(Running {
                shared: shared.clone(),
                thread: Some(thread),
                runtime: Some(runtime),
                socket: config.socket.clone(),
            }),
        };
        if let Some(runtime) = &handle.running.runtime {
            if let Some(socket) = &config.socket {
                let listener = api::listen(socket, runtime.handle())
                    .map_err(OltError::system(format!("API socket {}", socket.display())))?;
                runtime.spawn(api::serve(listener, shared.clone()));
            }
            if let (Some(control), Some(outbox)) = (config.control, shared.outbox.clone()) {
                runtime.spawn(events::deliver(outbox, control));
            }
        }
        for ont in config.onts {
            handle.connect(ont)?;
        }
        Ok(handle)
    }
}

#[derive(Clone, Debug)]
pub struct OltHandle {
    running: Arc<Running>,
}

impl OltHandle {
    /// An ONT appears: its TAP is made (or lit again), its line opened, control told.
    pub fn connect(&self, ont: OntConfig) -> Result<OntView, OltError> {
        self.running.shared.connect(ont)
    }

    /// The ONT goes dark and is forgotten; its TAP stays, without carrier, as a CPE's port would.
    pub fn disconnect(&self, serial: &str) -> Result<(), OltError> {
        self.running.shared.disconnect(serial)
    }

    pub fn reconfigure(&self, serial: &str, change: Reconfiguration) -> Result<OntView, OltError> {
        self.running.shared.reconfigure(serial, change)
    }

    /// Takes the light from the line now and gives it back after the configured time.
    pub fn bounce(&self, serial: &str) -> Result<(), OltError> {
        self.running.shared.bounce(serial)
    }

    /// Upstream filtering on or off.
    pub fn set_filter(&self, enabled: bool) {
        self.running.shared.set_policy(|policy| policy.filter = enabled);
    }

    /// Insertion of Option 82 on or off.
    pub fn set_option82(&self, enabled: bool) {
        self.running.shared.set_policy(|policy| policy.option82 = enabled);
    }

    pub fn stats(&self) -> OltStats {
        self.running.shared.stats()
    }

    pub fn onts(&self) -> Vec<OntView> {
        self.running.shared.onts()
    }

    pub fn ont(&self, serial: &str) -> Result<OntView, OltError> {
        self.running.shared.ont(serial)
    }

    /// Every change of a line's light from now on.
    pub fn watch_lines(&self) -> mpsc::Receiver<LineEvent> {
        let (sender, receiver) = mpsc::channel();
        self.running.shared.plane.tables().line_watchers.push(sender);
        receiver
    }

    /// Puts a frame on the trunk as it stands, past every check: a foreign access node, or a broken one.
    pub fn send_on_trunk(&self, frame: &[u8]) -> Result<(), OltError> {
        let trunk = self.running.shared.plane.trunk().ok_or(OltError::TrunkDown)?;
        let frame = Frame::from_bytes(frame).map_err(|_| OltError::FrameTooLong(frame.len()))?;
        match trunk.send([&frame]) {
            Ok(1) => Ok(()),
            Ok(_) => Err(OltError::system("sending on the trunk")(
                io::ErrorKind::WouldBlock.into(),
            )),
            Err(source) => Err(OltError::system("sending on the trunk")(source)),
        }
    }

    /// Waits for the trunk's interface to be there and open.
    pub fn wait_for_trunk(&self, patience: Duration) -> Result<(), OltError> {
        let deadline = Instant::now() + patience;
        while self.running.shared.plane.trunk().is_none() {
            if Instant::now() >= deadline {
                return Err(OltError::TrunkDown);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The threads; dropped with the last handle.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    socket: Option<PathBuf>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.plane.stop();
        if let Some(runtime) = self.runtime.take() {
            // Also right when the last handle is dropped inside a runtime, where waiting is forbidden.
            runtime.shutdown_background();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}
