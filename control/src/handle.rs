//! The way in to the engine for everything that asks: REST today, other fronts tomorrow.
//!
//! ```text
//!  REST handler ── EngineHandle::command ──► bounded queue ──► driver ──► engine
//!        ▲                                                        │
//!        └───────────────────── oneshot answer ◄──────────────────┘
//! ```
//!
//! The queue is bounded and nobody waits for a place in it: a caller who finds it full is told so at once, since a front that
//! queues behind a stuck engine only hides it. An answer that never comes (the driver dropped it) is an error too, never a hang.

use tokio::sync::{mpsc, oneshot};

use crate::engine::{Command, CommandError, OltEvent, Reply};

/// Commands and OLT events that may wait for the engine: a second of a hundred callers a tick.
pub const QUEUE_MAX: usize = 1024;

/// What the driver takes from the queue.
#[derive(Debug)]
pub enum Inbound {
    Command {
        command: Command,
        reply: oneshot::Sender<Result<Reply, CommandError>>,
    },
    Olt(OltEvent),
}

/// Asks the engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineHandle(mpsc::Sender<Inbound>);

/// A handle, and the end that the driver consumes.
pub fn channel() -> (EngineHandle, mpsc::Receiver<Inbound>) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    (EngineHandle(sender), receiver)
}

impl EngineHandle {
    /// Has the engine carry out `command` and gives its answer. Dropping the future takes nothing back: a command that was
    /// queued is carried out.
    pub async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.put(Inbound::Command { command, reply })?;
        answer
            .await
            .map_err(|_| CommandError::Unavailable("the engine stopped before it answered".into()))?
    }

    /// Tells the engine what an access node reports. An error means that it was not taken: the node may repeat it.
    pub fn olt_event(&self, event: OltEvent) -> Result<(), CommandError> {
        self.put(Inbound::Olt(event))
    }

    /// Whether somebody still takes from the queue.
    pub fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    fn put(&self, inbound: Inbound) -> Result<(), CommandError> {
        self.0.try_send(inbound).map_err(|error| {
            CommandError::Unavailable(match error {
                mpsc::error::TrySendError::Full(_) => {
                    format!("the engine is {QUEUE_MAX} commands behind")
                }
                mpsc::error::TrySendError::Closed(_) => "the engine is not running".into(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gets_the_answer_that_the_driver_gives() {
        let (handle, mut inbox) = channel();
        let driver = tokio::spawn(async move {
            while let Some(inbound) = inbox.recv().await {
                if let Inbound::Command { command, reply } = inbound {
                    assert_eq!(command, Command::Pools);
                    reply.send(Ok(Reply::Pools(Vec::new()))).ok();
                }
            }
        });

        let answer = handle.command(Command::Pools).await;

        assert_eq!(answer, Ok(Reply::Pools(Vec::new())));
        drop(handle);
        driver.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_is_an_error_and_no_hang() {
        let (handle, mut inbox) = channel();
        tokio::spawn(async move { inbox.recv().await });

        let answer = handle.command(Command::Pools).await;

        assert_eq!(
            answer,
            Err(CommandError::Unavailable(
                "the engine stopped before it answered".into()
            ))
        );
    }

    #[tokio::test]
    async fn a_full_queue_and_a_closed_one_are_told_at_once() {
        let (handle, inbox) = channel();
        let event = || OltEvent {
            kind: crate::engine::OltEventKind::ONTDisconnected,
            access_node: None,
            port: None,
            ont_serial: "ADTN00000001".into(),
            circuit_id: None,
            bng_port: None,
            s_vlan: None,
            c_vlan: None,
        };
        for _ in 0..QUEUE_MAX {
            handle.olt_event(event()).unwrap();
        }

        let full = handle.olt_event(event()).unwrap_err().to_string();
        assert_eq!(full, "the engine is 1024 commands behind");
        assert!(handle.is_open());

        drop(inbox);
        let closed = handle.command(Command::Pools).await.unwrap_err().to_string();
        assert_eq!(closed, "the engine is not running");
        assert!(!handle.is_open());
    }
}
