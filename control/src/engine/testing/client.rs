//! Hosts, and their DHCP messages by dhcproto's hand.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType};
use dhcproto::{Encodable, Encoder};

use super::super::*;
use super::{Bench, RELAY, SERVER};

/// A host, and where it is plugged in.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub line: Option<Line>,
    pub mac: Mac,
    pub xid: u32,
    pub client_id: Option<Vec<u8>>,
    pub circuit_id: Option<String>,
    pub remote_id: Option<String>,
    pub broadcast: bool,
    pub giaddr: Ipv4Addr,
}

impl Client {
    /// CPE number `n` behind the trusted port's line 100.n.
    pub fn on(n: u16) -> Client {
        Client {
            line: Some(Line {
                port: 0,
                s_vlan: 100,
                c_vlan: n,
            }),
            mac: Mac([2, 0, 0, 0, (n >> 8) as u8, n as u8]),
            xid: 0x1000_0000 + u32::from(n),
            client_id: None,
            circuit_id: Some(format!("agg-01|1/1/{n}")),
            remote_id: Some(format!("ADTN{n:08}")),
            broadcast: false,
            giaddr: Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Host `host` on the untrusted port, where tags are all there is.
    pub fn untrusted(s_vlan: u16, c_vlan: u16, host: u8) -> Client {
        Client {
            line: Some(Line {
                port: 1,
                s_vlan,
                c_vlan,
            }),
            mac: Mac([2, 0, 0, 1, 0, host]),
            circuit_id: None,
            remote_id: None,
            ..Client::on(u16::from(host))
        }
    }

    /// Behind the relay.
    pub fn relayed(host: u8) -> Client {
        Client {
            line: None,
            mac: Mac([2, 0, 0, 2, 0, host]),
            giaddr: RELAY,
            ..Client::on(u16::from(host))
        }
    }

    pub fn with_mac(&self, last: u8) -> Client {
        Client {
            mac: Mac([2, 0, 0, 9, 0, last]),
            xid: self.xid + 0x100,
            ..self.clone()
        }
    }

    pub fn identity(&self) -> String {
        self.circuit_id.clone().expect("a circuit-id")
    }

    pub fn serial(&self) -> String {
        self.remote_id.clone().expect("a remote-id")
    }

    pub fn ingress(&self) -> Ingress {
        match self.line {
            Some(line) => Ingress::Line { line, mac: self.mac },
            None => Ingress::Core { port: 2 },
        }
    }

    pub fn message(&self, kind: MessageType) -> Message {
        let mut message = Message::new_with_id(
            self.xid,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            self.giaddr,
            &self.mac.0,
        );
        if self.broadcast {
            message.set_flags(Flags::default().set_broadcast());
        }
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        if let Some(id) = &self.client_id {
            message
                .opts_mut()
                .insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        message
    }

    pub fn discover(&self) -> Message {
        self.message(MessageType::Discover)
    }

    pub fn select(&self, address: Ipv4Addr) -> Message {
        let mut message = self.init_reboot(address);
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn init_reboot(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Request);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message
    }

    /// RENEWING and REBINDING: the same fields.
    pub fn renew(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Request);
        message.set_ciaddr(address);
        message
    }

    pub fn release(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Release);
        message.set_ciaddr(address);
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn decline(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Decline);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn inform(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Inform);
        message.set_ciaddr(address);
        message
    }

    /// Option 82 as the access node inserts it.
    pub fn relay_info(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (code, text) in [(1, &self.circuit_id), (2, &self.remote_id)] {
            if let Some(text) = text {
                content.push(code);
                content.push(text.len() as u8);
                content.extend_from_slice(text.as_bytes());
            }
        }
        content
    }

    pub fn payload(&self, message: &Message) -> Vec<u8> {
        let mut payload = Vec::new();
        message.encode(&mut Encoder::new(&mut payload)).unwrap();
        let info = self.relay_info();
        if !info.is_empty() {
            assert_eq!(payload.pop(), Some(255));
            payload.extend_from_slice(&[82, info.len() as u8]);
            payload.extend_from_slice(&info);
            payload.push(255);
        }
        payload
    }
}

pub(crate) fn activate(client: &Client, pool: &str) -> Activate {
    Activate {
        ont_serial: client.serial(),
        service_id: "SVC-001".into(),
        pool: pool.into(),
        qos_download_bps: 100_000_000,
        qos_upload_bps: 20_000_000,
        s_vlan: None,
        c_vlan: None,
        bounce: true,
    }
}

pub(crate) fn by_ont(client: &Client) -> Selector {
    Selector {
        ont_serial: Some(client.serial()),
        ..Selector::default()
    }
}

pub(crate) fn state_of(bench: &mut Bench, client: &Client) -> State {
    bench.session_of(client).state
}
