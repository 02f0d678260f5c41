//! `sluice-stand`: in control's place where speed is tested and nobody speaks DHCP. Fills the tables with the sessions that `sluice bench
//! ndr` and `sluice-bench traffic` make frames of, and stays until it is stopped.
//!
//! Not beside sluice-control: the segment has one writer, and the lock says so.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::policer::{Profile, Rate};
use shm_bridge::session::{Policy, Row, RowState, mac_bits};
use shm_bridge::{ControlSide, SessionIndex};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sluice_config::{Config, IdRanges, MacAddr};
use sluice_worker::ndr::subscribers::Subscribers;

/// The default route's next hop.
const ADJACENCY: AdjacencyIndex = AdjacencyIndex(0);
const PROFILE: u16 = 1;

/// Active sessions for a speed test, without DHCP.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The worker's configuration.
    #[arg(long, default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
    /// Sessions; each is a line and an address.
    #[arg(long, default_value_t = 4096)]
    sessions: u32,
    #[arg(long, default_value = "1-4094")]
    s_vlans: IdRanges,
    #[arg(long, default_value = "1-4094")]
    c_vlans: IdRanges,
    /// Address of session 0; the others follow it.
    #[arg(long, default_value = "100.64.0.0")]
    first_address: Ipv4Addr,
    /// The MAC address behind the core port's gateway: the tester's.
    #[arg(long, default_value = "02:00:00:00:00:03")]
    next_hop_mac: MacAddr,
    /// Each session's policer, bit/s each way.
    #[arg(long, default_value_t = 10_000_000_000)]
    policer: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config)?;
    let control = ControlSide::attach(&config.segment())?;
    fill(&control, &config, &arguments)?;
    println!("sluice-stand: {} sessions; stop with Ctrl-C", arguments.sessions);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    signals.forever().next();
    Ok(())
}

fn fill(control: &ControlSide, config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let place = |found: Option<usize>| found.and_then(|index| u8::try_from(index).ok());
    let access_port = place(config.ports.iter().position(|port| port.access().is_some()));
    let access_port = access_port.context("no access port is configured")?;
    let core_port = place(config.ports.iter().position(|port| port.core().is_some()));
    let core_port = core_port.context("no core port is configured")?;
    let subscribers = Subscribers::new(
        &arguments.s_vlans,
        &arguments.c_vlans,
        arguments.first_address,
        arguments.sessions,
    )?;
    let tables = &control.tables;
    let mut access = AccessWriter::attach(tables.access.clone());
    let mut fib = FibWriter::attach(tables.fib.clone());
    tables
        .policers
        .fill(PROFILE, Profile::new(Rate::with_default_burst(arguments.policer)));
    let gateway = config.ports.iter().find_map(|port| port.core()?.gateway);
    let next_hop = NextHop {
        mac: arguments.next_hop_mac.octets(),
        port: core_port,
    };
    tables.adjacencies.set(
        ADJACENCY,
        gateway.context("the core port has no gateway")?,
        Some(next_hop),
    );
    fib.load(Prefix::new(Ipv4Addr::UNSPECIFIED, 0), Leaf::Adjacency(ADJACENCY));
    for index in 0..arguments.sessions {
        let subscriber = subscribers.get(index);
        let row = SessionIndex::new(index + 1).context("row numbers start at 1")?;
        let key = AccessKey {
            port: u16::from(access_port),
            s_vlan: subscriber.s_vlan,
            c_vlan: subscriber.c_vlan,
            mac: mac_bits(subscriber.mac),
        };
        let ipv4 = Ipv4Addr::from(subscriber.ipv4);
        let mut image = Row::ipv4(ipv4, 10, key.port, key.s_vlan, key.c_vlan, subscriber.mac);
        image.policy = Policy::new(RowState::Active).with_policers(PROFILE, PROFILE);
        tables
            .rows
            .get(row)
            .with_context(|| format!("no row for session {index}: raise limits.sessions"))?
            .fill(&image);
        access.configure(key.port, key.s_vlan, Some(LineModel::OneToOne));
        access.set(&key, row, &tables.rows)?;
        fib.load(Prefix::host(ipv4), Leaf::Session(row));
    }
    fib.reconcile()?;
    Ok(())
}
