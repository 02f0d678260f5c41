//! All metrics: name, kind, labels, meaning. `docs/metrics.md` is made of this list.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric as Registered, Registry};

/// A metric's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As it is rendered; a histogram's series end in `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// A sentence without its full stop.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl Metric {
    /// The name as the library wants it: it appends `_total` and `_info` itself.
    pub(super) fn base(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    pub(super) fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry, metric: impl Registered) {
        registry.register(self.base(), self.help, metric);
    }
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*
        /// Every metric there is, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($constant,)*];
    };
}

metrics! {
    SESSIONS: Gauge "bng_sessions_total" ["state"] "Sessions by state";
    SESSION_SECONDS: Gauge "bng_session_duration_seconds" ["state"] "Time that the sessions of a state have been in it, summed; divided by bng_sessions_total it is the mean";

    DHCP_REQUESTS: Counter "bng_dhcp_requests_total" ["pool"] "DHCP messages taken in, by pool of the session; none before it has one";
    DHCP_RECEIVED: Counter "bng_dhcp_received_total" ["type"] "DHCP messages taken in, by type";
    DHCP_SENT: Counter "bng_dhcp_sent_total" ["type"] "DHCP messages sent, by type";
    DHCP_REFUSED: Counter "bng_dhcp_refused_total" ["reason"] "DHCP messages refused, by reason";
    DHCP_NOTED: Counter "bng_dhcp_noted_total" ["kind"] "DHCP messages that were answered although something about them was odd, by kind";
    POOL_UTILIZATION: Gauge "bng_dhcp_pool_utilization" ["pool"] "Share of a pool's addresses that are bound, 0 to 1";
    POOL_AVAILABLE: Gauge "bng_dhcp_pool_available_ips" ["pool"] "Addresses of a pool that a new subscriber could get";
    POOL_ADDRESSES: Gauge "bng_dhcp_pool_addresses" ["pool", "use"] "Addresses of a pool by use: bound, offered, sticky, quarantined";

    TRAFFIC_BYTES: Counter "bng_traffic_bytes_total" ["direction", "pool"] "Bytes of IP packets that sessions sent and received, by direction and pool of the address";
    TRAFFIC_PACKETS: Counter "bng_traffic_packets_total" ["direction", "pool"] "Packets that sessions sent and received, by direction and pool of the address";
    TRAFFIC_POLICED: Counter "bng_traffic_policed_packets_total" ["direction", "pool"] "Packets dropped because they exceeded their session's rate, by direction and pool of the address";

    ACTIVATIONS: Counter "bng_activations_total" ["result"] "Activations by result";
    ACTIVATION_SECONDS: Histogram "bng_activation_duration_seconds" [] "From the command to the state active, where the activation completed";

    GARDEN_DROPS: Counter "bng_walled_garden_drops_total" ["reason"] "Packets that the walled garden dropped, by reason";
    DROPS: Counter "bng_drops_total" ["reason"] "Packets dropped, by reason, those of the walled garden too";
    PUNTS: Counter "bng_punts_total" ["reason"] "Packets handed to control, by reason";

    LATENCY_SECONDS: Histogram "bng_latency_seconds" ["lcore", "direction"] "From the receive of a burst to its transmit";
    LATENCY_MAX_SECONDS: Gauge "bng_latency_max_seconds" ["lcore", "direction"] "The largest latency since the segment was made";

    LCORE_RX: Counter "bng_lcore_rx_packets_total" ["lcore"] "Packets received";
    LCORE_HANDED_IN: Counter "bng_lcore_handed_in_packets_total" ["lcore"] "Packets that another lcore received and handed over to this one";
    LCORE_TX: Counter "bng_lcore_tx_packets_total" ["lcore"] "Packets transmitted";
    LCORE_INJECTED: Counter "bng_lcore_injected_packets_total" ["lcore"] "Packets taken from control to be sent";
    LCORE_ORIGINATED: Counter "bng_lcore_originated_packets_total" ["lcore"] "Packets made in the data plane, such as ICMP errors";
    LCORE_DROPS: Counter "bng_lcore_drops_total" ["lcore"] "Packets dropped";
    LCORE_PUNTS: Counter "bng_lcore_punts_total" ["lcore"] "Packets handed to control";
    LCORE_LOST: Counter "bng_lcore_lost_in_flight_total" ["lcore"] "Packets that a killed worker had in hand";
    LCORE_FORWARDED: Counter "bng_lcore_forwarded_packets_total" ["lcore", "direction"] "Packets forwarded between access and core or between subscribers";
    LCORE_BURSTS: Counter "bng_lcore_bursts_total" ["lcore"] "Bursts received";
    LCORE_IDLE: Counter "bng_lcore_idle_polls_total" ["lcore"] "Turns of the loop that received nothing";
    LCORE_BUSY: Counter "bng_lcore_busy_tsc_total" ["lcore"] "TSC ticks of turns that had work";
    LCORE_STAGE_TSC: Counter "bng_lcore_stage_tsc_total" ["lcore", "stage"] "TSC ticks that a stage took in the bursts measured; divided by bng_lcore_measured_packets_total it is what the stage costs a packet, whether it comes to the stage or not";
    LCORE_STAGE_PACKETS: Counter "bng_lcore_stage_packets_total" ["lcore", "stage"] "Packets that came to a stage in the bursts measured";
    LCORE_MEASURED_BURSTS: Counter "bng_lcore_measured_bursts_total" ["lcore"] "Bursts measured stage by stage, one in worker.measure_one_in";
    LCORE_MEASURED_PACKETS: Counter "bng_lcore_measured_packets_total" ["lcore"] "Packets of the bursts measured";
    LCORE_TSC_HERTZ: Gauge "bng_lcore_tsc_hertz" ["lcore"] "TSC ticks a second; rate(bng_lcore_busy_tsc_total) divided by it is the share of time that the lcore is busy";
    LCORE_ONLINE: Gauge "bng_lcore_online" ["lcore"] "1 while the lcore may be reading tables, 0 while it sleeps or does not run";
    LCORE_HEARTBEAT: Gauge "bng_lcore_heartbeat_age_seconds" ["lcore"] "Time since the last turn of the loop";

    PORT_RX_PACKETS: Counter "bng_port_rx_packets_total" ["port"] "Packets that the pipeline received";
    PORT_RX_BYTES: Counter "bng_port_rx_bytes_total" ["port"] "Bytes of frames without FCS that the pipeline received";
    PORT_TX_PACKETS: Counter "bng_port_tx_packets_total" ["port"] "Packets that the pipeline transmitted";
    PORT_TX_BYTES: Counter "bng_port_tx_bytes_total" ["port"] "Bytes of frames without FCS that the pipeline transmitted";
    PORT_MISSED: Gauge "bng_port_rx_missed" ["port"] "Frames that the device lost for want of a descriptor, since the device was started";
    PORT_RX_ERRORS: Gauge "bng_port_rx_errors" ["port"] "Frames that the device received in error, since the device was started";
    PORT_NO_MBUF: Gauge "bng_port_rx_no_mbuf" ["port"] "Frames that the device lost for want of an mbuf, since the device was started";
    PORT_TX_ERRORS: Gauge "bng_port_tx_errors" ["port"] "Frames that the device could not send, since the device was started";
    PORT_LINK: Gauge "bng_port_link_up" ["port"] "1 while the link is up";
    PORT_MBUFS: Gauge "bng_port_mbufs" ["port"] "Mbufs of the port's mempool";
    PORT_MBUFS_FREE: Gauge "bng_port_mbufs_free" ["port"] "Free mbufs of the port's mempool";

    CONTROL_LOST: Counter "bng_control_lost_total" ["reason"] "Punted frames that control could not read, and frames it could not send, by reason";

    STORE_COMMIT_SECONDS: Histogram "bng_store_commit_duration_seconds" [] "Time that a transaction with its fsync took";
    STORE_WAIT_SECONDS: Histogram "bng_store_wait_duration_seconds" [] "Time from a batch given to the store to its answer";
    STORE_WAITING: Gauge "bng_store_waiting_batches" [] "Batches that the store has not answered yet";
    STORE_TRANSACTIONS: Counter "bng_store_transactions_total" [] "Transactions committed";
    STORE_BATCHES: Counter "bng_store_batches_total" [] "Batches that became durable";
    STORE_RECORDS: Counter "bng_store_records_total" [] "Records that became durable";
    STORE_FAILED: Counter "bng_store_failed_batches_total" [] "Batches that did not become durable";
    STORE_REOPENED: Counter "bng_store_reopened_total" [] "How often the store was opened anew after an error";
    STORE_EVENTS_DROPPED: Counter "bng_store_outbox_dropped_total" [] "Events that left the outbox because it was full";
    OUTBOX: Gauge "bng_outbox_events" [] "Events of the outbox that nobody beyond this machine has taken yet";
    REST_REQUEST_SECONDS: Histogram "bng_rest_request_duration_seconds" ["method", "route", "status"] "REST requests by route and status, from the head read to the answer made";

    ENGINE_UP: Gauge "bng_engine_up" [] "1 when the session engine answered this scrape; its metrics are absent otherwise";
    WORKER_UP: Gauge "bng_worker_up" [] "1 while a worker process holds the segment";
    WORKER_GENERATION: Gauge "bng_worker_generation" [] "How often a worker attached to the segment";
    CONTROL_GENERATION: Gauge "bng_control_generation" [] "How often a control process attached to the segment";
    BUILD_INFO: Info "bng_build_info" ["version"] "1, with the version of this program";
}

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Made from `control/src/metrics/list.rs`; a test compares the two.\n\n\
         `GET /metrics` answers OpenMetrics text. Counters of the data plane are never zeroed while the segment lives; those of the engine \
         begin at zero when control starts. No metric has a label per subscriber.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!(
            "| `{}` | {kind} | {} | {} |\n",
            metric.name,
            labels.join(", "),
            metric.help
        ));
    }
    text
}
