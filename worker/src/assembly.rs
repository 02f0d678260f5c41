//! Puts the worker together: ports opened, queues divided among lcores, each lcore given its task.
//!
//! Slot `i` of the segment is the i-th lcore of EAL. Every lcore has a transmit queue on every port; who polls the receive queues is
//! decided in [`reception`]. With several lcores a packet that is received by one and belongs to another (see [`crate::owner`]) goes
//! over a ring of its own for each pair, port and way; `/sluice/handoffs` on DPDK's telemetry socket says how many.

pub mod reception;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use shm_bridge::WorkerSide;
use shm_bridge::ports::LinkState;
use sluice_config::Config;

use crate::context::Context;
use crate::dpdk::{
    Capabilities, Eal, HandoffMeter, Mempool, MempoolConfig, Port, PortConfig, Promiscuous, RxQueue,
    StopFlag, Timebase, TxQueue, handoff,
};
use crate::housekeeping::Watched;
use crate::idle::Idle;
use crate::laps::Sampler;
use crate::lcore::{Arrival, Departure, Receive, Task};
use crate::owner::Owners;
use crate::ports::{Ports, Tagging};
use crate::verdict::Way;

use self::reception::{PortReception, Reception, Strays};

/// Slots of a hand-over ring: 32 bursts, some 10 µs at full rate.
const HANDOFF_SLOTS: u32 = 1024;
/// The largest Ethernet header: two tags.
const HEADER_BYTES_MAX: u16 = 14 + 8;

/// What is left when the tasks are made: what must outlive them.
#[derive(Debug)]
pub struct Assembly {
    /// One for each lcore, the main one's first.
    pub tasks: Vec<Task>,
    pub ports: Vec<Watched>,
}

/// A port with its queues, before they are dealt out.
struct Opened {
    watched: Watched,
    receives: Vec<RxQueue>,
    sends: Vec<TxQueue>,
}

/// Opens all ports of the configuration and makes a task for each lcore.
pub fn assemble(
    eal: &Eal,
    config: &Config,
    side: WorkerSide,
    timebase: &Arc<Timebase>,
    stop: &StopFlag,
) -> anyhow::Result<Assembly> {
    let lcores = 1 + eal.worker_lcores().len();
    if lcores > side.tables.lcores.capacity() {
        bail!(
            "EAL was given {lcores} lcores, the segment has {}: raise limits.lcores",
            side.tables.lcores.capacity()
        );
    }
    let able = config
        .ports
        .iter()
        .map(|port| Port::capabilities(eal, port.name.as_ref(), port.device.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let reception = Reception::plan(config, &able, lcores)?;
    let opened = config
        .ports
        .iter()
        .zip(&able)
        .zip(&reception.ports)
        .map(|((port, able), reception)| open(eal, config, port, able, reception, lcores))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let ports = Ports::from_config(config);
    let generation = side.generation();
    let slots: Vec<u8> = (0..lcores).map(|slot| slot as u8).collect();
    let pool = opened
        .first()
        .map(|port| port.watched.pool.clone())
        .context("no port is configured")?;

    let mut tasks = Vec::with_capacity(lcores);
    for ((slot, punts), injects) in slots.iter().zip(side.punts).zip(side.injects) {
        let owners = if lcores == 1 {
            Owners::alone(*slot)
        } else {
            Owners::new(*slot, &slots, reception.spread)
        };
        tasks.push(Task {
            slot: usize::from(*slot),
            context: Context::new(side.tables.clone(), ports.clone(), owners, &config.punt),
            clock: timebase.clock(),
            receives: Vec::new(),
            sends: Vec::new(),
            arrivals: Vec::new(),
            departures: Vec::new(),
            punts,
            injects,
            pool: pool.clone(),
            burst: usize::from(config.worker.burst),
            idle: Idle::new(config.worker.idle),
            sampler: Sampler::new(config.worker.measure_one_in),
            stop: stop.clone(),
            generation,
        });
    }

    let mut watched = Vec::with_capacity(opened.len());
    for (index, (port, reception)) in opened.into_iter().zip(&reception.ports).enumerate() {
        let hot = *ports
            .get(index as u8)
            .context("more ports than a configuration may have")?;
        for (number, queue) in port.receives.into_iter().enumerate() {
            tasks[reception.lcore_of(index, number, lcores)]
                .receives
                .push(Receive { port: hot, queue });
        }
        for (task, queue) in tasks.iter_mut().zip(port.sends) {
            task.sends.push(queue);
        }
        watched.push(port.watched);
    }
    let handoffs = connect(eal, &mut tasks, &ports)?;
    for (index, watched) in (0u8..).zip(&mut watched) {
        let received = handoffs
            .iter()
            .filter(|handoff| handoff.port == index && handoff.way == Way::Whole);
        watched.strays.meters = received.map(|handoff| handoff.meter.clone()).collect();
    }
    answer(eal, config, handoffs)?;
    Ok(Assembly {
        tasks,
        ports: watched,
    })
}

fn open(
    eal: &Eal,
    config: &Config,
    port: &sluice_config::Port,
    able: &Capabilities,
    reception: &PortReception,
    lcores: usize,
) -> anyhow::Result<Opened> {
    let name = port.name.to_string();
    let pool = Mempool::create(
        eal,
        &MempoolConfig {
            name: &format!("sluice_{name}").chars().take(24).collect::<String>(),
            mbufs: config.worker.mbufs,
            frame_bytes_max: port.mtu.saturating_add(HEADER_BYTES_MAX).max(2048),
            socket: able.socket,
        },
    )?;
    let (open, receives, sends) = Port::open(
        eal,
        &PortConfig {
            name: &name,
            device: port.device.as_ref(),
            rx_queues: reception.queues,
            tx_queues: u16::try_from(lcores).context("more lcores than queues can be numbered")?,
            mtu: port.mtu,
            tags: tags(port),
            promiscuous: Promiscuous::On,
            spread: reception.receive_spread(),
        },
        &pool,
    )?;
    if lcores > 1 {
        eprintln!("port {name}: {reception}");
    }
    if let Some(fault) = open.hashing_fault() {
        if config.worker.spread == sluice_config::Spread::Nic {
            bail!("worker.spread is \"nic\", but {fault}");
        }
        eprintln!("{fault}; what comes to a wrong lcore is handed over");
    }
    if open.queued_mbufs_max() > config.worker.mbufs {
        eprintln!(
            "port {name}: its queues hold {} mbufs when full, and worker.mbufs is {}: raise it",
            open.queued_mbufs_max(),
            config.worker.mbufs
        );
    }
    let watched = Watched {
        port: open,
        pool,
        mbufs: config.worker.mbufs,
        link: LinkState::Absent,
        strays: Strays {
            meters: Vec::new(),
            spread_by: reception.is_by_nic().then(|| able.driver.clone()),
        },
    };
    Ok(Opened {
        watched,
        receives,
        sends,
    })
}

/// The most tags that a frame of the port carries.
fn tags(port: &sluice_config::Port) -> u16 {
    match port.access().map(|access| access.tagging) {
        Some(Tagging::QinQ) => 2,
        Some(Tagging::Single) => 1,
        Some(Tagging::Untagged) | None => 0,
    }
}

/// A ring between two lcores, as it is counted.
struct Handoff {
    from: usize,
    port: u8,
    way: Way,
    meter: HandoffMeter,
}

/// Rings between every two lcores, for each port and way.
fn connect(eal: &Eal, tasks: &mut [Task], ports: &Ports) -> anyhow::Result<Vec<Handoff>> {
    let mut handoffs = Vec::new();
    for from in 0..tasks.len() {
        for to in (0..tasks.len()).filter(|to| *to != from) {
            for port in ports.iter() {
                for (way, letter) in [(Way::Whole, 'w'), (Way::Downstream, 'd')] {
                    let name = format!("sluice_{from}_{to}_{}_{letter}", port.index);
                    let (sender, receiver) = handoff(eal, &name, HANDOFF_SLOTS, None)?;
                    handoffs.push(Handoff {
                        from,
                        port: port.index,
                        way,
                        meter: sender.meter(),
                    });
                    let slot = to as u8;
                    tasks[from].departures.push(Departure {
                        slot,
                        port: port.index,
                        way,
                        ring: sender,
                    });
                    tasks[to].arrivals.push(Arrival {
                        port: *port,
                        way,
                        ring: receiver,
                    });
                }
            }
        }
    }
    Ok(handoffs)
}

/// `/sluice/handoffs`: packets that each lcore received from a port and handed over, `<port>/<lcore slot>`; and those to another
/// subscriber's lcore, half way, `<port>/<lcore slot>/half_way`. With a port's name only that one's, since an answer has 256 entries.
fn answer(eal: &Eal, config: &Config, handoffs: Vec<Handoff>) -> anyhow::Result<()> {
    let names: Vec<String> = config.ports.iter().map(|port| port.name.to_string()).collect();
    let help =
        "Packets handed over to the lcores that own them, by port and receiving lcore. Takes a port's name.";
    eal.add_telemetry("/sluice/handoffs", help, move |wanted, reply| {
        let mut sums = BTreeMap::<String, u64>::new();
        for handoff in &handoffs {
            let Some(name) = names.get(usize::from(handoff.port)) else {
                continue;
            };
            if !wanted.is_empty() && wanted != name {
                continue;
            }
            let half_way = match handoff.way {
                Way::Whole => "",
                Way::Downstream => "/half_way",
            };
            // Telemetry's keys have few letters.
            let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
            *sums
                .entry(format!("{name}/{}{half_way}", handoff.from))
                .or_default() += handoff.meter.packets();
        }
        for (key, packets) in sums {
            reply.number(&key, packets);
        }
    })?;
    Ok(())
}
