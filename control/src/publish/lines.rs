//! Access lines of the configuration in the access index: which S-VLANs of which ports have lines, and of which model.

use std::collections::HashMap;

use shm_bridge::access::{AccessKey, AccessWriter, LineModel, PORTS_MAX, VLANS};
use shm_bridge::session::mac_bits;
use sluice_config::{Config, port};

use crate::session::{Line, Mac};

/// Says in the index which lines there are; lines that the configuration no longer has become unknown.
pub(super) fn configure(access: &mut AccessWriter, config: &Config) {
    let wanted = models(config);
    for port in 0..PORTS_MAX as u16 {
        for s_vlan in 0..VLANS as u16 {
            access.configure(port, s_vlan, wanted.get(&(port, s_vlan)).copied());
        }
    }
}

fn models(config: &Config) -> HashMap<(u16, u16), LineModel> {
    let mut models = HashMap::new();
    for (index, _, access) in config.access_ports() {
        for range in &access.lines {
            let model = match range.model {
                port::LineModel::OneToOne => LineModel::OneToOne,
                port::LineModel::ManyToOne => LineModel::ManyToOne,
            };
            if range.s_vlans.is_empty() {
                models.insert((index, 0), model);
            }
            for s_vlan in range.s_vlans.iter() {
                models.insert((index, s_vlan.get()), model);
            }
        }
    }
    models
}

/// The key under which workers look for a host on a line.
pub(super) fn key(line: Line, mac: Mac) -> AccessKey {
    AccessKey {
        port: line.port,
        s_vlan: line.s_vlan,
        c_vlan: line.c_vlan,
        mac: mac_bits(mac.0),
    }
}
