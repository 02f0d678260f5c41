//! The whole provider: ground, BNG, access node, subscribers.
//!
//! ```no_run
//! use olt_sim::lab::world::{World, WorldSpec};
//! # fn main() -> std::io::Result<()> {
//! let mut world = World::start(WorldSpec { subscribers: 2, ..WorldSpec::default() })?;
//! let lease = world.connect(0)?;
//! assert!(world.ground().core.portal().is_empty());
//! println!("{} has {}", world.subscriber(0).serial(), lease.address);
//! # Ok(())
//! # }
//! ```

mod control_api;
mod ground;
mod settings;
mod subscriber;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub use control_api::ControlApi;
pub use ground::{ACCESS_INTERFACE, Ground};
pub use settings::Settings;
pub use subscriber::Subscriber;

use super::core_side::CoreConfig;
use super::cpe::{Client, Cpe, Lease, WatchLink};
use super::namespace::Lab;
use super::process::{Process, find_binary};
use crate::config::{OltConfig, OntConfig, ServiceProfile, Tagging, TrunkConfig, VlanModel};
use crate::olt::{Olt, OltHandle};
use crate::wire::VlanId;

/// What the worker says once its lcores poll.
const WORKER_READY: &str = "sluice-worker: ready";
/// A worker maps memory and probes devices before it is ready.
const WORKER_PATIENCE: Duration = Duration::from_secs(60);
const CONTROL_PATIENCE: Duration = Duration::from_secs(60);
const TRUNK_PATIENCE: Duration = Duration::from_secs(10);
/// A first lease: two messages, with a lost one or two.
const LEASE_PATIENCE: Duration = Duration::from_secs(20);

/// What to build.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// ONTs and homes that are prepared; each is connected by [`World::connect`].
    pub subscribers: u16,
    pub client: Client,
    pub watch_link: WatchLink,
    pub settings: Settings,
    pub core: CoreConfig,
    pub memory: Memory,
    /// EAL's core list (`-l`).
    pub lcores: String,
    /// Where the control process listens besides its Unix socket decides where it must run.
    pub control_place: ControlPlace,
    pub bounce_milliseconds: u64,
    /// The last word on `sluice.toml`.
    pub edit_settings: fn(String) -> String,
    /// The programs; absent = found by [`find_binary`].
    pub worker: Option<PathBuf>,
    pub control: Option<PathBuf>,
    /// Absent = a new one, whose directory goes even if the start fails.
    pub lab: Option<Lab>,
    pub steps: Steps,
}

/// Who is told what is being set up, and may stop it by an error.
#[derive(Clone)]
pub struct Steps(Arc<Listener>);

type Listener = dyn Fn(&str) -> io::Result<()> + Send + Sync;

impl Steps {
    pub fn tell(listener: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    fn begin(&self, what: &str) -> io::Result<()> {
        (self.0)(what)
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self::tell(|_| Ok(()))
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps(…)")
    }
}

/// The worker's packet memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Ordinary pages: works everywhere.
    OrdinaryMegabytes(u32),
    /// Huge pages, which must have been reserved; nothing is left in the hugetlbfs.
    HugeMegabytes(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlPlace {
    /// With the worker: its TCP port clashes with nobody's.
    CoreNamespace,
    /// In this process's namespace: its TCP port can be reached from outside the lab.
    Outside,
}

impl Default for WorldSpec {
    fn default() -> Self {
        Self {
            subscribers: 1,
            client: Client::Udhcpc,
            watch_link: WatchLink::Yes,
            settings: Settings::default(),
            core: CoreConfig::default(),
            memory: Memory::OrdinaryMegabytes(512),
            lcores: "0".into(),
            control_place: ControlPlace::CoreNamespace,
            bounce_milliseconds: 200,
            edit_settings: |text| text,
            worker: None,
            control: None,
            lab: None,
            steps: Steps::default(),
        }
    }
}

/// Dropped in this order: subscribers first, the ground last.
#[derive(Debug)]
pub struct World {
    subscribers: Vec<Subscriber>,
    olt: OltHandle,
    control: Option<Process>,
    worker: Option<Process>,
    api: ControlApi,
    ground: Ground,
    spec: WorldSpec,
}

impl World {
    /// Builds everything but the connections: on return the BNG is ready and the access node has its trunk.
    pub fn start(mut spec: WorldSpec) -> io::Result<Self> {
        spec.worker = Some(
            spec.worker
                .take()
                .map_or_else(|| find_binary("sluice-worker"), Ok)?,
        );
        spec.control = Some(
            spec.control
                .take()
                .map_or_else(|| find_binary("sluice-control"), Ok)?,
        );
        let steps = spec.steps.clone();
        let lab = spec.lab.clone().map_or_else(Lab::new, Ok)?;
        steps.begin("core side: namespace, ports, portals, resolvers, internet host")?;
        let ground = Ground::prepare(&lab, spec.core.clone())?;
        if let Some(segment) = ground.huge_segment(&spec.settings.hugetlbfs) {
            lab.remove_at_the_end(&segment)?;
        }
        ground.write_settings(
            &(spec.edit_settings)(spec.settings.render(&ground)),
            &spec.settings.subscribers,
        )?;

        steps.begin("sluice-worker")?;
        let worker = start_worker(&spec, &ground)?;
        steps.begin("sluice-control")?;
        let api = ControlApi::new(ground.control_socket());
        let control = start_control(&spec, &ground, &api)?;
        steps.begin("access node agg-01")?;
        let olt = start_olt(&spec, &ground)?;
        steps.begin("homes")?;
        let subscribers = (0..spec.subscribers)
            .map(|index| Subscriber::prepare(&ground.lab, index, &ont_of(&spec, index)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            subscribers,
            olt,
            control: Some(control),
            worker: Some(worker),
            api,
            ground,
            spec,
        })
    }

    /// Connects the ONT and starts its CPE's client; waits for the first lease.
    pub fn connect(&mut self, index: usize) -> io::Result<Lease> {
        self.connect_without_waiting(index)?;
        self.subscribers[index]
            .cpe()?
            .wait_for_lease(LEASE_PATIENCE, |_| true)
    }

    pub fn connect_without_waiting(&mut self, index: usize) -> io::Result<()> {
        let subscriber = &mut self.subscribers[index];
        self.olt
            .connect(subscriber.ont.clone())
            .map_err(io::Error::other)?;
        let (client, watch) = (self.spec.client, self.spec.watch_link);
        subscriber.cpe = Some(Cpe::start(
            &subscriber.namespace,
            &subscriber.ont.interface,
            client,
            watch,
        )?);
        Ok(())
    }

    pub fn subscriber(&self, index: usize) -> &Subscriber {
        &self.subscribers[index]
    }

    pub fn subscribers(&self) -> &[Subscriber] {
        &self.subscribers
    }

    pub fn subscriber_mut(&mut self, index: usize) -> &mut Subscriber {
        &mut self.subscribers[index]
    }

    pub fn olt(&self) -> &OltHandle {
        &self.olt
    }

    pub fn api(&self) -> &ControlApi {
        &self.api
    }

    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// `None` between a kill and a restart.
    pub fn worker(&self) -> Option<&Process> {
        self.worker.as_ref()
    }

    pub fn control(&self) -> Option<&Process> {
        self.control.as_ref()
    }

    /// SIGKILL: control dies as a crash would have it.
    pub fn kill_control(&mut self) -> io::Result<()> {
        self.control.take().map_or(Ok(()), |control| control.kill())
    }

    pub fn stop_control(&mut self) -> io::Result<()> {
        self.control
            .take()
            .map_or(Ok(()), |control| control.stop().map(|_| ()))
    }

    /// Starts control (again) and waits until it is ready.
    pub fn start_control(&mut self) -> io::Result<()> {
        self.stop_control()?;
        self.control = Some(start_control(&self.spec, &self.ground, &self.api)?);
        Ok(())
    }

    pub fn kill_worker(&mut self) -> io::Result<()> {
        self.worker.take().map_or(Ok(()), |worker| worker.kill())
    }

    pub fn stop_worker(&mut self) -> io::Result<()> {
        self.worker
            .take()
            .map_or(Ok(()), |worker| worker.stop().map(|_| ()))
    }

    /// Starts the worker (again), waits until it is ready and puts the interfaces in order.
    pub fn start_worker(&mut self) -> io::Result<()> {
        self.stop_worker()?;
        self.worker = Some(start_worker(&self.spec, &self.ground)?);
        self.olt.wait_for_trunk(TRUNK_PATIENCE).map_err(io::Error::other)
    }

    /// Stops everything in order, and says if a process did not end well.
    pub fn stop(mut self) -> io::Result<()> {
        self.subscribers.clear();
        for process in [self.control.take(), self.worker.take()].into_iter().flatten() {
            let status = process.stop()?;
            if !status.success() {
                let tail = process.log_tail();
                return Err(io::Error::other(format!(
                    "{} ended with {status}:\n{tail}",
                    process.name()
                )));
            }
        }
        Ok(())
    }
}

fn start_worker(spec: &WorldSpec, ground: &Ground) -> io::Result<Process> {
    let program = spec
        .worker
        .clone()
        .map_or_else(|| find_binary("sluice-worker"), Ok)?;
    let mut command = Command::new(program);
    command
        .args(worker_arguments(spec, ground))
        .arg("--config")
        .arg(ground.settings_path());
    // EAL keeps its files in the lab's directory, so that they go with it.
    command.env("RUNTIME_DIRECTORY", ground.run_directory());
    let log = ground.log_path("worker");
    let before = log_lines(&log);
    let worker = Process::start("sluice-worker", command, ground.core_namespace.netns(), &log)?;
    worker.wait_ready(WORKER_PATIENCE, |worker| {
        worker
            .log()
            .lines()
            .skip(before)
            // Both outputs share the log: the start of another message may stand before it on its line.
            .any(|line| line.contains(WORKER_READY))
    })?;
    ground.settle()?;
    Ok(worker)
}

/// EAL's part of the worker's command line, `--` included.
fn worker_arguments(spec: &WorldSpec, ground: &Ground) -> Vec<String> {
    let memory = match spec.memory {
        Memory::OrdinaryMegabytes(megabytes) => {
            vec!["--no-huge".to_owned(), "-m".into(), megabytes.to_string()]
        }
        Memory::HugeMegabytes(megabytes) => {
            vec!["--in-memory".to_owned(), "-m".into(), megabytes.to_string()]
        }
    };
    let own = [
        "--no-pci".to_owned(),
        "--file-prefix".into(),
        ground.lab.prefix().to_owned(),
        "-l".into(),
        spec.lcores.clone(),
        "--vdev".into(),
        format!("net_tap0,iface={ACCESS_INTERFACE}"),
        "--vdev".into(),
        format!("net_tap1,iface={}", spec.core.interface),
        "--".into(),
    ];
    memory.into_iter().chain(own).collect()
}

fn start_control(spec: &WorldSpec, ground: &Ground, api: &ControlApi) -> io::Result<Process> {
    let program = spec
        .control
        .clone()
        .map_or_else(|| find_binary("sluice-control"), Ok)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(ground.settings_path());
    let own = crate::net::Netns::own();
    let place = match spec.control_place {
        ControlPlace::CoreNamespace => ground.core_namespace.netns(),
        ControlPlace::Outside => &own,
    };
    let control = Process::start("sluice-control", command, place, &ground.log_path("control"))?;
    control.wait_ready(CONTROL_PATIENCE, |_| api.is_ready())?;
    Ok(control)
}

fn start_olt(spec: &WorldSpec, ground: &Ground) -> io::Result<OltHandle> {
    let trunk = TrunkConfig::new(
        ACCESS_INTERFACE,
        Some(ground.core_namespace.name()),
        spec.settings.tagging,
    );
    let mut config = OltConfig::new("agg-01", trunk);
    config.bng_port = settings::ACCESS_PORT.into();
    config.socket = Some(ground.olt_socket());
    config.control = Some(ground.control_socket());
    config.bounce_milliseconds = spec.bounce_milliseconds;
    let olt = Olt::start(config).map_err(io::Error::other)?;
    olt.wait_for_trunk(TRUNK_PATIENCE).map_err(io::Error::other)?;
    Ok(olt)
}

/// ONT `ADTN0000000N` on port `1/1/N`, N from 1.
fn ont_of(spec: &WorldSpec, index: u16) -> OntConfig {
    let number = index + 1;
    let settings = &spec.settings;
    let (s_vlan, c_vlan) = settings.line(number);
    // All hosts of an untagged trunk share it.
    let untagged = settings.tagging == Tagging::Untagged;
    OntConfig {
        serial: format!("ADTN{number:08}"),
        port: format!("1/1/{number}"),
        s_vlan: s_vlan.and_then(|id| VlanId::new(id).ok()),
        c_vlan: c_vlan.and_then(|id| VlanId::new(id).ok()),
        model: if untagged {
            VlanModel::ManyToOne
        } else {
            settings.model
        },
        namespace: None,
        interface: "eth0".into(),
        mac: None,
        profile: ServiceProfile::default(),
    }
}

fn log_lines(log: &std::path::Path) -> usize {
    std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
}
