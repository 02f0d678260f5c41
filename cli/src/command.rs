//! Commands on a subscriber: activate, suspend, resume, terminate.

use serde_json::{Value, json};

use crate::args::{Activate, Target};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Format, plain, print, print_json, printable};

pub async fn activate(client: &Client, activate: Activate, format: Format) -> Result<(), CliError> {
    let body = json!({
        "ont_serial": activate.ont_serial,
        "service_id": activate.service_id,
        "pool": activate.pool,
        "qos_download_bps": activate.download.0,
        "qos_upload_bps": activate.upload.0,
        "s_vlan": activate.s_vlan,
        "c_vlan": activate.c_vlan,
        "bounce": !activate.no_bounce,
    });
    let answer = client.post("/api/v1/activate", &body).await?;
    tell(&answer, format)
}

/// `suspend`, `resume` or `terminate`.
pub async fn change(client: &Client, command: &str, target: Target, format: Format) -> Result<(), CliError> {
    let mut body = target.session.body();
    if let Some(reason) = target.reason {
        body["reason"] = Value::String(reason);
    }
    let answer = client.post(&format!("/api/v1/{command}"), &body).await?;
    tell(&answer, format)
}

fn tell(answer: &Value, format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(answer);
    }
    let member = |name: &str| printable(&plain(answer.pointer(&format!("/session/{name}"))));
    print(&format!(
        "{}: {} → {} (had {}). {}\n",
        member("ont_serial"),
        member("old_state"),
        member("new_state"),
        member("old_ip"),
        member("message")
    ))
}
