//! `sluice.toml` of a lab's BNG, from a few parameters.

use std::fmt::Write;

use super::ground::Ground;
use crate::config::{Tagging, VlanModel};

/// Names of the BNG's ports.
pub const ACCESS_PORT: &str = "access0";
pub const CORE_PORT: &str = "core0";
/// C-VLAN of all N:1 lines.
pub const SHARED_C_VLAN: u16 = 10;
/// S-VLANs with 1:1 lines, from `Settings::s_vlan`. The next one has the N:1 line: models do not mix in an
/// S-VLAN.
const OWN_S_VLANS: u16 = 10;

/// Parameters of the configuration; the defaults are small and quick.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tagging: Tagging,
    /// How subscribers' lines are made. On a QinQ trunk the BNG knows both kinds, on others only this one.
    pub model: VlanModel,
    /// First of ten S-VLANs with 1:1 lines; the eleventh has the N:1 line.
    pub s_vlan: u16,
    /// Rows in the segment; a power of two.
    pub sessions: u32,
    /// What clients are told (option 51), in every pool.
    pub lease_seconds: u32,
    /// Binding of the pool wgar.
    pub garden_binding_seconds: u32,
    pub offer_seconds: u32,
    pub aaa_timeout_seconds: u32,
    pub aaa_timeout_policy: String,
    /// `trusted`, `untrusted` or `absent-ok`.
    pub option82: String,
    /// `adaptive` or `poll`.
    pub idle: String,
    pub subscriber_to_subscriber: String,
    /// `none` for ordinary pages, `auto`, or a hugetlbfs mount.
    pub hugetlbfs: String,
    /// TCP address of the REST interface; empty = only the Unix socket.
    pub rest_listen: String,
    pub mbufs: u32,
    /// Contents of `subscribers.toml`.
    pub subscribers: String,
    /// Whole tables that are added at the end.
    pub more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tagging: Tagging::Qinq,
            model: VlanModel::OneToOne,
            s_vlan: 100,
            sessions: 1024,
            lease_seconds: 600,
            garden_binding_seconds: 600,
            offer_seconds: 60,
            aaa_timeout_seconds: 10,
            aaa_timeout_policy: "garden".into(),
            option82: "trusted".into(),
            idle: "adaptive".into(),
            subscriber_to_subscriber: "routed".into(),
            hugetlbfs: "none".into(),
            rest_listen: String::new(),
            mbufs: 8192,
            subscribers: String::new(),
            more: String::new(),
        }
    }
}

impl Settings {
    /// The file for a BNG standing on `ground`.
    pub fn render(&self, ground: &Ground) -> String {
        let lines = [
            self.node(ground),
            self.access_port(),
            core_port(ground),
            self.dhcp(),
            self.pools(),
            gardens(ground),
            self.services(ground),
            self.more.clone(),
        ];
        lines.join("\n")
    }

    fn node(&self, ground: &Ground) -> String {
        format!(
            "[node]\nid = \"{id}\"\nrun_dir = \"{run}\"\nstate_dir = \"{state}\"\nhugetlbfs = \"{huge}\"\n\n\
             [limits]\nsessions = {sessions}\n\n[worker]\nidle = \"{idle}\"\nmbufs = {mbufs}\n",
            id = ground.lab.prefix(),
            run = ground.run_directory().display(),
            state = ground.state_directory().display(),
            huge = self.hugetlbfs,
            sessions = self.sessions,
            idle = self.idle,
            mbufs = self.mbufs,
        )
    }

    fn access_port(&self) -> String {
        let tagging = match self.tagging {
            Tagging::Qinq => "qinq",
            Tagging::Single => "single",
            Tagging::Untagged => "untagged",
        };
        let port = format!(
            "[[ports]]\nname = \"{ACCESS_PORT}\"\nrole = \"access\"\ndevice = \"net_tap0\"\nmtu = 1500\n\
             mac = \"02:00:5e:00:01:01\"\ntagging = \"{tagging}\"\noption82 = \"{}\"\n",
            self.option82
        );
        let own = "c_vlans = \"1-4094\"\nmodel = \"1:1\"\n";
        let shared = format!("c_vlans = \"{SHARED_C_VLAN}\"\nmodel = \"n:1\"\n");
        let table = "[[ports.lines]]\n";
        match (self.tagging, self.model) {
            (Tagging::Qinq, _) => {
                let last = self.s_vlan + OWN_S_VLANS - 1;
                format!(
                    "{port}{table}s_vlans = \"{}-{last}\"\n{own}{table}s_vlans = \"{}\"\n{shared}",
                    self.s_vlan,
                    last + 1
                )
            }
            (Tagging::Single, VlanModel::OneToOne) => format!("{port}{table}{own}"),
            (Tagging::Single, VlanModel::ManyToOne) => format!("{port}{table}{shared}"),
            // The one line of an untagged port needs no table.
            (Tagging::Untagged, _) => port,
        }
    }

    /// S-VLAN and C-VLAN of a subscriber's line, numbered from 1.
    pub(super) fn line(&self, number: u16) -> (Option<u16>, Option<u16>) {
        let (s_vlan, c_vlan) = match self.model {
            VlanModel::OneToOne => (self.s_vlan, number),
            VlanModel::ManyToOne => (self.s_vlan + OWN_S_VLANS, SHARED_C_VLAN),
        };
        match self.tagging {
            Tagging::Qinq => (Some(s_vlan), Some(c_vlan)),
            Tagging::Single => (None, Some(c_vlan)),
            Tagging::Untagged => (None, None),
        }
    }

    fn dhcp(&self) -> String {
        format!(
            "[dhcp]\nserver_id = \"10.255.0.1\"\ndefault_lease_seconds = {}\noffer_seconds = {}\n\
             aaa_timeout_seconds = {}\naaa_timeout_policy = \"{}\"\n",
            self.lease_seconds, self.offer_seconds, self.aaa_timeout_seconds, self.aaa_timeout_policy
        )
    }

    fn pools(&self) -> String {
        let mut text = String::new();
        for (name, network, gateway, binding_seconds, dns, exclude) in [
            (
                "wgar",
                "10.255.0.0/16",
                "10.255.0.1",
                self.garden_binding_seconds,
                r#""8.8.8.8", "8.8.4.4""#,
                r#""10.255.0.0-10.255.0.255""#,
            ),
            (
                "isp-residential",
                "10.0.0.0/12",
                "10.0.0.1",
                86_400,
                r#""1.1.1.1", "1.0.0.1""#,
                "",
            ),
            (
                "isp-business",
                "10.16.0.0/12",
                "10.16.0.1",
                604_800,
                r#""1.1.1.1", "1.0.0.1""#,
                "",
            ),
        ] {
            let lease_seconds = self.lease_seconds.min(binding_seconds);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "[pools.{name}]\nnetwork = \"{network}\"\ngateway = \"{gateway}\"\n\
                 binding_seconds = {binding_seconds}\nlease_seconds = {lease_seconds}\n\
                 dns = [{dns}]\nexclude = [{exclude}]\n\n"
            );
        }
        text
    }

    fn services(&self, ground: &Ground) -> String {
        format!(
            "[sessions]\nunactivated_garden = \"unactivated\"\nsuspended_garden = \"suspended\"\n\
             unknown_pool = \"wgar\"\nsuspended_pool = \"wgar\"\nsubscriber_to_subscriber = \"{}\"\n\n\
             [aaa.local]\nfile = \"{}\"\n\n[rest]\nlisten = \"{}\"\ntoken_file = \"{}\"\n\n\
             [olt]\nsocket = \"{}\"\n",
            self.subscriber_to_subscriber,
            ground.subscribers_path().display(),
            self.rest_listen,
            ground.lab.directory().join("rest.token").display(),
            ground.olt_socket().display(),
        )
    }
}

fn core_port(ground: &Ground) -> String {
    let core = ground.core.config();
    format!(
        "[[ports]]\nname = \"{CORE_PORT}\"\nrole = \"core\"\ndevice = \"net_tap1\"\nmtu = {}\n\
         mac = \"02:00:5e:00:02:01\"\naddress = \"{}/{}\"\ngateway = \"{}\"\n",
        core.mtu, core.bng, core.prefix, core.address
    )
}

/// Each garden permits its portal, and the resolvers of the pool wgar.
fn gardens(ground: &Ground) -> String {
    let core = ground.core.config();
    let mut text = String::new();
    for (garden, portal) in [("unactivated", core.portal), ("suspended", core.payment_portal)] {
        let _ = write!(
            text,
            "[[gardens.{garden}.permit]]\ndestination = \"{portal}/32\"\nprotocol = \"tcp\"\nports = \"80,443\"\n\n\
             [[gardens.{garden}.permit]]\ndestination = \"{portal}/32\"\nprotocol = \"icmp\"\n\n"
        );
        for resolver in ["8.8.8.8", "8.8.4.4"] {
            let _ = write!(
                text,
                "[[gardens.{garden}.permit]]\ndestination = \"{resolver}/32\"\nprotocol = \"udp\"\nports = \"53\"\n\n"
            );
        }
    }
    text
}
