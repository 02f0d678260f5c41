//! The operator's file, parsed once into valid types.
//!
//! `sluice.toml` is read by both processes. [`Config::load`] either gives a [`Config`] whose values hold together (pools do not
//! overlap, next hops can be reached, what is referred to exists) or a [`ConfigError`] with every problem of the file: file, line, key, what was
//! found and what would be right. Nobody downstream has to check a value again, and nobody sees TOML.
//!
//! The annotated example is `config/sluice.toml`. Only ports and pools must be given; everything else has a default.
//!
//! ```
//! let config = sluice_config::Config::parse("sluice.toml", r#"
//!     [[ports]]
//!     name = "access0"
//!     role = "access"
//!     device = "net_tap0"
//!     mac = "02:00:5e:00:01:01"
//!     lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]
//!
//!     [[ports]]
//!     name = "core0"
//!     role = "core"
//!     device = "net_tap1"
//!     mac = "02:00:5e:00:02:01"
//!     address = "192.0.2.2/24"
//!     gateway = "192.0.2.1"
//!
//!     [pools.wgar]
//!     network = "10.255.0.0/16"
//! "#)?;
//! assert_eq!(config.pool("wgar").map(|pool| pool.capacity()), Some(65_533));
//!
//! let wrong = sluice_config::Config::parse("sluice.toml", "[pools.wgar]\nnetwrok = \"10.0.0.0/8\"").unwrap_err();
//! assert!(wrong.to_string().contains("sluice.toml:2: pools.wgar.netwrok is no key of this table; did you mean `network`?"));
//! # Ok::<(), sluice_config::ConfigError>(())
//! ```
#![forbid(unsafe_code)]

pub mod aaa;
pub mod dhcp;
pub mod error;
pub mod garden;
pub mod identity;
mod key_path;
pub mod limits;
pub mod mac;
pub mod names;
mod nearest;
pub mod node;
pub mod olt;
pub mod pool;
pub mod port;
mod problem;
pub mod punt;
pub mod qos;
mod reader;
mod relations;
pub mod rest;
mod segment;
pub mod sessions;
pub mod subscribers;
mod value;
pub mod vlan;
pub mod worker;

pub use aaa::{AaaConfig, LocalAaa};
pub use dhcp::{AaaTimeoutPolicy, DhcpConfig};
pub use error::{ConfigError, Finding, Problem, ProblemKind, Problems};
pub use garden::{Garden, GardenProtocol, Permit};
pub use identity::{IdentityConfig, IdentityField, IdentityPart, IdentityTemplate};
pub use key_path::KeyPath;
pub use limits::Limits;
pub use mac::MacAddr;
pub use names::{
    CircuitId, DeviceName, GardenName, GroupName, HostName, NodeId, OntSerial, PoolName, PortName, ServiceId,
};
pub use node::{Hugetlbfs, NodeConfig};
pub use olt::OltConfig;
pub use pool::{AddressRange, Pool};
pub use port::{AccessPort, CorePort, LineModel, LineRange, Option82Policy, Port, PortRole, Route, Tagging};
pub use punt::{PuntLimits, PuntRate};
pub use qos::{Qos, QosError};
pub use rest::RestConfig;
pub use sessions::{SessionsConfig, SubscriberToSubscriber};
pub use subscribers::{
    Directory, LineFacts, Rule, RuleState, Service, Subscriber, SubscriberKey, Subscribers,
};
pub use vlan::{IdRanges, Tpid, VlanId};
pub use worker::{Idle, Spread, WorkerConfig};

use reader::Section;
use std::net::Ipv4Addr;
use std::path::Path;

/// A whole configuration. From [`load`](Config::load) and [`parse`](Config::parse) it is valid; one put together by a program can be
/// checked with [`check`](Config::check).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub node: NodeConfig,
    pub limits: Limits,
    pub worker: WorkerConfig,
    pub punt: PuntLimits,
    /// In the file's order; the place in this list is the port's index everywhere.
    pub ports: Vec<Port>,
    pub dhcp: DhcpConfig,
    /// In the file's order.
    pub pools: Vec<Pool>,
    /// In the file's order; the two that `sessions` refers to exist, if need be as made ones that permit DNS alone.
    pub gardens: Vec<Garden>,
    pub sessions: SessionsConfig,
    pub aaa: AaaConfig,
    pub identity: IdentityConfig,
    pub rest: RestConfig,
    pub olt: OltConfig,
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = reader::read_file(path)?;
        reader::read_document(
            &path.to_string_lossy(),
            reader::directory_of(path),
            &text,
            Config::read,
        )
    }

    /// Checks `text`; `name` stands for the file in errors, and relative paths begin at its directory.
    pub fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
        reader::read_document(name, reader::directory_of(Path::new(name)), text, Config::read)
    }

    /// The local AAA file that this configuration names, checked against it; `None` when it names none.
    pub fn load_subscribers(&self) -> Result<Option<Subscribers>, ConfigError> {
        self.aaa
            .local
            .as_ref()
            .map(|local| Subscribers::load(&local.file, self))
            .transpose()
    }

    /// What does not hold together in a configuration made by a program.
    pub fn check(&self) -> Vec<Finding> {
        relations::all(self)
    }

    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == *name)
    }

    /// The pool whose network holds `address`.
    pub fn pool_of(&self, address: Ipv4Addr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.network.contains(&address))
    }

    pub fn garden(&self, name: &str) -> Option<&Garden> {
        self.gardens.iter().find(|garden| garden.name == *name)
    }

    /// A port with its index.
    pub fn port(&self, name: &str) -> Option<(u16, &Port)> {
        self.numbered_ports().find(|(_, port)| port.name == *name)
    }

    pub fn access_ports(&self) -> impl Iterator<Item = (u16, &Port, &AccessPort)> {
        self.numbered_ports()
            .filter_map(|(index, port)| Some((index, port, port.access()?)))
    }

    pub fn core_ports(&self) -> impl Iterator<Item = (u16, &Port, &CorePort)> {
        self.numbered_ports()
            .filter_map(|(index, port)| Some((index, port, port.core()?)))
    }

    fn numbered_ports(&self) -> impl Iterator<Item = (u16, &Port)> {
        (0u16..).zip(&self.ports)
    }

    fn read(root: &Section<'_>) -> Option<Config> {
        let node = NodeConfig::read(&root.section("node"));
        let limits = Limits::read(&root.section("limits"));
        let worker = WorkerConfig::read(&root.section("worker"));
        let punt = PuntLimits::read(&root.section("punt"));
        let ports = Port::read_all(root);
        let dhcp = root.section("dhcp");
        let default_lease = DhcpConfig::read_default_lease(&dhcp);
        let pools = Pool::read_all(root, default_lease);
        let mut gardens = Garden::read_all(root);
        let sessions = SessionsConfig::read(&root.section("sessions"), &pools);
        let server_id = default_server_id(&pools, sessions.as_ref());
        let dhcp = DhcpConfig::read(&dhcp, default_lease, server_id);
        let aaa = AaaConfig::read(&root.section("aaa"));
        let identity = IdentityConfig::read(&root.section("identity"));
        let rest = RestConfig::read(&root.section("rest"));
        let olt = OltConfig::read(&root.section("olt"), &node);

        let sessions = sessions?;
        add_default_gardens(&mut gardens, &sessions, &pools);
        let config = Config {
            node,
            limits,
            worker,
            punt,
            ports,
            dhcp,
            pools,
            gardens,
            sessions,
            aaa,
            identity,
            rest,
            olt,
        };
        for (tables, check) in relations::CHECKS {
            if root.clean(tables) {
                let mut findings = relations::Findings::default();
                check(&config, &mut findings);
                findings.0.into_iter().for_each(|finding| root.record(finding));
            }
        }
        Some(config)
    }
}

/// The gateway of the pool strangers get: an address of ours that every new subscriber can reach.
fn default_server_id(pools: &[Pool], sessions: Option<&SessionsConfig>) -> Ipv4Addr {
    let unknown = |pool: &&Pool| sessions.is_some_and(|sessions| sessions.unknown_pool == pool.name);
    let pool = pools.iter().find(unknown).or(pools.first());
    pool.map_or(Ipv4Addr::UNSPECIFIED, |pool| pool.gateway)
}

/// Gardens under the conventional names need not be written: they then permit DNS to their pool's servers alone.
fn add_default_gardens(gardens: &mut Vec<Garden>, sessions: &SessionsConfig, pools: &[Pool]) {
    let wanted = [
        (
            SessionsConfig::UNACTIVATED,
            &sessions.unactivated_garden,
            &sessions.unknown_pool,
        ),
        (
            SessionsConfig::SUSPENDED,
            &sessions.suspended_garden,
            &sessions.suspended_pool,
        ),
    ];
    for (conventional, name, pool) in wanted {
        if *name == conventional && !gardens.iter().any(|garden| garden.name == *name) {
            let dns = pools
                .iter()
                .find(|candidate| candidate.name == *pool)
                .map_or(&[][..], |pool| &pool.dns);
            gardens.push(Garden::dns_only(name.clone(), dns));
        }
    }
}
