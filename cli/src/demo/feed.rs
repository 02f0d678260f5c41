//! The gateway's event stream, told as it comes and kept for the expectations.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Deserialize;

use super::story::Story;

/// The stream begins with a head; more lines than this are no head of ours.
const HEAD_LINES_MAX: usize = 64;

#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    pub kind: String,
    pub ont_serial: Option<String>,
    pub circuit_id: Option<String>,
    pub old_state: Option<String>,
    pub new_state: Option<String>,
    pub ipv4: Option<String>,
    pub pool: Option<String>,
}

/// Whether events are told; a hundred subscribers have too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Each,
    Nothing,
}

/// Follows until dropped.
#[derive(Debug)]
pub struct Feed {
    events: Arc<Mutex<Vec<Event>>>,
    ended: Arc<AtomicBool>,
    stream: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Everything the gateway has kept, then what happens.
    pub fn follow(socket: &Path, story: Story, telling: Telling) -> io::Result<Feed> {
        let mut stream = UnixStream::connect(socket)?;
        // HTTP/1.0: the body then comes as it is, without chunks, until the connection ends.
        stream.write_all(b"GET /api/v1/events?after=0 HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut lines = BufReader::new(stream.try_clone()?);
        read_head(&mut lines)?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (kept, over) = (events.clone(), ended.clone());
        let work = move || {
            for line in lines.lines() {
                let Ok(line) = line else { break };
                let Some(event) = parse(&line) else { continue };
                if telling == Telling::Each
                    && let Some(text) = tell(&event)
                {
                    story.line(text);
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
            over.store(true, Ordering::Release);
        };
        let thread = std::thread::Builder::new().name("feed".into()).spawn(work)?;
        Ok(Feed {
            events,
            ended,
            stream,
            thread: Some(thread),
        })
    }

    /// Events of an ONT, oldest first.
    pub fn of(&self, serial: &str) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events
            .iter()
            .filter(|event| event.ont_serial.as_deref() == Some(serial))
            .cloned()
            .collect()
    }

    /// The gateway ended the stream.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // The reader then sees the end of the stream; where it has ended already there is nothing to shut down.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_head(lines: &mut impl BufRead) -> io::Result<()> {
    let mut status = String::new();
    lines.read_line(&mut status)?;
    if status.split_whitespace().nth(1) != Some("200") {
        return Err(io::Error::other(format!(
            "events are answered with {:?}",
            status.trim()
        )));
    }
    for _ in 0..HEAD_LINES_MAX {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.trim().is_empty() {
            return Ok(());
        }
    }
    Err(io::Error::other("the event stream's head does not end"))
}

/// A `data:` line with an event; names, numbers and comments say nothing that is not in it.
fn parse(line: &str) -> Option<Event> {
    serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()
}

fn tell(event: &Event) -> Option<String> {
    let who = event.ont_serial.as_deref().or(event.circuit_id.as_deref())?;
    let address = event.ipv4.as_deref().unwrap_or("no address");
    let pool = event.pool.as_deref().unwrap_or("no pool");
    let text = match event.kind.as_str() {
        "NewONTDetected" => format!(
            "discovered on {}",
            event.circuit_id.as_deref().unwrap_or("an unnamed line")
        ),
        "AddressBound" => format!("has {address} of pool {pool}"),
        "ONTReconfigured" => "line reconfigured by the access node".to_owned(),
        "SessionStateChanged" => {
            let state = |state: &Option<String>| state.clone().unwrap_or_else(|| "nothing".into());
            format!("{} → {}", state(&event.old_state), state(&event.new_state))
        }
        "ONTDisconnected" => "ONT is gone".to_owned(),
        "PoolExhausted" => format!("finds pool {pool} exhausted"),
        _ => return None,
    };
    Some(format!("{who}  {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_from_its_data_line() {
        let line =
            r#"data: {"sequence":3,"at_ms":1,"kind":"SessionStateChanged","session":"0000000000000001",
            "ont_serial":"ADTN00000001","circuit_id":"agg-01|1/1/1","old_state":"wgar","new_state":"active",
            "ipv4":null,"pool":null,"detail":null}"#
                .replace('\n', "");

        let event = parse(&line).unwrap();

        assert_eq!(tell(&event).as_deref(), Some("ADTN00000001  wgar → active"));
        assert!(parse("event: SessionStateChanged").is_none() && parse("data: {").is_none());
    }

    #[test]
    fn another_answer_than_a_stream_is_an_error() {
        let mut head = io::Cursor::new("HTTP/1.0 503 Service Unavailable\r\n\r\n");
        assert!(read_head(&mut head).unwrap_err().to_string().contains("503"));
        assert!(read_head(&mut io::Cursor::new("HTTP/1.0 200 OK\r\nx: y\r\n\r\n")).is_ok());
    }
}
