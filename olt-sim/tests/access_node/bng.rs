//! A stand-in for the BNG: it holds the trunk's TAP, sees every byte, and can answer DHCP.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use olt_sim::lab::Namespace;
use olt_sim::net::{Tap, tap};
use olt_sim::wire::Frame;

pub const BNG: [u8; 6] = [2, 0, 0x5e, 0, 1, 1];
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// The trunk's far end.
pub struct Trunk {
    pub tap: Tap,
}

impl Trunk {
    /// Makes the interface `trunk0` in `namespace`, wide enough for two tags.
    pub fn make(namespace: &Namespace) -> Self {
        let tap = Tap::open(namespace.netns(), "trunk0", None).unwrap();
        namespace.ip(&["link", "set", "trunk0", "mtu", "1508"]).unwrap();
        Self { tap }
    }

    pub fn read(&self, patience: Duration) -> Option<Frame> {
        let deadline = Instant::now() + patience;
        let mut frame = Frame::new();
        loop {
            match self.tap.read(&mut frame) {
                Ok(()) => return Some(frame),
                Err(error) if !tap::is_idle(&error) => panic!("trunk: {error}"),
                Err(_) if Instant::now() > deadline => return None,
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// The next frame that `wanted` accepts.
    pub fn read_until(&self, patience: Duration, mut wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        let deadline = Instant::now() + patience;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.read(left) {
                Some(frame) if wanted(&frame) => return Some(frame),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    pub fn write(&self, frame: &Frame) {
        self.tap.write(frame.bytes()).unwrap();
    }
}

/// Takes the tags off; gives them in their order on the wire.
pub fn untag(frame: &mut Frame) -> Vec<(u16, u16)> {
    std::iter::from_fn(|| frame.pop_tag()).collect()
}

pub fn push(frame: &mut Frame, tags: &[(u16, u16)]) {
    for (tpid, tci) in tags.iter().rev() {
        frame.push_tag(*tpid, *tci).unwrap();
    }
}

/// The DHCP message of an untagged frame for the server's port.
pub fn client_message(frame: &Frame) -> Option<Message> {
    let sliced = SlicedPacket::from_ethernet(frame.bytes()).ok()?;
    let Some(TransportSlice::Udp(udp)) = sliced.transport else {
        return None;
    };
    if udp.destination_port() != 67 {
        return None;
    }
    Message::decode(&mut Decoder::new(udp.payload())).ok()
}

pub fn kind(message: &Message) -> Option<MessageType> {
    message.opts().msg_type()
}

/// An answer to `request`, broadcast as udhcpc is happy with.
pub fn answer(request: &Message, kind: MessageType, address: Ipv4Addr, lease_seconds: u32) -> Frame {
    let mut message = Message::default();
    message
        .set_opcode(Opcode::BootReply)
        .set_xid(request.xid())
        .set_flags(request.flags())
        .set_chaddr(&request.chaddr()[..6]);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(GATEWAY));
    if kind != MessageType::Nak {
        options.insert(DhcpOption::AddressLeaseTime(lease_seconds));
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 0, 0)));
        options.insert(DhcpOption::Router(vec![GATEWAY]));
        options.insert(DhcpOption::DomainNameServer(vec![Ipv4Addr::new(8, 8, 8, 8)]));
        message.set_yiaddr(address);
    }
    if let Some(option) = request.opts().get(OptionCode::RelayAgentInformation) {
        message.opts_mut().insert(option.clone());
    }
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).unwrap();
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(BNG, [0xff; 6])
        .ipv4(GATEWAY.octets(), [255; 4], 64)
        .udp(67, 68)
        .write(&mut bytes, &payload)
        .unwrap();
    Frame::from_bytes(&bytes).unwrap()
}

/// A tiny DHCP server behind the trunk: it gives 10.255.1.<C-VLAN> (or the last byte of the MAC on a shared
/// line) to whoever asks, keeps every message, and answers ARP for the gateway.
pub struct Responder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Heard>>>,
}

pub struct Heard {
    pub tags: Vec<(u16, u16)>,
    pub message: Message,
}

impl Responder {
    pub fn start(trunk: Trunk, lease_seconds: u32, address: fn(&[(u16, u16)], &Message) -> Ipv4Addr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut heard = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let Some(mut frame) = trunk.read(Duration::from_millis(50)) else {
                    continue;
                };
                let tags = untag(&mut frame);
                let Some(message) = client_message(&frame) else {
                    continue;
                };
                let reply = match kind(&message) {
                    Some(MessageType::Discover) => Some(MessageType::Offer),
                    Some(MessageType::Request) => Some(MessageType::Ack),
                    _ => None,
                };
                if let Some(reply) = reply {
                    let mut frame = answer(&message, reply, address(&tags, &message), lease_seconds);
                    push(&mut frame, &tags);
                    trunk.write(&frame);
                }
                heard.push(Heard { tags, message });
            }
            heard
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    pub fn stop(mut self) -> Vec<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}
