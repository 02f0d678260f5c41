//! What the access node tells the BNG's control process: ONTs that come, change and go.
//!
//! Events go out one after the other and are repeated with growing pauses until they are taken. While
//! control is away only the newest event of each ONT is kept: that is the state control needs when it is
//! back. The queue is bounded all the same; what falls out of it is counted and logged.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::node::Ont;
use crate::unix_http;
use crate::wire::VlanId;

/// More ONTs than a trunk of this node will have.
const QUEUE_EVENTS_MAX: usize = 4096;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PATH: &str = "/api/v1/olt/events";

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum OltEvent {
    NewONTDetected(OntFacts),
    ONTProvisioned(OntFacts),
    ONTReconfigured(OntFacts),
    ONTDisconnected { ont_serial: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OntFacts {
    pub access_node: String,
    pub port: String,
    pub ont_serial: String,
    pub circuit_id: String,
    pub bng_port: String,
    pub s_vlan: Option<VlanId>,
    pub c_vlan: Option<VlanId>,
}

impl OntFacts {
    pub(crate) fn of(ont: &Ont, access_node: &str, bng_port: &str) -> Self {
        Self {
            access_node: access_node.to_owned(),
            port: ont.config.port.clone(),
            ont_serial: ont.config.serial.clone(),
            circuit_id: ont.circuit_id.clone(),
            bng_port: bng_port.to_owned(),
            s_vlan: ont.tags.s_vlan(),
            c_vlan: ont.tags.c_vlan(),
        }
    }
}

impl OltEvent {
    pub fn serial(&self) -> &str {
        match self {
            Self::NewONTDetected(ont) | Self::ONTProvisioned(ont) | Self::ONTReconfigured(ont) => {
                &ont.ont_serial
            }
            Self::ONTDisconnected { ont_serial } => ont_serial,
        }
    }
}

/// The waiting events. Cheap to clone; one [`deliver`] task empties it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    queue: Mutex<Queue>,
    filled: Notify,
    delivered: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    /// With the sequence number that tells an event from its successor of the same ONT.
    events: VecDeque<(u64, OltEvent)>,
    next: u64,
    control_away: bool,
}

/// How the delivery of events stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub waiting: usize,
    pub delivered: u64,
    pub lost: u64,
}

impl Outbox {
    pub(crate) fn push(&self, event: OltEvent) {
        let mut queue = self.queue();
        if queue.control_away {
            queue
                .events
                .retain(|(_, waiting)| waiting.serial() != event.serial());
        }
        if queue.events.len() >= QUEUE_EVENTS_MAX {
            queue.events.pop_front();
            self.inner.lost.fetch_add(1, Ordering::Relaxed);
        }
        let number = queue.next;
        queue.next += 1;
        queue.events.push_back((number, event));
        drop(queue);
        self.inner.filled.notify_one();
    }

    pub(crate) fn delivery(&self) -> Delivery {
        Delivery {
            waiting: self.queue().events.len(),
            delivered: self.inner.delivered.load(Ordering::Relaxed),
            lost: self.inner.lost.load(Ordering::Relaxed),
        }
    }

    fn first(&self) -> Option<(u64, OltEvent)> {
        self.queue().events.front().cloned()
    }

    fn finished(&self, number: u64) {
        let mut queue = self.queue();
        queue.control_away = false;
        queue.events.retain(|(waiting, _)| *waiting != number);
    }

    /// Control does not answer: of each ONT only the newest event stays.
    fn control_is_away(&self) {
        let mut queue = self.queue();
        queue.control_away = true;
        let mut newest = std::collections::HashSet::new();
        let kept: VecDeque<_> = queue
            .events
            .drain(..)
            .rev()
            .filter(|(_, event)| newest.insert(event.serial().to_owned()))
            .collect();
        queue.events.extend(kept.into_iter().rev());
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers events to control's socket until it is aborted.
pub(crate) async fn deliver(outbox: Outbox, control: PathBuf) {
    let mut pause = PAUSE_FIRST;
    loop {
        let Some((number, event)) = outbox.first() else {
            outbox.inner.filled.notified().await;
            continue;
        };
        match post(&control, &event).await {
            Ok(()) => {
                if pause > PAUSE_FIRST {
                    info!("control takes events again");
                }
                pause = PAUSE_FIRST;
                outbox.finished(number);
                outbox.inner.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Refusal::ForGood(reason)) => {
                warn!(serial = event.serial(), reason, "control refused an event");
                outbox.finished(number);
                outbox.inner.lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(Refusal::ForNow(reason)) => {
                if pause == PAUSE_FIRST {
                    warn!(reason, "control does not take events; trying again");
                }
                outbox.control_is_away();
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

enum Refusal {
    ForNow(String),
    ForGood(String),
}

async fn post(control: &std::path::Path, event: &OltEvent) -> Result<(), Refusal> {
    let body = serde_json::to_value(event).map_err(|error| Refusal::ForGood(error.to_string()))?;
    let answer = unix_http::request(control, Method::POST, PATH, Some(&body))
        .await
        .map_err(|error| Refusal::ForNow(error.to_string()))?;
    match answer.status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::NOT_FOUND => {
            Err(Refusal::ForNow(format!("{}: {}", answer.status, answer.text())))
        }
        status if status.is_client_error() => Err(Refusal::ForGood(format!("{status}: {}", answer.text()))),
        status => Err(Refusal::ForNow(format!("{status}: {}", answer.text()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(serial: &str) -> OltEvent {
        OltEvent::ONTDisconnected {
            ont_serial: serial.to_owned(),
        }
    }

    fn found(serial: &str) -> OltEvent {
        OltEvent::NewONTDetected(OntFacts {
            access_node: "agg-01".into(),
            port: "1/1/3".into(),
            ont_serial: serial.into(),
            circuit_id: "agg-01|1/1/3".into(),
            bng_port: "access0".into(),
            s_vlan: VlanId::new(100).ok(),
            c_vlan: VlanId::new(3).ok(),
        })
    }

    fn waiting(outbox: &Outbox) -> Vec<OltEvent> {
        outbox
            .queue()
            .events
            .iter()
            .map(|(_, event)| event.clone())
            .collect()
    }

    #[test]
    fn an_event_reads_as_control_expects_it() {
        assert_eq!(
            serde_json::to_value(found("ADTN00000003")).unwrap(),
            serde_json::json!({
                "type": "NewONTDetected", "access_node": "agg-01", "port": "1/1/3",
                "ont_serial": "ADTN00000003", "circuit_id": "agg-01|1/1/3", "bng_port": "access0",
                "s_vlan": 100, "c_vlan": 3
            })
        );
        assert_eq!(
            serde_json::to_value(gone("A")).unwrap(),
            serde_json::json!({"type": "ONTDisconnected", "ont_serial": "A"})
        );
    }

    #[test]
    fn while_control_is_away_the_newest_event_of_each_ont_is_kept() {
        let outbox = Outbox::default();
        for event in [found("A"), found("B"), gone("A")] {
            outbox.push(event);
        }

        outbox.control_is_away();
        assert_eq!(waiting(&outbox), [found("B"), gone("A")]);

        outbox.push(gone("B"));
        assert_eq!(waiting(&outbox), [gone("A"), gone("B")]);
    }

    #[test]
    fn a_delivered_event_does_not_take_its_successor_along() {
        let outbox = Outbox::default();
        outbox.push(found("A"));
        let (number, _) = outbox.first().unwrap();
        outbox.control_is_away();
        outbox.push(gone("A"));

        outbox.finished(number);

        assert_eq!(waiting(&outbox), [gone("A")]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let outbox = Outbox::default();
        for number in 0..QUEUE_EVENTS_MAX + 3 {
            outbox.push(gone(&number.to_string()));
        }
        assert_eq!(
            outbox.delivery(),
            Delivery {
                waiting: QUEUE_EVENTS_MAX,
                delivered: 0,
                lost: 3
            }
        );
    }
}
