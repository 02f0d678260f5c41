//! `sluice events`: what happened, a line each; with `--follow` what happens.
//!
//! A follower that loses the gateway (a restart) comes back with the last sequence it saw, so that it misses nothing that is kept.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;

use crate::args::Events;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Format, plain, print, printable};

const COME_BACK: Duration = Duration::from_secs(1);
/// A line of an event stream; an event has some 500 bytes.
const LINE_MAX: usize = 1 << 20;

pub async fn events(client: &Client, events: Events, format: Format) -> Result<(), CliError> {
    let mut after = events.after.unwrap_or(0);
    let mut reached = false;
    loop {
        let path = format!("/api/v1/events?after={after}&follow={}", events.follow);
        match client.stream(&path).await {
            Ok(mut body) => {
                reached = true;
                let mut parser = Parser::default();
                while let Some(frame) = body.frame().await {
                    let Ok(frame) = frame else { break };
                    let Some(bytes) = frame.data_ref() else { continue };
                    for event in parser.feed(bytes)? {
                        after = event.id.unwrap_or(after);
                        show(&event, format)?;
                    }
                }
            }
            // Whoever was never there is not waited for.
            Err(CliError::Unreachable { .. }) if reached => {}
            Err(error) => return Err(error),
        }
        if !events.follow {
            return Ok(());
        }
        tokio::time::sleep(COME_BACK).await;
    }
}

fn show(event: &Event, format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return print(&format!("{}\n", event.data));
    }
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    match event.name.as_str() {
        "missed" => print(&format!(
            "… {} events are no longer kept\n",
            plain(data.get("missed"))
        )),
        "restarted" => print("… the sequence began anew\n"),
        _ => print(&line(&data)),
    }
}

/// `12 2023-11-14T22:13:20.123Z SessionStateChanged ADTN00000001 wgar → active 10.0.0.2 pool=… detail`.
fn line(data: &Value) -> String {
    let member = |name: &str| data.get(name).and_then(Value::as_str);
    let at_ms = data.get("at_ms").and_then(Value::as_u64).unwrap_or(0);
    let mut words = vec![
        format!("{:>6}", plain(data.get("sequence"))),
        timestamp(at_ms),
        format!("{:<20}", plain(data.get("kind"))),
        plain(
            data.get("ont_serial")
                .filter(|value| !value.is_null())
                .or(data.get("circuit_id")),
        ),
    ];
    match (member("old_state"), member("new_state")) {
        (Some(old), Some(new)) => words.push(format!("{old} → {new}")),
        (None, Some(new)) => words.push(new.to_owned()),
        _ => {}
    }
    let named = ["ipv4", "pool", "detail"].into_iter().filter_map(member);
    words.extend(named.map(str::to_owned));
    printable(&words.join(" ")) + "\n"
}

/// UTC, RFC 3339. Days to dates after Howard Hinnant, "chrono-compatible low-level date algorithms".
fn timestamp(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// An event of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<u64>,
    name: String,
    data: String,
}

/// Reads server-sent events (HTML Living Standard, section 9.2.6), as far as the gateway uses them.
#[derive(Debug, Default)]
struct Parser {
    rest: Vec<u8>,
    event: Event,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, CliError> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = value.parse().ok(),
                "event" => self.event.name = value.to_owned(),
                "data" => self.event.data.push_str(value),
                // A comment, which keeps the connection alive, or a field that is not used here.
                _ => {}
            }
        }
        if self.rest.len() > LINE_MAX {
            return Err(CliError::failed("the gateway sent an event without end"));
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream =
            b":\n\nid: 7\nevent: A\ndata: {\"x\":1}\n\nevent: missed\r\ndata: {\"missed\":2}\r\n\r\n";
        for cut in 1..stream.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for part in stream.chunks(cut) {
                events.extend(parser.feed(part).unwrap());
            }

            assert_eq!(events.len(), 2);
            assert_eq!((events[0].id, events[0].name.as_str()), (Some(7), "A"));
            assert_eq!(events[1].data, "{\"missed\":2}");
        }
        assert!(Parser::default().feed(&vec![b'x'; LINE_MAX + 1]).is_err());
    }

    #[test]
    fn an_event_is_a_line() {
        let data = json!({
            "sequence": 12, "at_ms": 1_700_000_000_123u64, "kind": "SessionStateChanged", "ont_serial": "ADTN00000001",
            "old_state": "wgar", "new_state": "active", "ipv4": "10.0.0.2", "pool": "isp-residential", "detail": null
        });

        assert_eq!(
            line(&data),
            "    12 2023-11-14T22:13:20.123Z SessionStateChanged  ADTN00000001 wgar → active 10.0.0.2 isp-residential\n"
        );
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
    }
}
