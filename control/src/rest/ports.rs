//! Ports: what the pipeline counted on them and what their devices say.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shm_bridge::counters::{Counter, PortCells};
use shm_bridge::ports::{LinkState, PortStatus};
use shm_bridge::sides::Tables;
use sluice_config::Port;
use utoipa::ToSchema;

use super::AppState;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PortList {
    pub ports: Vec<PortJson>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PortJson {
    /// Place in the configuration.
    pub index: usize,
    #[schema(example = "access0")]
    pub name: String,
    /// `access` or `core`.
    #[schema(example = "access")]
    pub role: String,
    #[schema(example = "net_tap0")]
    pub device: String,
    pub mac: String,
    pub mtu: u16,
    /// `up`, `down`, or `absent` when no worker has opened it.
    #[schema(example = "up")]
    pub link: String,
    /// Null where the device does not know.
    pub speed_mbps: Option<u64>,
    /// What the pipeline took in and gave out, over all lcores; bytes are of Ethernet frames without FCS.
    pub pipeline: PortTraffic,
    /// What the device counted since it was started.
    pub device_counts: DeviceCounts,
    pub mbufs_free: u64,
    pub mbufs: u64,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PortTraffic {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceCounts {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    /// No descriptor was free: the worker is too slow.
    pub rx_missed: u64,
    pub rx_errors: u64,
    /// The mempool was empty.
    pub rx_no_mbuf: u64,
    pub tx_errors: u64,
}

/// All ports.
#[utoipa::path(
    get, path = "/api/v1/ports", tag = "data plane",
    responses((status = 200, description = "All ports", body = PortList))
)]
pub async fn list(State(state): State<AppState>) -> Json<PortList> {
    let ports = state.config.ports.iter().enumerate();
    Json(PortList {
        ports: ports
            .map(|(index, port)| describe(&state.tables, index, port))
            .collect(),
    })
}

fn describe(tables: &Tables, index: usize, port: &Port) -> PortJson {
    let status = status(tables, index);
    PortJson {
        index,
        name: port.name.to_string(),
        role: if port.access().is_some() { "access" } else { "core" }.to_owned(),
        device: port.device.to_string(),
        mac: port.mac.to_string(),
        mtu: port.mtu,
        link: link_label(status.link).to_owned(),
        speed_mbps: Some(status.speed_mbps).filter(|speed| *speed != 0),
        pipeline: pipeline(tables, index),
        device_counts: DeviceCounts {
            rx_packets: status.rx_packets,
            rx_bytes: status.rx_bytes,
            tx_packets: status.tx_packets,
            tx_bytes: status.tx_bytes,
            rx_missed: status.rx_missed,
            rx_errors: status.rx_errors,
            rx_no_mbuf: status.rx_no_mbuf,
            tx_errors: status.tx_errors,
        },
        mbufs_free: status.mbufs_free,
        mbufs: status.mbufs,
    }
}

/// What the device of port `index` says; all zero where no worker has opened it.
pub(crate) fn status(tables: &Tables, index: usize) -> PortStatus {
    tables
        .ports
        .get(index)
        .map(|cells| cells.read())
        .unwrap_or_default()
}

/// What the pipeline counted on port `index`, over all lcores.
pub(crate) fn pipeline(tables: &Tables, index: usize) -> PortTraffic {
    let sum = |counter: fn(&PortCells) -> &Counter| {
        tables
            .lcores
            .used()
            .filter_map(|(_, lcore)| lcore.port(index))
            .fold(0u64, |sum, cells| sum.wrapping_add(counter(cells).get()))
    };
    PortTraffic {
        rx_packets: sum(|cells| &cells.rx_packets),
        rx_bytes: sum(|cells| &cells.rx_bytes),
        tx_packets: sum(|cells| &cells.tx_packets),
        tx_bytes: sum(|cells| &cells.tx_bytes),
    }
}

fn link_label(link: LinkState) -> &'static str {
    match link {
        LinkState::Absent => "absent",
        LinkState::Down => "down",
        LinkState::Up => "up",
    }
}
