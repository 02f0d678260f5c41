//! `sluice show`: the gateway's answers as tables, one noun a file.

mod data_plane;
mod latency;
mod lcores;
mod pools;
mod sessions;

use serde_json::Value;

use crate::args::{Detail, What};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Format, print, print_json};

pub async fn show(client: &Client, what: What, format: Format) -> Result<(), CliError> {
    let (answer, text): (Value, fn(&Value) -> String) = match what {
        What::Sessions(filter) => (sessions::all(client, &filter).await?, sessions::list),
        What::Session { session } => (sessions::one(client, &session).await?, sessions::describe),
        What::Pools => (client.get("/api/v1/pools").await?, pools::list),
        What::Ports => (client.get("/api/v1/ports").await?, data_plane::ports),
        What::Drops(reasons) => (
            client.get("/api/v1/drops").await?,
            if reasons.all {
                data_plane::all_drops
            } else {
                data_plane::drops
            },
        ),
        What::Punts(reasons) => (
            client.get("/api/v1/punts").await?,
            if reasons.all {
                data_plane::all_punts
            } else {
                data_plane::punts
            },
        ),
        What::Latency(Detail { buckets: false }) => {
            (client.get("/api/v1/latency").await?, latency::percentiles)
        }
        What::Latency(Detail { buckets: true }) => (
            client.get("/api/v1/latency?buckets=true").await?,
            latency::with_buckets,
        ),
        What::Lcores => (client.get("/api/v1/lcores").await?, lcores::list),
    };
    match format {
        Format::Json => print_json(&answer),
        Format::Table => print(&text(&answer)),
    }
}

/// The items of a list, none where it is missing.
fn items<'a>(answer: &'a Value, member: &str) -> &'a [Value] {
    answer
        .get(member)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
