//! What callgrind counts: fixed bursts through the pipeline, load by load, without a NIC.
//!
//! `sluice-budget` (bench/) runs this under valgrind, which collects inside [`counted`] alone and writes one file a load (after
//! [`end_of_load`]). Nothing here is random and nothing reads a clock, so the same binary gives the same counts. It says what it
//! ran, and the tool reads it:
//!
//! ```text
//! cpu avx2 bmi2            what the processor has that code may be chosen by
//! load upstream 2048       in the order of the files; how many packets
//! ```
//!
//! A load whose packets do not end as they should is no measurement: it fails. Frames are 64 bytes with FCS but for DHCP's, in full
//! bursts, of sessions in an order in which no line follows its neighbour.

use std::hint::black_box;
use std::net::Ipv4Addr;

use shm_bridge::PuntReason;
use shm_bridge::garden::{GardenWriter, Rule};
use shm_bridge::layout::Geometry;
use shm_bridge::session::{Policy, RowState};
use sluice_worker::burst::{Burst, LANES};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, SINGLE, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{Context, Frame, StrippedTags, Verdict, Way, pipeline};

/// Of each kind of line. A power of two, and a multiple of a burst.
const SESSIONS: u32 = 2048;
const HEADROOM: usize = 128;
const BUFFER: usize = 2304;
/// Between bursts: every bucket of a policer is full again.
const PAUSE_NS: u64 = 10_000_000_000;

const GARDEN_64: u8 = 2;
const GARDEN_10K: u8 = 3;
const PREFIXES: u32 = 10_000;
/// What a garden permits: both of its ends are this port.
const GARDEN_PORT: u16 = 4000;

/// How a burst is judged.
type Judge = fn(&mut Burst<'_>, &mut Context);

/// Packets of one kind, one of each session.
struct Load {
    name: &'static str,
    port: u8,
    policy: Policy,
    judge: Judge,
    /// The packet of the session with this number; from the subscriber, or to him.
    packet: fn(&Subscriber, u32) -> packet::Ip,
    ends: Ends,
}

/// Where every packet of a load must end.
#[derive(Clone, Copy)]
enum Ends {
    Forwarded(u8),
    Punted(PuntReason),
}

fn main() {
    let active = Policy::new(RowState::Active).with_policers(1, 2);
    let in_garden = |garden| {
        Policy::new(RowState::Wgar)
            .with_garden(garden)
            .with_policers(1, 2)
    };
    let load = |name, port, policy, packet, ends| Load {
        name,
        port,
        policy,
        judge: pipeline::run,
        packet,
        ends,
    };
    let (to_core, to_line) = (Ends::Forwarded(CORE), Ends::Forwarded(ACCESS));
    let loads = [
        load("upstream", ACCESS, active, to_internet, to_core),
        load("downstream", CORE, active, from_internet, to_line),
        load("upstream.single-tag", SINGLE, active, to_internet, to_core),
        load(
            "upstream.garden-64",
            ACCESS,
            in_garden(GARDEN_64),
            to_garden,
            to_core,
        ),
        load(
            "downstream.garden-64",
            CORE,
            in_garden(GARDEN_64),
            from_garden,
            to_line,
        ),
        load(
            "upstream.garden-10k",
            ACCESS,
            in_garden(GARDEN_10K),
            to_garden,
            to_core,
        ),
        // What the express way leaves to the stages, as it comes to them.
        load("upstream.options", ACCESS, active, options_to_internet, to_core),
        load("downstream.options", CORE, active, options_from_internet, to_line),
        // The stages with something to do in each, whatever the express way takes.
        Load {
            judge: pipeline::by_stages,
            ..load(
                "upstream.stages",
                ACCESS,
                in_garden(GARDEN_64),
                to_garden,
                to_core,
            )
        },
        Load {
            judge: pipeline::by_stages,
            ..load(
                "downstream.stages",
                CORE,
                in_garden(GARDEN_64),
                from_garden,
                to_line,
            )
        },
        load(
            "upstream.dhcp",
            ACCESS,
            active,
            discover,
            Ends::Punted(PuntReason::DhcpKnown),
        ),
    ];

    println!("cpu{}", processor());
    let mut bench = Bench::new();
    for load in &loads {
        let packets = bench.round(load);
        println!("load {} {packets}", load.name);
        end_of_load();
    }
}

fn to_internet(line: &Subscriber, _: u32) -> packet::Ip {
    short(packet::tcp(line.ipv4, INTERNET, 4000, 443))
}

fn from_internet(line: &Subscriber, _: u32) -> packet::Ip {
    short(packet::tcp(INTERNET, line.ipv4, 443, 4000))
}

fn to_garden(line: &Subscriber, number: u32) -> packet::Ip {
    short(packet::tcp(
        line.ipv4,
        garden_host(number),
        GARDEN_PORT,
        GARDEN_PORT,
    ))
}

fn from_garden(line: &Subscriber, number: u32) -> packet::Ip {
    short(packet::tcp(
        garden_host(number),
        line.ipv4,
        GARDEN_PORT,
        GARDEN_PORT,
    ))
}

/// Router alert (RFC 2113).
const OPTIONS: [u8; 4] = [148, 4, 0, 0];

fn options_to_internet(line: &Subscriber, number: u32) -> packet::Ip {
    to_internet(line, number).options(&OPTIONS)
}

fn options_from_internet(line: &Subscriber, number: u32) -> packet::Ip {
    from_internet(line, number).options(&OPTIONS)
}

fn discover(line: &Subscriber, _: u32) -> packet::Ip {
    packet::dhcp_discover(line.mac)
}

/// The payload cut to what a 64-byte frame has room for between two tags and the FCS.
fn short(mut packet: packet::Ip) -> packet::Ip {
    packet.payload.truncate(18);
    packet
}

/// A far end in the garden's prefix of this number: 10,000 /24s in 64 /16s of 20.0.0.0/10.
fn garden_host(number: u32) -> Ipv4Addr {
    let [a, b, c, _] = garden_prefix(number).octets();
    Ipv4Addr::new(a, b, c, 9)
}

fn garden_prefix(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(20, (number % 64) as u8, (number / 64) as u8, 0)
}

/// Tables, sessions on lines of two kinds, and the buffers of a burst.
struct Bench {
    world: World,
    qinq: Vec<Subscriber>,
    single: Vec<Subscriber>,
    buffers: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Bench {
        let mut world = World::sized(&Geometry {
            sessions: 4 * SESSIONS,
            tbl8_groups: 64,
            ..Geometry::default()
        });
        for policer in [1, 2] {
            world.policer(policer, 10_000_000_000, 1_000_000);
        }
        publish_gardens(&world);
        let mut lines = |line: fn(u16) -> Subscriber| {
            (1..=SESSIONS as u16)
                .map(|host| world.subscribe(line(host)))
                .collect()
        };
        Bench {
            qinq: lines(|host| Subscriber::on_line(100, host)),
            single: lines(|host| Subscriber {
                port: SINGLE,
                s_vlan: 0,
                ..Subscriber::on_line(104, host)
            }),
            world,
            buffers: vec![vec![0; BUFFER]; LANES],
        }
    }

    /// Runs a load once over all sessions; returns how many packets it had.
    fn round(&mut self, load: &Load) -> usize {
        let lines = if load.port == SINGLE {
            &self.single
        } else {
            &self.qinq
        };
        let frames: Vec<Vec<u8>> = (0..SESSIONS)
            .map(|number| {
                let line = &lines[scattered(number) as usize];
                self.world.set_policy(line, load.policy);
                let packet = (load.packet)(line, number);
                if load.port == CORE {
                    from_core(packet)
                } else {
                    line.frame(packet)
                }
            })
            .collect();
        let port = *self
            .world
            .context
            .ports
            .get(load.port)
            .expect("a port of the test kit");
        for chunk in frames.chunks_exact(LANES) {
            self.world.now_ns += PAUSE_NS;
            let mut burst = Burst::new(&port, Way::Whole, self.world.now_ns);
            for (buffer, frame) in self.buffers.iter_mut().zip(chunk) {
                buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
                assert!(burst.push(Frame::new(buffer, HEADROOM, frame.len()), StrippedTags::None));
            }
            counted(&mut burst, &mut self.world.context, load.judge);
            for lane in burst.lanes() {
                load.ends.check(load.name, lane.verdict());
            }
        }
        frames.len()
    }
}

/// Of a power of two: an odd factor walks all of it.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(1_103_515_245) % SESSIONS
}

/// Every other rule names protocol and port, as the frames have them.
fn publish_gardens(world: &World) {
    let rule = |number: u32, prefix_len| Rule {
        network: garden_prefix(number),
        prefix_len,
        protocol: (number % 2 == 1).then_some(6),
        ports: (number % 2 == 1).then_some((GARDEN_PORT, GARDEN_PORT)),
    };
    let wide: Vec<Rule> = (0..64).map(|number| rule(number, 16)).collect();
    let narrow: Vec<Rule> = (0..PREFIXES).map(|number| rule(number, 24)).collect();
    GardenWriter::attach(world.control.tables.gardens.clone())
        .publish([(GARDEN_64, &wide[..]), (GARDEN_10K, &narrow[..])])
        .expect("room for the rules");
}

impl Ends {
    fn check(self, load: &str, verdict: Option<Verdict>) {
        let right = match self {
            Ends::Forwarded(port) => Verdict::Forward { port },
            Ends::Punted(reason) => Verdict::Punt(reason),
        };
        assert!(verdict == Some(right), "{load}: {verdict:?} instead of {right:?}");
    }
}

/// What of the processor code may be chosen by at run time.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        let names = has.iter().filter(|(_, has)| *has);
        names.map(|(name, _)| format!(" {name}")).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    String::new()
}

/// All that is counted: a burst is judged.
#[inline(never)]
fn counted(burst: &mut Burst<'_>, context: &mut Context, judge: Judge) {
    judge(black_box(burst), context);
}

/// Where callgrind writes down what it has counted.
#[inline(never)]
fn end_of_load() {
    black_box(());
}
