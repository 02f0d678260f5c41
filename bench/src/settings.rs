//! The worker's configuration for a measurement: QinQ lines on each access port, plain IP on each core port, no control.

use std::path::PathBuf;

use sluice_config::Idle;

use crate::traffic::network::HARNESS;

/// What differs from one measurement to the next.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the segment.
    pub name: String,
    /// Holds locks and sockets.
    pub dir: PathBuf,
    pub pages: HugePages,
    pub idle: Idle,
    pub sessions: u32,
    pub mbufs: u32,
    /// Devices of the access ports, which are numbered first, and of the core ports.
    pub access: Vec<String>,
    pub core: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    WhereThereAre,
    Never,
}

/// Rows for so many sessions: row 0 is never used, and 2^20 is the most that a segment has.
pub fn rows(sessions: u32) -> u32 {
    (sessions + 1).next_power_of_two().clamp(64, 1 << 20)
}

impl Settings {
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            r#"[node]
id = "{name}"
run_dir = "{dir}"
state_dir = "{dir}"
hugetlbfs = "{pages}"

[limits]
sessions = {rows}
tbl8_groups = {groups}
svlan_blocks = {blocks}

[worker]
idle = "{idle}"
mbufs = {mbufs}

[dhcp]
server_id = "100.127.255.1"

[pools.isp-residential]
network = "100.64.0.0/10"
gateway = "100.127.255.1"
binding_seconds = 86400
dns = ["1.1.1.1"]

[sessions]
unknown_pool = "isp-residential"
suspended_pool = "isp-residential"
"#,
            name = self.name,
            dir = self.dir.display(),
            pages = match self.pages {
                HugePages::WhereThereAre => "auto",
                HugePages::Never => "none",
            },
            rows = rows(self.sessions),
            groups = rows(self.sessions) / 256 + 64,
            blocks = (self.sessions / 4094 + 2) as usize * self.access.len(),
            idle = match self.idle {
                Idle::Poll => "poll",
                Idle::Adaptive => "adaptive",
            },
            mbufs = self.mbufs,
        );
        for (at, device) in self.access.iter().enumerate() {
            text.push_str(&format!(
                r#"
[[ports]]
name = "access{at}"
role = "access"
device = "{device}"
tagging = "qinq"
outer_tpids = [0x88a8]
mac = "{mac}"
[[ports.lines]]
s_vlans = "1-4094"
c_vlans = "1-4094"
model = "1:1"
"#,
                mac = mac(HARNESS.access_mac),
            ));
        }
        for (at, device) in self.core.iter().enumerate() {
            text.push_str(&format!(
                r#"
[[ports]]
name = "core{at}"
role = "core"
device = "{device}"
mac = "{mac}"
address = "192.0.{net}.2/24"
"#,
                mac = mac(HARNESS.core_mac),
                net = 2 + at,
            ));
            if at == 0 {
                text.push_str("gateway = \"192.0.2.1\"\n");
            }
        }
        text
    }
}

/// As the configuration writes it.
pub fn mac(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_sessions_take_the_largest_segment() {
        assert_eq!((rows(63), rows(64), rows(1 << 20)), (64, 128, 1 << 20));
    }
}
