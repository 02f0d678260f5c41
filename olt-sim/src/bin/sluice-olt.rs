//! `sluice-olt`: the software access node as a program.
//!
//! ```text
//! sluice-olt --config olt.toml
//! sluice-olt --trunk slacc0 --ont ADTN00000001:1/1/1:100.1:cpe1 --control /run/sluice/control.sock
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use olt_sim::wire::VlanId;
use olt_sim::{Olt, OltConfig, OntConfig, Tagging, TrunkConfig, VlanModel};
use tracing::info;

/// A software access node: ONTs as TAP devices, a tagged trunk to the BNG, Option 82, ONT events.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file; the other options change what it says
    #[arg(long)]
    config: Option<PathBuf>,
    /// Name of this node, first part of every circuit-id
    #[arg(long)]
    access_node: Option<String>,
    /// Interface of the trunk
    #[arg(long, required_unless_present = "config")]
    trunk: Option<String>,
    /// Namespace of the trunk's interface
    #[arg(long)]
    trunk_namespace: Option<String>,
    /// qinq, single or untagged
    #[arg(long, value_parser = tagging)]
    tagging: Option<Tagging>,
    /// Unix socket of this node's API
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Unix socket of the BNG's control process, which gets the events
    #[arg(long)]
    control: Option<PathBuf>,
    /// Let hostile frames of subscribers through
    #[arg(long)]
    no_filter: bool,
    /// Do not insert Option 82
    #[arg(long)]
    no_option82: bool,
    /// An ONT as SERIAL:PORT:TAGS:NAMESPACE; TAGS is `S.C`, `C` or `-`, and `/n` behind it means n:1
    #[arg(long = "ont", value_parser = ont)]
    onts: Vec<OntConfig>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-olt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let config = configuration(arguments)?;
    let olt = Olt::start(config)?;
    info!(onts = olt.onts().len(), "ready");
    println!("ready");
    wait_for_the_end()?;
    info!(stats = %serde_json::to_string(&olt.stats())?, "stopping");
    Ok(())
}

fn configuration(arguments: Arguments) -> Result<OltConfig> {
    let mut config = match (&arguments.config, &arguments.trunk) {
        (Some(path), _) => OltConfig::load(path)?,
        (None, Some(trunk)) => OltConfig::new("agg-01", TrunkConfig::new(trunk, None, Tagging::Qinq)),
        (None, None) => bail!("either --config or --trunk is needed"),
    };
    if let Some(name) = arguments.access_node {
        config.access_node = name;
    }
    if let Some(interface) = arguments.trunk {
        config.trunk.interface = interface;
    }
    config.trunk.namespace = arguments.trunk_namespace.or(config.trunk.namespace);
    config.trunk.tagging = arguments.tagging.unwrap_or(config.trunk.tagging);
    config.socket = arguments.socket.or(config.socket);
    config.control = arguments.control.or(config.control);
    config.policy.filter &= !arguments.no_filter;
    config.policy.option82 &= !arguments.no_option82;
    config.onts.extend(arguments.onts);
    Ok(config)
}

fn wait_for_the_end() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for a signal"),
        }
    })
}

fn tagging(text: &str) -> Result<Tagging, String> {
    match text {
        "qinq" => Ok(Tagging::Qinq),
        "single" => Ok(Tagging::Single),
        "untagged" => Ok(Tagging::Untagged),
        other => Err(format!("`{other}` is none of qinq, single, untagged")),
    }
}

fn ont(text: &str) -> Result<OntConfig, String> {
    let [serial, port, tags, namespace] = text.split(':').collect::<Vec<_>>()[..] else {
        return Err("expected SERIAL:PORT:TAGS:NAMESPACE".into());
    };
    let (tags, model) = match tags.strip_suffix("/n") {
        Some(tags) => (tags, VlanModel::ManyToOne),
        None => (tags, VlanModel::OneToOne),
    };
    let vlan = |text: &str| {
        let id = text
            .parse::<u16>()
            .map_err(|_| format!("`{text}` is not a VLAN identifier (1 to 4094)"))?;
        VlanId::new(id).map_err(|error| error.to_string())
    };
    let (s_vlan, c_vlan) = match tags.split_once('.') {
        _ if tags == "-" => (None, None),
        Some((s_vlan, c_vlan)) => (Some(vlan(s_vlan)?), Some(vlan(c_vlan)?)),
        None => (None, Some(vlan(tags)?)),
    };
    Ok(OntConfig {
        serial: serial.to_owned(),
        port: port.to_owned(),
        s_vlan,
        c_vlan,
        model,
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        interface: "eth0".to_owned(),
        mac: None,
        profile: Default::default(),
    })
}
