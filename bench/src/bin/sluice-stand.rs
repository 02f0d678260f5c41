//! `sluice-stand`: in control's place where speed is tested and nobody speaks DHCP. Fills the tables with the sessions that `sluice bench
//! ndr` and `sluice-bench traffic` make frames of, and stays until it is stopped.
//!
//! Not beside sluice-control: the segment has one writer, and the lock says so.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Parser;
use shm_bridge::ControlSide;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sluice_bench::stand::Stand;
use sluice_config::{Config, IdRanges, MacAddr};
use sluice_worker::ndr::subscribers::Subscribers;

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
    let stand = Stand {
        subscribers: Subscribers::new(
            &arguments.s_vlans,
            &arguments.c_vlans,
            arguments.first_address,
            arguments.sessions,
        )?,
        next_hop_mac: arguments.next_hop_mac,
        policer: arguments.policer,
    };
    stand.fill(&control, &config)?;
    println!("sluice-stand: {} sessions; stop with Ctrl-C", arguments.sessions);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    signals.forever().next();
    Ok(())
}
