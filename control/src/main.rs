//! `sluice-control`: everything that may wait.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use shm_bridge::ControlSide;
use shm_bridge::sides::Tables;
use sluice_config::Config;
use sluice_control::aaa::Local;
use sluice_control::driver::{self, Driver, DriverCounts, Hands, Input, Parts};
use sluice_control::engine::{Engine, SessionImage};
use sluice_control::events::Bus;
use sluice_control::handle;
use sluice_control::metrics::Metrics;
use sluice_control::olt::OltClient;
use sluice_control::publish::{Attached, Known, Publisher};
use sluice_control::rest::{AppState, serve};
use sluice_control::store::{Limits, Opened, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

/// How long lcores that still read what an earlier control unlinked are waited for at start.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events kept in memory for followers that come back.
const REPLAY_MAX: usize = 4096;

/// Sessions, DHCP, activation and REST of Sluice.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration, shared with sluice-worker.
    #[arg(long, default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // The journal takes text, not colours.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = match Config::load(&arguments.config).map_err(miette::Report::new) {
        Ok(config) => Arc::new(config),
        Err(report) => {
            eprintln!("{report:?}");
            return ExitCode::from(2);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Arc<Config>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut side = ControlSide::attach(&config.segment())?;
    report_segment(&side);
    let (punts, injects) = (std::mem::take(&mut side.punts), std::mem::take(&mut side.injects));
    let (tables, presence) = (side.tables.clone(), side.presence());

    let local = Arc::new(Local::load(Arc::clone(&config)).map_err(|e| anyhow::anyhow!("{e}"))?);
    let (answers, inputs) = mpsc::unbounded_channel();
    let Opened {
        restored,
        events,
        events_gone,
        store,
    } = open_store(&config, answers.clone())?;
    let counts = Arc::new(DriverCounts::default());
    let metrics = Arc::new(Metrics::new(store.metrics(), Arc::clone(&counts)));
    let bus = Bus::resumed(REPLAY_MAX, events_gone, events);

    let sessions = restored.sessions.len();
    let stored = restored.sessions.clone();
    let mut engine = Engine::new(Arc::clone(&config), restored, driver::now());
    let known = known(&engine.images(), stored);
    let Attached {
        publisher,
        kept,
        rebased,
        unplaced,
        neighbours,
        interrupted,
        leaves_changed,
    } = Publisher::attach(side, Arc::clone(&config), known, PATIENCE)?;
    tracing::info!(
        sessions,
        kept,
        placed = rebased.len(),
        leaves_changed,
        ?interrupted,
        "tables taken over"
    );
    for (session, row) in rebased {
        engine.rebase(session, row);
    }
    for (session, error) in unplaced {
        tracing::error!(%session, %error, "the tables cannot take this session");
    }

    let (handle, inbox) = handle::channel();
    let (stop, stopped) = watch::channel(false);
    let parts = Parts {
        config: Arc::clone(&config),
        publisher,
        injects,
        store,
        aaa: Arc::clone(&local) as _,
        olt: config.olt.socket.as_deref().map(OltClient::new),
        bus: bus.clone(),
        answers,
        runtime: runtime.handle().clone(),
    };
    let thread = {
        let stopped = stopped.clone();
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || -> std::io::Result<()> {
                let alone = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()?;
                let driver = Driver::new(
                    engine,
                    Hands::new(parts, counts),
                    punts,
                    inputs,
                    inbox,
                    neighbours,
                );
                alone.block_on(driver.run(stopped));
                Ok(())
            })?
    };

    let heartbeat = tables.clone();
    let state = AppState::new(handle, bus, tables, presence, Arc::clone(&config), metrics);
    let served = runtime.block_on(async {
        let listeners = serve::Listeners::bind(&config).await?;
        tell_supervisor(&[sd_notify::NotifyState::Ready]);
        tokio::spawn(keep_watchdog(heartbeat));
        println!("sluice-control: ready");
        listeners.serve(state, until_told(local)).await;
        anyhow::Ok(())
    });
    tell_supervisor(&[sd_notify::NotifyState::Stopping]);
    stop.send_replace(true);
    // Dropping the driver's store writes what is queued.
    match thread.join() {
        Ok(ended) => ended?,
        Err(_) => anyhow::bail!("the engine's thread panicked"),
    }
    served
}

fn open_store(config: &Config, answers: mpsc::UnboundedSender<Input>) -> anyhow::Result<Opened> {
    let path = config.node.store_file();
    let dir = &config.node.state_dir;
    std::fs::create_dir_all(dir)
        .with_context(|| format!("cannot create state directory {}", dir.display()))?;
    let opened = Store::open(&path, Limits::default(), REPLAY_MAX, move |ticket, result| {
        // The driver is gone: the process is ending.
        let _ = answers.send(Input::Committed { ticket, result });
    })?;
    Ok(opened)
}

/// What the tables should hold, with what the rows' counters were when the sessions got them.
fn known(images: &[SessionImage], stored: Vec<sluice_control::session::Session>) -> Vec<Known> {
    let stored: std::collections::HashMap<_, _> = stored
        .into_iter()
        .map(|session| (session.id, (session.row_generation, session.baseline)))
        .collect();
    images
        .iter()
        .map(|image| {
            let (generation, baseline) = stored.get(&image.session).copied().unwrap_or_default();
            Known {
                image: image.clone(),
                generation,
                baseline,
            }
        })
        .collect()
}

/// Completes at SIGTERM or SIGINT; at SIGHUP the subscriber file is read again.
async fn until_told(local: Arc<Local>) {
    let (mut terminate, mut interrupt, mut hangup) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) {
        (Ok(terminate), Ok(interrupt), Ok(hangup)) => (terminate, interrupt, hangup),
        _ => {
            tracing::error!("signal handlers cannot be installed: only SIGKILL stops this process");
            return std::future::pending().await;
        }
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => match local.reload() {
                Ok((subscribers, rules)) => tracing::info!(subscribers, rules, "subscribers read again"),
                Err(error) => tracing::error!("subscribers not read, the old ones stay in force: {error}"),
            },
        }
    }
}

/// Tells the supervisor's watchdog that the engine's thread turns, for as long as it does.
async fn keep_watchdog(tables: Tables) {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) || usec == 0 {
        return;
    }
    let limit = Duration::from_micros(usec);
    let mut half = tokio::time::interval(limit / 2);
    loop {
        half.tick().await;
        let since = driver::now()
            .mono_ns
            .saturating_sub(tables.control_heartbeat_ns());
        if u128::from(since) < limit.as_nanos() {
            tell_supervisor(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

fn tell_supervisor(states: &[sd_notify::NotifyState]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "the supervisor was not told");
    }
}

fn report_segment(side: &ControlSide) {
    let about = &side.about;
    let path = about
        .path
        .as_ref()
        .map_or_else(String::new, |path| path.display().to_string());
    tracing::info!(
        path,
        created = about.created,
        huge_pages = about.huge_pages,
        "segment"
    );
    if let Some(warning) = &about.warning {
        tracing::warn!("no huge pages for the segment, the tables will be slower: {warning}");
    }
}
