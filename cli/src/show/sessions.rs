//! Sessions: a list with filters, and one with everything known of it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::items;
use crate::args::Sessions;
use crate::client::{Client, percent};
use crate::error::CliError;
use crate::output::{Column, grouped, plain, printable, table};
use crate::selector::{Kind, Selector};

/// The gateway's longest page.
const PAGE: usize = 1000;

/// All sessions that fit, page by page.
pub async fn all(client: &Client, filter: &Sessions) -> Result<Value, CliError> {
    let given = [
        ("state", filter.state.clone()),
        ("pool", filter.pool.clone()),
        ("circuit_id", filter.circuit_id.clone()),
        ("ont_serial", filter.ont_serial.clone()),
        ("ip", filter.ip.map(|ip| ip.to_string())),
        ("mac", filter.mac.clone()),
    ];
    let query: String = given
        .into_iter()
        .filter_map(|(name, value)| Some(format!("&{name}={}", percent(&value?))))
        .collect();
    let wanted = filter.limit.unwrap_or(usize::MAX);
    let mut sessions = Vec::new();
    let mut cursor = String::new();
    while sessions.len() < wanted {
        let limit = PAGE.min(wanted - sessions.len());
        let page = client
            .get(&format!("/api/v1/sessions?limit={limit}{query}{cursor}"))
            .await?;
        sessions.extend_from_slice(items(&page, "sessions"));
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={}", percent(next)),
            None => break,
        }
    }
    Ok(json!({ "sessions": sessions }))
}

/// The one session that `selector` names.
pub async fn one(client: &Client, selector: &Selector) -> Result<Value, CliError> {
    let value = percent(&selector.value);
    if selector.kind == Kind::SessionId {
        return client.get(&format!("/api/v1/sessions/{value}")).await;
    }
    let member = selector.kind.member();
    let found = client
        .get(&format!("/api/v1/sessions?{member}={value}&limit=10"))
        .await?;
    match items(&found, "sessions") {
        [session] => Ok(session.clone()),
        [] => Err(CliError::Refused(format!(
            "no session with {member} {}",
            selector.value
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|session| plain(session.get("id"))).collect();
            Err(CliError::Refused(format!(
                "several sessions with {member} {}: name one by its id, {}",
                selector.value,
                ids.join(", ")
            )))
        }
    }
}

pub fn list(answer: &Value) -> String {
    let now = now_seconds();
    let columns = [
        Column::text("ID", "/id"),
        Column::text("STATE", "/state"),
        Column::right("FOR", move |row| since(row.get("state_since"), now)),
        Column::text("ONT", "/ont_serial"),
        Column::text("CIRCUIT", "/circuit_id"),
        Column::of("LINE", line),
        Column::text("MAC", "/mac"),
        Column::text("IP", "/ip"),
        Column::text("POOL", "/pool"),
        Column::right("UP", |row| bytes(row.pointer("/traffic/upstream/bytes"))),
        Column::right("DOWN", |row| bytes(row.pointer("/traffic/downstream/bytes"))),
    ];
    let sessions = items(answer, "sessions");
    format!("{}{} sessions\n", table(&columns, sessions), sessions.len())
}

pub fn describe(session: &Value) -> String {
    let now = now_seconds();
    let text = |pointer: &str| plain(session.pointer(pointer));
    let number = |pointer: &str| {
        let number = session.pointer(pointer).and_then(Value::as_i64);
        number.map_or_else(|| "-".to_owned(), grouped)
    };
    let traffic = |direction: &str| {
        let at = |member: &str| number(&format!("/traffic/{direction}/{member}"));
        format!(
            "{} packets, {} bytes, {} policed",
            at("packets"),
            at("bytes"),
            at("policed")
        )
    };
    let left = session.get("expires_at").and_then(Value::as_u64);
    let lines = [
        ("session", text("/id")),
        (
            "state",
            format!(
                "{} for {}",
                text("/state"),
                since(session.get("state_since"), now)
            ),
        ),
        ("identity", text("/identity")),
        ("ONT serial", text("/ont_serial")),
        ("circuit-id", text("/circuit_id")),
        ("remote-id", text("/remote_id")),
        ("line", line(session)),
        ("MAC", text("/mac")),
        ("client id", text("/client_id")),
        (
            "address",
            match left {
                Some(expires) => format!(
                    "{} of {}, bound for {}",
                    text("/ip"),
                    text("/pool"),
                    span(expires.saturating_sub(now))
                ),
                None => "-".to_owned(),
            },
        ),
        (
            "service",
            format!(
                "{} of pool {}, {} down, {} up",
                text("/service/service_id"),
                text("/service/pool"),
                rate(session.pointer("/service/qos_download_bps")),
                rate(session.pointer("/service/qos_upload_bps"))
            ),
        ),
        ("upstream", traffic("upstream")),
        ("downstream", traffic("downstream")),
        ("row", text("/row")),
    ];
    lines
        .iter()
        .map(|(name, value)| format!("{name:<12}{}\n", printable(value)))
        .collect()
}

/// `access0 100.7`: port, S-VLAN, C-VLAN.
fn line(session: &Value) -> String {
    let tags: Vec<String> = ["s_vlan", "c_vlan"]
        .iter()
        .filter_map(|tag| session.get(*tag)?.as_u64())
        .map(|tag| tag.to_string())
        .collect();
    let port = plain(session.get("port"));
    if tags.is_empty() {
        port
    } else {
        format!("{port} {}", tags.join("."))
    }
}

fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn since(value: Option<&Value>, now: u64) -> String {
    match value.and_then(Value::as_u64) {
        Some(at) => span(now.saturating_sub(at)),
        None => "-".to_owned(),
    }
}

/// The two largest units of a time.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn bytes(value: Option<&Value>) -> String {
    match value.and_then(Value::as_u64) {
        Some(count) => scaled(count, "B"),
        None => "-".to_owned(),
    }
}

fn rate(value: Option<&Value>) -> String {
    match value.and_then(Value::as_u64) {
        Some(0) => "unlimited".to_owned(),
        Some(bps) => scaled(bps, "bit/s"),
        None => "-".to_owned(),
    }
}

/// Powers of a thousand, three digits.
fn scaled(value: u64, unit: &str) -> String {
    let scales = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1000, "k"),
    ];
    match scales.iter().find(|(scale, _)| value >= *scale) {
        None => format!("{value} {unit}"),
        Some((scale, letter)) => {
            let scaled = value as f64 / *scale as f64;
            let digits = if scaled < 10.0 {
                2
            } else {
                usize::from(scaled < 100.0)
            };
            format!("{scaled:.digits$} {letter}{unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_amounts_are_short() {
        assert_eq!([5, 65, 3700, 90_000].map(span), ["5s", "1m05s", "1h01m", "1d01h"]);
        assert_eq!(scaled(999, "B"), "999 B");
        assert_eq!(scaled(1_234_567, "B"), "1.23 MB");
        assert_eq!(scaled(100_000_000, "bit/s"), "100 Mbit/s");
    }
}
