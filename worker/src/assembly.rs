//! Puts the worker together: ports opened, queues divided among lcores, each lcore given its task.
//!
//! Slot `i` of the segment is the i-th lcore of EAL. Every lcore has a transmit queue on every port; receive queues are dealt
//! out in turn. With several lcores a packet that is received by one and belongs to another (see [`crate::owner`]) goes over a
//! ring of its own for each pair, port and way.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use shm_bridge::WorkerSide;
use shm_bridge::ports::LinkState;
use sluice_config::Config;

use crate::context::Context;
use crate::dpdk::{
    Eal, Mempool, MempoolConfig, Port, PortConfig, Promiscuous, ReceiveSpread, RxQueue, StopFlag, Timebase,
    TxQueue, handoff,
};
use crate::housekeeping::Watched;
use crate::idle::Idle;
use crate::lcore::{Arrival, Departure, Receive, Task};
use crate::owner::{Owners, Spread};
use crate::ports::{Ports, Tagging};
use crate::verdict::Way;

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
    let opened = config
        .ports
        .iter()
        .map(|port| open(eal, config, port, lcores))
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
            Owners::new(*slot, &slots, Spread::Software)
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
            stop: stop.clone(),
            generation,
        });
    }

    let mut watched = Vec::with_capacity(opened.len());
    for (index, port) in opened.into_iter().enumerate() {
        let hot = *ports
            .get(index as u8)
            .context("more ports than a configuration may have")?;
        for (number, queue) in port.receives.into_iter().enumerate() {
            // The next port begins where this one ends, so that two ports of one queue each keep two lcores busy.
            tasks[(index + number) % lcores]
                .receives
                .push(Receive { port: hot, queue });
        }
        for (task, queue) in tasks.iter_mut().zip(port.sends) {
            task.sends.push(queue);
        }
        watched.push(port.watched);
    }
    connect(eal, &mut tasks, &ports)?;
    Ok(Assembly {
        tasks,
        ports: watched,
    })
}

fn open(eal: &Eal, config: &Config, port: &sluice_config::Port, lcores: usize) -> anyhow::Result<Opened> {
    let name = port.name.to_string();
    let device = port.device.to_string();
    let able = Port::capabilities(eal, &name, &device)?;
    let spreads = match port.access() {
        Some(_) => able.spreads_by_source,
        None => able.spreads_by_destination,
    };
    let sends = u16::try_from(lcores).context("more lcores than queues can be numbered")?;
    // The TAP driver wants as many receive queues as transmit queues, and the kernel spreads over them as it likes.
    let tap = able.driver == "net_tap";
    let receives = if tap { sends } else { port.queues };
    let pool = Mempool::create(
        eal,
        &MempoolConfig {
            name: &format!("sluice_{name}").chars().take(24).collect::<String>(),
            mbufs: config.worker.mbufs,
            frame_bytes_max: port.mtu.saturating_add(HEADER_BYTES_MAX).max(2048),
            socket: able.socket,
        },
    )?;
    let spread = if receives >= 2 && tap {
        ReceiveSpread::Arbitrary
    } else if receives < 2 || !spreads {
        ReceiveSpread::None
    } else if port.access().is_some() {
        ReceiveSpread::SourceAddress
    } else {
        ReceiveSpread::DestinationAddress
    };
    let (open, receives, sends) = Port::open(
        eal,
        &PortConfig {
            name: &name,
            device: &device,
            rx_queues: receives,
            tx_queues: sends,
            mtu: port.mtu,
            tags: tags(port),
            promiscuous: Promiscuous::On,
            spread,
        },
        &pool,
    )?;
    let watched = Watched {
        port: open,
        pool,
        mbufs: config.worker.mbufs,
        link: LinkState::Absent,
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

/// Rings between every two lcores, for each port and way.
fn connect(eal: &Eal, tasks: &mut [Task], ports: &Ports) -> anyhow::Result<()> {
    for from in 0..tasks.len() {
        for to in (0..tasks.len()).filter(|to| *to != from) {
            for port in ports.iter() {
                for (way, letter) in [(Way::Whole, 'w'), (Way::Downstream, 'd')] {
                    let name = format!("sluice_{from}_{to}_{}_{letter}", port.index);
                    let (sender, receiver) = handoff(eal, &name, HANDOFF_SLOTS, None)?;
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
    Ok(())
}
