//! The provider's core, beyond the BNG: portals, resolvers and an "internet" host, each on an address of its
//! own, each keeping who reached it.
//!
//! ```text
//!  slcore0 192.0.2.1 ── 192.0.2.2 sluice-worker        lo: 198.51.100.80  activation portal   tcp 80
//!  route 10.0.0.0/8 via 192.0.2.2                          198.51.100.81  payment portal      tcp 80
//!                                                          8.8.8.8, …     resolvers           udp 53
//!                                                          9.9.9.9        foreign resolver    udp 53
//!                                                          203.0.113.10   internet            tcp 80, udp 7 and 9
//! ```

mod arrivals;
mod http;
mod watch;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

pub use arrivals::{Arrival, Arrivals};
pub use watch::{Seen, Watch};

use super::dns;
use super::flow::{FlowMeter, FlowSender, FlowSpec, UdpService};
use super::namespace::Namespace;
use crate::net::Netns;
use crate::wire::MacAddr;

pub const HTTP_PORT: u16 = 80;
pub const DNS_PORT: u16 = 53;
pub const ECHO_PORT: u16 = 7;
pub const SINK_PORT: u16 = 9;

/// Addresses of the core side.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The kernel's side of the BNG's core port.
    pub interface: String,
    pub mac: MacAddr,
    pub mtu: u32,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub bng: Ipv4Addr,
    /// Routed to the BNG.
    pub pools: Vec<String>,
    pub portal: Ipv4Addr,
    pub payment_portal: Ipv4Addr,
    pub resolvers: Vec<Ipv4Addr>,
    pub foreign_resolver: Ipv4Addr,
    pub internet: Ipv4Addr,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            interface: "slcore0".into(),
            mac: MacAddr([0x02, 0x00, 0x5e, 0x00, 0x02, 0xfe]),
            mtu: 1500,
            address: Ipv4Addr::new(192, 0, 2, 1),
            prefix: 24,
            bng: Ipv4Addr::new(192, 0, 2, 2),
            pools: vec!["10.0.0.0/8".into()],
            portal: Ipv4Addr::new(198, 51, 100, 80),
            payment_portal: Ipv4Addr::new(198, 51, 100, 81),
            resolvers: vec![
                Ipv4Addr::new(8, 8, 8, 8),
                Ipv4Addr::new(8, 8, 4, 4),
                Ipv4Addr::new(1, 1, 1, 1),
                Ipv4Addr::new(1, 0, 0, 1),
            ],
            foreign_resolver: Ipv4Addr::new(9, 9, 9, 9),
            internet: Ipv4Addr::new(203, 0, 113, 10),
        }
    }
}

#[derive(Debug)]
pub struct CoreSide {
    config: CoreConfig,
    netns: Netns,
    portal: Arrivals,
    payment_portal: Arrivals,
    /// In the order of the configuration, the foreign one last.
    resolvers: Vec<(Ipv4Addr, Arrivals)>,
    internet: Arrivals,
    echo: Arrivals,
    sink: FlowMeter,
    watch: Watch,
    _udp: Vec<UdpService>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl CoreSide {
    /// Starts the services. The interface need not be there yet: see [`CoreSide::settle`].
    pub fn start(namespace: &Namespace, config: CoreConfig) -> io::Result<Self> {
        for address in config.service_addresses() {
            namespace.ip(&["addr", "replace", &format!("{address}/32"), "dev", "lo"])?;
        }
        let netns = namespace.netns().clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("core-side")
            .enable_all()
            .build()?;
        let portal = Arrivals::default();
        let payment_portal = Arrivals::default();
        let internet = Arrivals::default();
        for (name, address, arrivals) in [
            ("activation portal", config.portal, &portal),
            ("payment portal", config.payment_portal, &payment_portal),
            ("internet", config.internet, &internet),
        ] {
            let listener = listen(&netns, SocketAddrV4::new(address, HTTP_PORT))?;
            http::serve(&runtime, listener, name, arrivals.clone())?;
        }

        let mut services = Vec::new();
        let mut resolvers = Vec::new();
        for address in config.resolvers.iter().copied().chain([config.foreign_resolver]) {
            let arrivals = Arrivals::default();
            services.push(resolver(&netns, address, &config, arrivals.clone())?);
            resolvers.push((address, arrivals));
        }
        let echo = Arrivals::default();
        let echoed = echo.clone();
        let socket = bind(&netns, SocketAddrV4::new(config.internet, ECHO_PORT))?;
        services.push(UdpService::start(socket, move |source, payload| {
            echoed.record(source.ip(), payload.len());
            Some(payload.to_vec())
        })?);
        let sink = FlowMeter::default();
        let socket = bind(&netns, SocketAddrV4::new(config.internet, SINK_PORT))?;
        services.push(UdpService::metering(socket, sink.clone())?);
        let watch = Watch::start(&netns, &config.interface)?;
        Ok(Self {
            config,
            netns,
            portal,
            payment_portal,
            resolvers,
            internet,
            echo,
            sink,
            watch,
            _udp: services,
            runtime: Some(runtime),
        })
    }

    /// Gives the core interface its address, MAC, MTU and routes. To be called whenever the worker has
    /// opened it: net_tap sets a MAC and an MTU of its own, and takes the interface down when it closes.
    pub fn settle(&self, namespace: &Namespace) -> io::Result<()> {
        let config = &self.config;
        let interface = config.interface.as_str();
        let (mac, mtu) = (config.mac.to_string(), config.mtu.to_string());
        namespace.ip(&["link", "set", interface, "address", &mac, "mtu", &mtu, "up"])?;
        let address = format!("{}/{}", config.address, config.prefix);
        namespace.ip(&["addr", "replace", &address, "dev", interface])?;
        let bng = config.bng.to_string();
        for pool in &config.pools {
            namespace.ip(&["route", "replace", pool, "via", &bng, "dev", interface])?;
        }
        self.watch.refresh()
    }

    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    pub fn portal(&self) -> &Arrivals {
        &self.portal
    }

    pub fn payment_portal(&self) -> &Arrivals {
        &self.payment_portal
    }

    /// HTTP at the internet host.
    pub fn internet(&self) -> &Arrivals {
        &self.internet
    }

    /// UDP echo at the internet host.
    pub fn echo(&self) -> &Arrivals {
        &self.echo
    }

    /// Who asked this resolver.
    pub fn resolver(&self, address: Ipv4Addr) -> Option<&Arrivals> {
        self.resolvers
            .iter()
            .find(|(resolver, _)| *resolver == address)
            .map(|(_, arrivals)| arrivals)
    }

    /// Flows that arrived at the internet host's UDP sink.
    pub fn sink(&self) -> &FlowMeter {
        &self.sink
    }

    /// Every packet that arrived from the BNG, whatever it was for.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    pub fn http_address(&self, host: Ipv4Addr) -> SocketAddrV4 {
        SocketAddrV4::new(host, HTTP_PORT)
    }

    pub fn sink_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.config.internet, SINK_PORT)
    }

    pub fn echo_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.config.internet, ECHO_PORT)
    }

    /// A paced flow from the internet host to a subscriber.
    pub fn send_flow(&self, to: SocketAddrV4, spec: FlowSpec) -> io::Result<FlowSender> {
        let socket = bind(&self.netns, SocketAddrV4::new(self.config.internet, 0))?;
        socket.connect(to)?;
        FlowSender::start(socket, spec)
    }

    /// Forgets all arrivals.
    pub fn clear(&self) {
        for arrivals in [&self.portal, &self.payment_portal, &self.internet, &self.echo] {
            arrivals.clear();
        }
        for (_, arrivals) in &self.resolvers {
            arrivals.clear();
        }
        self.sink.clear();
        self.watch.clear();
    }
}

impl Drop for CoreSide {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl CoreConfig {
    fn service_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let fixed = [
            self.portal,
            self.payment_portal,
            self.internet,
            self.foreign_resolver,
        ];
        fixed.into_iter().chain(self.resolvers.iter().copied())
    }
}

/// A resolver that knows the portals by name, and the internet host under every other.
fn resolver(
    netns: &Netns,
    address: Ipv4Addr,
    config: &CoreConfig,
    arrivals: Arrivals,
) -> io::Result<UdpService> {
    let socket = bind(netns, SocketAddrV4::new(address, DNS_PORT))?;
    let (portal, payment_portal, internet) = (config.portal, config.payment_portal, config.internet);
    UdpService::start(socket, move |source, query| {
        arrivals.record(source.ip(), query.len());
        let name = dns::question(query)?.to_ascii_lowercase();
        let found = match name.split('.').next() {
            Some("portal") => portal,
            Some("payment") => payment_portal,
            _ => internet,
        };
        dns::answer(query, found)
    })
}

fn listen(netns: &Netns, address: SocketAddrV4) -> io::Result<TcpListener> {
    netns
        .run(|| TcpListener::bind(address))
        .and_then(|bound| bound)
        .map_err(|error| at(address, &error))
}

fn bind(netns: &Netns, address: SocketAddrV4) -> io::Result<UdpSocket> {
    netns
        .run(|| UdpSocket::bind(address))
        .and_then(|bound| bound)
        .map_err(|error| at(address, &error))
}

fn at(address: SocketAddrV4, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
