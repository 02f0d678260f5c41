//! A subscriber: his namespace, his ONT, his CPE, and what he tries.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::config::OntConfig;
use crate::lab::cpe::{Cpe, Lease};
use crate::lab::flow::{FlowSender, FlowSpec};
use crate::lab::namespace::{Lab, Namespace};
use crate::lab::probes::{self, Download, FlowReceiver, HttpAnswer, Pong, Reach};
use crate::net::Netns;

/// The CPE goes before its namespace.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) cpe: Option<Cpe>,
    pub ont: OntConfig,
    pub namespace: Namespace,
}

impl Subscriber {
    pub(super) fn prepare(lab: &Lab, index: u16, ont: &OntConfig) -> io::Result<Self> {
        let namespace = lab.namespace(&format!("cpe{}", index + 1))?;
        let ont = OntConfig {
            namespace: Some(namespace.name().to_owned()),
            ..ont.clone()
        };
        Ok(Self {
            cpe: None,
            ont,
            namespace,
        })
    }

    pub fn serial(&self) -> &str {
        &self.ont.serial
    }

    pub fn netns(&self) -> &Netns {
        self.namespace.netns()
    }

    /// The CPE; an error before it is connected.
    pub fn cpe(&self) -> io::Result<&Cpe> {
        self.cpe
            .as_ref()
            .ok_or_else(|| io::Error::other(format!("ONT {} is not connected", self.serial())))
    }

    pub fn lease(&self) -> Option<Lease> {
        self.cpe.as_ref()?.lease()
    }

    pub fn address(&self) -> Option<Ipv4Addr> {
        self.lease().map(|lease| lease.address)
    }

    /// Waits for an address within `network`, a prefix such as 10.0.0.0/12.
    pub fn wait_for_address_in(&self, network: (Ipv4Addr, u8), patience: Duration) -> io::Result<Lease> {
        self.cpe()?
            .wait_for_lease(patience, |lease| is_in(lease.address, network))
    }

    /// Takes the CPE away, as a power cut would; [`super::World::connect`] is for ONTs, this is for the box.
    pub fn remove_cpe(&mut self) -> Option<Cpe> {
        self.cpe.take()
    }

    pub fn put_cpe(&mut self, cpe: Cpe) {
        self.cpe = Some(cpe);
    }

    pub fn ping(&self, to: Ipv4Addr, patience: Duration) -> Reach<Pong> {
        probes::ping(self.netns(), to, patience)
    }

    pub fn resolve(&self, resolver: Ipv4Addr, name: &str, patience: Duration) -> Reach<Vec<Ipv4Addr>> {
        probes::resolve(self.netns(), resolver, name, patience)
    }

    pub fn http_get(&self, server: SocketAddrV4, path: &str, patience: Duration) -> Reach<HttpAnswer> {
        probes::http_get(self.netns(), server, path, patience)
    }

    pub fn udp_echo(&self, to: SocketAddrV4, payload: &[u8], patience: Duration) -> Reach<Vec<u8>> {
        probes::udp_echo(self.netns(), to, payload, patience)
    }

    pub fn download(&self, server: SocketAddrV4, path: &str, patience: Duration) -> io::Result<Download> {
        Download::start(self.netns(), server, path, patience)
    }

    pub fn send_flow(&self, to: SocketAddrV4, spec: FlowSpec) -> io::Result<FlowSender> {
        probes::send_flow(self.netns(), to, spec)
    }

    pub fn receive_flows(&self, port: u16) -> io::Result<FlowReceiver> {
        probes::receive_flows(self.netns(), port)
    }
}

fn is_in(address: Ipv4Addr, (network, prefix): (Ipv4Addr, u8)) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    u32::from(address) & mask == u32::from(network) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_only() {
        let residential = (Ipv4Addr::new(10, 0, 0, 0), 12);
        assert!(is_in(Ipv4Addr::new(10, 15, 255, 255), residential));
        assert!(!is_in(Ipv4Addr::new(10, 16, 0, 0), residential));
        assert!(is_in(Ipv4Addr::new(1, 2, 3, 4), (Ipv4Addr::UNSPECIFIED, 0)));
    }
}
