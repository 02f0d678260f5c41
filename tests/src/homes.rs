//! Many homes at once: each an ONT with a TAP, all in one namespace, and one thread that is every home's DHCP
//! client. A hundred processes would measure the machine and not the BNG.
//!
//! The client is RFC 2131 in its least form: DISCOVER until an OFFER comes, REQUEST until an ACK comes, all anew
//! after a NAK and whenever the line's light comes back.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use olt_sim::LineEvent;
use olt_sim::config::{OntConfig, ServiceProfile, VlanModel};
use olt_sim::lab::Namespace;
use olt_sim::lab::world::World;
use olt_sim::net::packet_socket::{BATCH, Qdisc, Received};
use olt_sim::net::{Carrier, PacketSocket};
use olt_sim::wire::dhcp::{CLIENT_PORT, Dhcp, MessageType, SERVER_PORT, ports};
use olt_sim::wire::{Frame, MacAddr, VlanId};

use crate::frames::udp_packet;

const RETRANSMIT: Duration = Duration::from_secs(1);
const ROUND: Duration = Duration::from_millis(2);
const SERVER_IDENTIFIER: u8 = 54;
/// From the BOOTP message's start to its options.
const OPTIONS_AT: usize = 240;

/// Homes that are connected; gone when dropped, their ONTs stay with the access node.
#[derive(Debug)]
pub struct Homes {
    leases: Arc<Mutex<HashMap<String, Ipv4Addr>>>,
    serials: Vec<String>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    // After the thread, whose sockets are in there.
    _namespace: Namespace,
}

impl Homes {
    /// Connects `count` ONTs on C-VLANs from 1 of S-VLAN 100, and starts their clients.
    pub fn connect(world: &World, count: u16) -> Self {
        let namespace = world.ground().lab.namespace("homes").expect("a namespace");
        let lines = world.olt().watch_lines();
        let homes: Vec<Home> = (1..=count)
            .map(|number| Home::connect(world, &namespace, number))
            .collect();
        let serials: Vec<String> = homes.iter().map(|home| home.serial.clone()).collect();
        let leases = Arc::new(Mutex::new(HashMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (leases.clone(), stop.clone());
        let thread = std::thread::spawn(move || serve(homes, &lines, &kept, &stopped));
        Self {
            leases,
            serials,
            stop,
            thread: Some(thread),
            _namespace: namespace,
        }
    }

    pub fn serials(&self) -> &[String] {
        &self.serials
    }

    /// The address of each home that has one.
    pub fn leases(&self) -> HashMap<String, Ipv4Addr> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut homes: Vec<Home>,
    lines: &Receiver<LineEvent>,
    leases: &Mutex<HashMap<String, Ipv4Addr>>,
    stop: &AtomicBool,
) {
    let mut frames = vec![Frame::new(); BATCH];
    let mut told = vec![Received::default(); BATCH];
    while !stop.load(Ordering::Relaxed) {
        for event in lines.try_iter().filter(|event| event.carrier == Carrier::Up) {
            if let Some(home) = homes.iter_mut().find(|home| home.serial == event.serial) {
                home.begin();
            }
        }
        for home in &mut homes {
            while let Ok(count @ 1..) = home.socket.receive(&mut frames, &mut told) {
                for frame in &frames[..count] {
                    if let Some(address) = home.hear(frame.bytes()) {
                        leases
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(home.serial.clone(), address);
                    }
                }
            }
            home.speak();
        }
        std::thread::sleep(ROUND);
    }
}

#[derive(Debug)]
struct Home {
    serial: String,
    mac: MacAddr,
    socket: PacketSocket,
    transaction: u32,
    asks: Ask,
    next: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Discover,
    Request { offered: Ipv4Addr, server: [u8; 4] },
    Nothing,
}

impl Home {
    fn connect(world: &World, namespace: &Namespace, number: u16) -> Self {
        let serial = format!("HOME{number:08}");
        let [high, low] = number.to_be_bytes();
        let mac = MacAddr([0x02, 0, 0, 0x11, high, low]);
        let interface = format!("home{number}");
        let ont = OntConfig {
            serial: serial.clone(),
            port: format!("1/2/{number}"),
            s_vlan: VlanId::new(100).ok(),
            c_vlan: VlanId::new(number).ok(),
            model: VlanModel::OneToOne,
            namespace: Some(namespace.name().to_owned()),
            interface: interface.clone(),
            mac: Some(mac),
            profile: ServiceProfile::default(),
        };
        world.olt().connect(ont).expect("the ONT connects");
        let socket =
            PacketSocket::open(namespace.netns(), &interface, Qdisc::Pass).expect("its interface is there");
        Self {
            serial,
            mac,
            socket,
            transaction: u32::from(number) << 16,
            asks: Ask::Discover,
            next: Instant::now(),
        }
    }

    /// Anew from the start, under a new transaction.
    fn begin(&mut self) {
        self.transaction += 1;
        self.asks = Ask::Discover;
        self.next = Instant::now();
    }

    /// Takes an answer; the address if it is an ACK.
    fn hear(&mut self, frame: &[u8]) -> Option<Ipv4Addr> {
        if ports(frame)? != (SERVER_PORT, CLIENT_PORT) {
            return None;
        }
        let answer = Dhcp::parse(frame).ok()?;
        let transaction = u32::from_be_bytes(*frame.get(answer.message + 4..)?.first_chunk()?);
        if answer.client_mac != self.mac || transaction != self.transaction {
            return None;
        }
        match (answer.message_type?, self.asks) {
            (MessageType::Offer, Ask::Discover) => {
                let server = *option(frame, &answer, SERVER_IDENTIFIER)?.first_chunk()?;
                let offered = answer.your_address;
                self.asks = Ask::Request { offered, server };
                self.next = Instant::now();
                None
            }
            (MessageType::Ack, Ask::Request { .. }) => {
                self.asks = Ask::Nothing;
                Some(answer.your_address)
            }
            (MessageType::Nak, _) => {
                self.begin();
                None
            }
            _ => None,
        }
    }

    fn speak(&mut self) {
        if self.asks == Ask::Nothing || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + RETRANSMIT;
        let options = match self.asks {
            Ask::Discover => vec![53, 1, 1],
            Ask::Request { offered, server } => {
                [&[53, 1, 3, 50, 4][..], &offered.octets(), &[54, 4], &server].concat()
            }
            Ask::Nothing => return,
        };
        let frame = self.message(&options);
        // A dark line takes nothing; it is said again.
        let _ = Frame::from_bytes(&frame).map(|frame| self.socket.send([&frame]));
    }

    fn message(&self, options: &[u8]) -> Vec<u8> {
        let mut bootp = vec![0u8; OPTIONS_AT];
        bootp[..4].copy_from_slice(&[1, 1, 6, 0]);
        bootp[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        bootp[28..34].copy_from_slice(&self.mac.0);
        bootp[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        bootp.extend_from_slice(options);
        bootp.push(255);
        bootp.resize(bootp.len().max(300), 0);
        let mut frame = [&MacAddr::BROADCAST.0[..], &self.mac.0, &[0x08, 0x00]].concat();
        frame.extend_from_slice(&udp_packet(
            (Ipv4Addr::UNSPECIFIED, CLIENT_PORT),
            (Ipv4Addr::BROADCAST, SERVER_PORT),
            &bootp,
        ));
        frame
    }
}

/// The value of an option of a message that was parsed, so that its options are whole.
fn option<'f>(frame: &'f [u8], message: &Dhcp, wanted: u8) -> Option<&'f [u8]> {
    let mut rest = frame.get(message.message + OPTIONS_AT..message.end_option)?;
    while let [code, after @ ..] = rest {
        if *code == 0 {
            rest = after;
            continue;
        }
        let (length, after) = after.split_first()?;
        let (value, after) = after.split_at_checked(usize::from(*length))?;
        if *code == wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}
