//! A gateway in memory: tables, four ports, routes, a garden; subscribers to be added, frames to be sent.
//!
//! ```text
//!  port 0  access, QinQ         02:00:5e:00:01:01   S-VLAN 100–109 1:1, S-VLAN 200 N:1
//!  port 1  core                 02:00:5e:00:02:01   192.0.2.2/24, default route by 192.0.2.1
//!  port 2  access, single tag   02:00:5e:00:01:02   C-VLAN 1–4094, 1:1
//!  port 3  access, untagged     02:00:5e:00:01:03   one line, N:1
//!  pools   10.255.0.0/16 (gateway .0.1), 10.0.0.0/12 (gateway 10.0.0.1): discard routes
//!  routes  203.0.113.0/24 by a next hop that is not resolved; 192.0.2.0/24 connected
//!  garden  profile 1: 198.51.100.80 tcp 80 and 443 and icmp, 8.8.8.8 udp 53
//! ```

use std::net::Ipv4Addr;

use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::garden::{GardenWriter, Rule};
use shm_bridge::layout::Geometry;
use shm_bridge::policer::{Profile, Rate};
use shm_bridge::session::{Policy, Row, RowState, Traffic, mac_bits};
use shm_bridge::sides::{ControlSide, WorkerSide, in_memory};
use shm_bridge::{Direction, DropReason, PuntReason, SessionIndex};
use sluice_config::{IdRanges, PuntLimits, VlanId};

use super::packet::{Ip, Link};
use crate::burst::{Burst, LANES, StrippedTags};
use crate::context::Context;
use crate::counts::Counts;
use crate::frame::Frame;
use crate::owner::Owners;
use crate::pipeline;
use crate::ports::{Access, Core, Port, Ports, Side, Tagging};
use crate::verdict::{Verdict, Way};
use crate::wire::{ethernet, vlan};

pub const ACCESS: u8 = 0;
pub const CORE: u8 = 1;
pub const SINGLE: u8 = 2;
pub const UNTAGGED: u8 = 3;

pub const CORE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0x5e, 0, 2, 0xfe];
pub const WGAR_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
pub const RESIDENTIAL_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const PORTAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);
/// A host somewhere in the network.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// Behind a next hop that is not resolved.
pub const UNREACHED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub const GARDEN: u8 = 1;
/// N:1 lines of port 0.
pub const SHARED_S_VLAN: u16 = 200;

const HEADROOM: usize = 128;
const BUFFER: usize = HEADROOM + 2048;
/// A monotonic clock that has run for a while: policers begin full.
const START_NS: u64 = 1_000_000_000_000;

/// A gateway of one lcore (or several, see [`World::own`]).
#[derive(Debug)]
pub struct World {
    pub control: ControlSide,
    pub worker: WorkerSide,
    pub context: Context,
    pub access: AccessWriter,
    pub fib: FibWriter,
    /// What the next burst is told.
    pub now_ns: u64,
    /// Whether common packets may take the express way.
    pub express: bool,
    next_row: u32,
}

/// One frame's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    pub verdict: Verdict,
    /// The frame as it stood then.
    pub bytes: Vec<u8>,
}

/// A burst's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub outs: Vec<Out>,
    /// Reasons that were counted, in the order of the list.
    pub drops: Vec<(DropReason, u64)>,
    pub originated: u64,
    pub forwarded_upstream: u64,
    pub forwarded_downstream: u64,
}

/// Who is to be added to a world; and what he knows afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber {
    pub session: SessionIndex,
    pub port: u8,
    pub s_vlan: u16,
    pub c_vlan: u16,
    pub mac: [u8; 6],
    pub ipv4: Ipv4Addr,
    pub prefix_len: u8,
    pub mtu: u16,
    pub policy: Policy,
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl World {
    pub fn new() -> World {
        World::sized(&Geometry {
            sessions: 1024,
            adjacencies: 16,
            policer_profiles: 16,
            garden_rules: 64,
            svlan_blocks: 16,
            tbl8_groups: 64,
            lcores: 4,
            ring_slots: 8,
        })
    }

    pub fn sized(geometry: &Geometry) -> World {
        let (control, worker) = in_memory(geometry).expect("memory for the segment");
        let tables = control.tables.clone();
        let mut access = AccessWriter::attach(tables.access.clone());
        for s_vlan in 100..=109 {
            access.configure(u16::from(ACCESS), s_vlan, Some(LineModel::OneToOne));
        }
        access.configure(u16::from(ACCESS), SHARED_S_VLAN, Some(LineModel::ManyToOne));
        access.configure(u16::from(SINGLE), 0, Some(LineModel::OneToOne));
        access.configure(u16::from(UNTAGGED), 0, Some(LineModel::ManyToOne));

        let router = NextHop {
            mac: ROUTER_MAC,
            port: CORE,
        };
        tables.adjacencies.set(AdjacencyIndex(0), ROUTER, Some(router));
        tables
            .adjacencies
            .set(AdjacencyIndex(1), Ipv4Addr::new(192, 0, 2, 3), None);
        GardenWriter::attach(tables.gardens.clone())
            .publish([(GARDEN, &garden()[..])])
            .expect("room for the rules");

        let mut fib = FibWriter::fresh(tables.fib.clone());
        for (prefix, leaf) in routes() {
            fib.set(prefix, leaf).expect("room for the routes");
        }
        World {
            context: Context::new(
                worker.tables.clone(),
                ports(),
                Owners::alone(0),
                &PuntLimits::default(),
            ),
            control,
            worker,
            access,
            fib,
            now_ns: START_NS,
            express: true,
            next_row: 1,
        }
    }

    /// Publishes a subscriber's row, leaf and line, and says which row it is.
    pub fn subscribe(&mut self, subscriber: Subscriber) -> Subscriber {
        let session = SessionIndex::new(self.next_row).expect("rows begin at 1");
        self.next_row += 1;
        let subscriber = Subscriber {
            session,
            ..subscriber
        };
        let row = subscriber.row();
        let cells = self.control.tables.rows.get(session).expect("a free row");
        cells.fill(&row);
        self.fib
            .set(Prefix::host(subscriber.ipv4), Leaf::Session(session))
            .expect("a free group");
        let key = AccessKey {
            port: row.port,
            s_vlan: row.s_vlan,
            c_vlan: row.c_vlan,
            mac: mac_bits(row.mac),
        };
        self.access
            .set(&key, session, &self.control.tables.rows)
            .expect("a configured line");
        subscriber
    }

    /// Changes the policy word, as an activation or a suspension does.
    pub fn set_policy(&mut self, subscriber: &Subscriber, policy: Policy) {
        self.control
            .tables
            .rows
            .get(subscriber.session)
            .expect("the subscriber's row")
            .set_policy(policy);
    }

    /// Writes a policer profile.
    pub fn policer(&mut self, number: u16, bits_per_second: u64, burst_bytes: u64) {
        self.control.tables.policers.fill(
            number,
            Profile::new(Rate {
                bits_per_second,
                burst_bytes,
            }),
        );
    }

    pub fn route(&mut self, prefix: Prefix, leaf: Leaf) {
        self.fib.set(prefix, leaf).expect("a free group");
    }

    /// From now on this lcore is one of several.
    pub fn own(&mut self, owners: Owners) {
        self.context.owners = owners;
    }

    /// What a session's state has counted.
    pub fn traffic(&self, subscriber: &Subscriber, direction: Direction) -> Traffic {
        self.control
            .tables
            .states
            .get(subscriber.session)
            .expect("the subscriber's state")
            .direction(direction)
            .traffic()
    }

    /// One frame in a burst of its own.
    pub fn send(&mut self, port: u8, frame: &[u8]) -> Out {
        let summary = self.burst(port, Way::Whole, &[(frame, StrippedTags::None)]);
        summary.outs.into_iter().next().expect("a frame has an end")
    }

    /// One frame, with the whole burst's counts.
    pub fn summary(&mut self, port: u8, frame: &[u8]) -> Summary {
        self.burst(port, Way::Whole, &[(frame, StrippedTags::None)])
    }

    /// The same frame several times in one burst.
    pub fn repeat(&mut self, port: u8, frame: &[u8], times: usize) -> Summary {
        self.burst(port, Way::Whole, &vec![(frame, StrippedTags::None); times])
    }

    /// One frame whose outer tags the NIC has taken out.
    pub fn send_stripped(&mut self, port: u8, frame: &[u8], stripped: StrippedTags) -> Summary {
        self.burst(port, Way::Whole, &[(frame, stripped)])
    }

    /// Frames of one port through the pipeline, up to 32. Asserts that each has exactly one verdict and that the sum of law 2
    /// holds.
    pub fn burst(&mut self, port: u8, way: Way, frames: &[(&[u8], StrippedTags)]) -> Summary {
        assert!(frames.len() <= LANES, "{} frames in a burst", frames.len());
        let mut buffers: Vec<Vec<u8>> = frames
            .iter()
            .map(|(bytes, _)| {
                let mut buffer = vec![0xa5; BUFFER.max(HEADROOM + bytes.len())];
                buffer[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
                buffer
            })
            .collect();
        let port = *self.context.ports.get(port).expect("a port of this world");
        let mut burst = Burst::new(&port, way, self.now_ns);
        for (buffer, (bytes, stripped)) in buffers.iter_mut().zip(frames) {
            assert!(burst.push(Frame::new(buffer, HEADROOM, bytes.len()), *stripped));
        }
        if self.express {
            pipeline::run(&mut burst, &mut self.context);
        } else {
            pipeline::by_stages(&mut burst, &mut self.context);
        }

        let outs: Vec<Out> = burst
            .lanes()
            .iter()
            .map(|lane| Out {
                verdict: lane.verdict().expect("every packet gets a verdict"),
                bytes: lane.frame.bytes().to_vec(),
            })
            .collect();
        let mut counts = std::mem::take(&mut self.context.counts);
        let summary = Summary {
            drops: counts.drops().collect(),
            originated: counts.originated,
            forwarded_upstream: counts.forwarded_in(Direction::Upstream),
            forwarded_downstream: counts.forwarded_in(Direction::Downstream),
            outs,
        };
        self.conserve(&summary, &mut counts);
        summary
    }

    /// Counts as an lcore does, and checks the sum.
    fn conserve(&self, summary: &Summary, counts: &mut Counts) {
        let cells = self.worker.tables.lcores.get(0).expect("slot 0");
        cells.rx.add(summary.outs.len() as u64);
        let mut handed_over = 0;
        for out in &summary.outs {
            match out.verdict {
                Verdict::Forward { .. } => cells.tx.add(1),
                Verdict::Punt(reason) => cells.punt(reason).add(1),
                Verdict::HandOver { .. } => handed_over += 1,
                Verdict::Drop(_) => {}
            }
        }
        counts.flush(cells);
        // What another lcore takes over is in hand for ever as far as this one knows.
        cells.tx.add(handed_over);
        assert_eq!(
            cells.in_hand(),
            0,
            "rx + originated = tx + drops + punts: {summary:?}"
        );
    }
}

impl Summary {
    /// The only frame's verdict.
    pub fn verdict(&self) -> Verdict {
        assert_eq!(self.outs.len(), 1);
        self.outs[0].verdict
    }

    /// Fails unless the burst was one frame, dropped for this reason, and nothing else was counted.
    #[track_caller]
    pub fn assert_dropped(&self, reason: DropReason) {
        assert_eq!(self.verdict(), Verdict::Drop(reason));
        assert_eq!(self.drops, [(reason, 1)]);
        assert_eq!(
            (
                self.originated,
                self.forwarded_upstream,
                self.forwarded_downstream
            ),
            (0, 0, 0)
        );
    }

    /// Fails unless the burst was one frame, punted for this reason, and nothing was counted.
    #[track_caller]
    pub fn assert_punted(&self, reason: PuntReason) {
        assert_eq!(self.verdict(), Verdict::Punt(reason));
        assert_eq!(
            (self.drops.as_slice(), self.originated, self.forwarded_upstream),
            (&[][..], 0, 0)
        );
    }

    /// Fails unless the burst was one frame that left through this port; returns its bytes.
    #[track_caller]
    pub fn assert_forwarded(&self, port: u8) -> &[u8] {
        assert_eq!(self.verdict(), Verdict::Forward { port });
        assert_eq!((self.drops.as_slice(), self.originated), (&[][..], 0));
        &self.outs[0].bytes
    }

    /// Fails unless the burst was one frame, dropped for this reason and turned into an ICMP error; returns its bytes.
    #[track_caller]
    pub fn assert_refused(&self, reason: DropReason, port: u8) -> &[u8] {
        assert_eq!(self.verdict(), Verdict::Forward { port });
        assert_eq!(self.drops, [(reason, 1)]);
        assert_eq!(self.originated, 1);
        &self.outs[0].bytes
    }
}

impl Subscriber {
    /// An active subscriber of the residential pool on a QinQ line of port 0; address and MAC follow from the tags.
    pub fn on_line(s_vlan: u16, c_vlan: u16) -> Subscriber {
        let host = u32::from(s_vlan) << 12 | u32::from(c_vlan);
        let [_, a, b, c] = host.to_be_bytes();
        Subscriber {
            session: SessionIndex::new(1).expect("not 0"),
            port: ACCESS,
            s_vlan,
            c_vlan,
            mac: [2, 0xaa, 0, a, b, c],
            ipv4: Ipv4Addr::from(0x0a00_0000 | (host & 0x000f_ffff)),
            prefix_len: 12,
            mtu: 1500,
            policy: Policy::new(RowState::Active),
        }
    }

    /// The same in the walled garden, with an address of its pool.
    pub fn in_garden(s_vlan: u16, c_vlan: u16) -> Subscriber {
        let active = Subscriber::on_line(s_vlan, c_vlan);
        Subscriber {
            ipv4: Ipv4Addr::from(0x0aff_0000 | (u32::from(active.ipv4) & 0xffff)),
            prefix_len: 16,
            policy: Policy::new(RowState::Wgar).with_garden(GARDEN),
            ..active
        }
    }

    pub fn policy(self, policy: Policy) -> Subscriber {
        Subscriber { policy, ..self }
    }

    /// The row as control would fill it.
    pub fn row(&self) -> Row {
        Row {
            policy: self.policy,
            mtu: self.mtu,
            generation: 1,
            ..Row::ipv4(
                self.ipv4,
                self.prefix_len,
                u16::from(self.port),
                self.s_vlan,
                self.c_vlan,
                self.mac,
            )
        }
    }

    /// The tags his frames have.
    pub fn tags(&self) -> Vec<(u16, u16)> {
        match self.port {
            ACCESS => vec![(vlan::S_TAG, self.s_vlan), (vlan::C_TAG, self.c_vlan)],
            SINGLE => vec![(vlan::C_TAG, self.c_vlan)],
            _ => Vec::new(),
        }
    }

    /// His frame to the gateway, carrying a packet.
    pub fn link(&self, packet: Ip) -> Link {
        Link {
            destination: port_mac(self.port),
            source: self.mac,
            tags: self.tags(),
            ethertype: ethernet::IPV4,
            payload: packet.bytes(),
        }
    }

    pub fn frame(&self, packet: Ip) -> Vec<u8> {
        self.link(packet).bytes()
    }

    /// His ARP request for an address.
    pub fn arp_request(&self, target: Ipv4Addr) -> Vec<u8> {
        self.arp(super::packet::arp_request((self.mac, self.ipv4), target))
    }

    /// An ARP frame on his line.
    pub fn arp(&self, link: Link) -> Vec<u8> {
        Link {
            tags: self.tags(),
            ..link
        }
        .bytes()
    }

    /// What the gateway sends him, as bytes: the packet on his line.
    pub fn downstream(&self, packet: &[u8]) -> Vec<u8> {
        Link {
            destination: self.mac,
            source: port_mac(self.port),
            tags: self.tags(),
            ethertype: ethernet::IPV4,
            payload: packet.to_vec(),
        }
        .bytes()
    }
}

/// A frame from the core's router to the gateway.
pub fn from_core(packet: Ip) -> Vec<u8> {
    Link {
        destination: port_mac(CORE),
        source: ROUTER_MAC,
        tags: Vec::new(),
        ethertype: ethernet::IPV4,
        payload: packet.bytes(),
    }
    .bytes()
}

/// A frame from the gateway to the core's router, as it should be.
pub fn to_core(packet: &[u8]) -> Vec<u8> {
    Link {
        destination: ROUTER_MAC,
        source: port_mac(CORE),
        tags: Vec::new(),
        ethertype: ethernet::IPV4,
        payload: packet.to_vec(),
    }
    .bytes()
}

/// The gateway's MAC address on a port.
pub fn port_mac(port: u8) -> [u8; 6] {
    match port {
        CORE => [2, 0, 0x5e, 0, 2, 1],
        ACCESS => [2, 0, 0x5e, 0, 1, 1],
        access => [2, 0, 0x5e, 0, 1, access],
    }
}

fn ports() -> Ports {
    let access = |index, tagging, outer_tpids, outer_tpid_tx| Port {
        index,
        mac: port_mac(index),
        mtu: 1500,
        side: Side::Access(Access {
            tagging,
            outer_tpids,
            outer_tpid_tx,
        }),
    };
    let mut ports = Ports::default();
    let all = [vlan::S_TAG, vlan::C_TAG, vlan::LEGACY_TAG];
    ports.push(access(ACCESS, Tagging::QinQ, all, vlan::S_TAG));
    ports.push(Port {
        index: CORE,
        mac: port_mac(CORE),
        mtu: 1500,
        side: Side::Core(Core {
            address: u32::from(CORE_ADDRESS),
            prefix_len: 24,
        }),
    });
    ports.push(access(SINGLE, Tagging::Single, [vlan::C_TAG; 3], vlan::C_TAG));
    ports.push(access(UNTAGGED, Tagging::Untagged, [0; 3], vlan::C_TAG));

    ports.add_lines(ACCESS, ids(100, 109), IdRanges::all());
    ports.add_lines(ACCESS, ids(SHARED_S_VLAN, SHARED_S_VLAN), ids(1, 1000));
    ports.add_lines(SINGLE, IdRanges::NONE, IdRanges::all());
    ports.add_lines(UNTAGGED, IdRanges::NONE, IdRanges::NONE);
    ports.add_network(Ipv4Addr::new(10, 255, 0, 0), 16, WGAR_GATEWAY);
    ports.add_network(Ipv4Addr::new(10, 0, 0, 0), 12, RESIDENTIAL_GATEWAY);
    ports
}

fn ids(first: u16, last: u16) -> IdRanges {
    let id = |id| VlanId::new(id).expect("a VLAN id");
    IdRanges::from_ranges([id(first)..=id(last)])
}

fn routes() -> [(Prefix, Leaf); 8] {
    let net = |a, b, c, d, len| Prefix::new(Ipv4Addr::new(a, b, c, d), len);
    [
        (net(0, 0, 0, 0, 0), Leaf::Adjacency(AdjacencyIndex(0))),
        (net(203, 0, 113, 0, 24), Leaf::Adjacency(AdjacencyIndex(1))),
        (net(192, 0, 2, 0, 24), Leaf::Glean(u16::from(CORE))),
        (Prefix::host(CORE_ADDRESS), Leaf::Local),
        (net(10, 255, 0, 0, 16), Leaf::Discard),
        (net(10, 0, 0, 0, 12), Leaf::Discard),
        (Prefix::host(WGAR_GATEWAY), Leaf::Local),
        (Prefix::host(RESIDENTIAL_GATEWAY), Leaf::Local),
    ]
}

fn garden() -> [Rule; 4] {
    let host = |network, protocol, ports| Rule {
        network,
        prefix_len: 32,
        protocol: Some(protocol),
        ports,
    };
    [
        host(PORTAL, 6, Some((80, 80))),
        host(PORTAL, 6, Some((443, 443))),
        host(PORTAL, 1, None),
        host(RESOLVER, 17, Some((53, 53))),
    ]
}
