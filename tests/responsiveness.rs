//! How soon the BNG does what it is told. The figures are printed; the assertions only catch what is broken, since
//! the machine that runs this is shared and small.
//!
//! - *REST request → answer*: from connecting to the Unix socket to the last byte of the answer, one request after the
//!   other. The activation changes the service in place, so it is on disk when it is answered.
//! - *policy store → first affected burst*: a thread that does nothing else watches shared memory. It takes the time when
//!   the session's policy word changes and when the lcore next counts a packet that the garden refused. Between the two
//!   lies the wait for the next packet of the flow, too: 50 µs when the sender keeps its pace, and as long as the
//!   scheduler pleases when it does not. So the bursts in between are counted as well, the refusing one included.

use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{Settings, World, WorldSpec};
use serde_json::json;
use shm_bridge::session::Policy;
use shm_bridge::sides::{ObserverSide, Tables};
use shm_bridge::{DropReason, SessionIndex};
use sluice_config::Config;
use sluice_tests::gateway::{metric, session_of};
use sluice_tests::world::{FAST_BPS, RESIDENTIAL, without_access_node};
use sluice_tests::{PATIENCE, activate, connect, eventually, start};

const ACTIVATIONS: u32 = 200;
const SUSPENSIONS: u32 = 100;
const PORT: u16 = 7000;
const PACKETS_PER_SECOND: u64 = 20_000;

#[test]
fn an_activation_in_place_is_answered_durable_and_soon() {
    let mut world = start(WorldSpec::default());
    connect(&mut world, 0);
    activate(&world, 0);
    let serial = world.subscriber(0).serial().to_owned();
    let commits = CommitTime::read(&world);

    let mut times = Vec::new();
    for number in 0..ACTIVATIONS {
        let order = json!({
            "ont_serial": serial, "service_id": format!("SVC-{number}"), "pool": "isp-residential",
            "qos_download_bps": 100_000_000 + number, "qos_upload_bps": 20_000_000 + number,
        });
        let (took, answer) = post(world.api().socket(), "/api/v1/activate", &order.to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(r#""new_state":"active""#), "{answer}");
        times.push(took);
    }
    let commits = CommitTime::read(&world).since(&commits);
    eprintln!(
        "REST activation in place, request to durable answer: {}",
        Percentiles::of(&mut times)
    );
    eprintln!(
        "store: {} commits meanwhile, {:.3} ms each on average",
        commits.count,
        commits.seconds / commits.count.max(1.0) * 1e3
    );

    assert!(
        commits.count >= f64::from(ACTIVATIONS),
        "an answer came without a commit"
    );
    let service = &session_of(&world, &serial)["service"];
    assert_eq!(service["qos_download_bps"], 100_000_000 + ACTIVATIONS - 1);
    assert!(times[times.len() / 2] < Duration::from_secs(1));
    // And it is on disk: who dies now comes back with it.
    world.kill_control().unwrap();
    world.start_control().unwrap();
    assert_eq!(&session_of(&world, &serial)["service"], service);
    world.stop().unwrap();
}

#[test]
fn a_suspension_meets_the_next_burst() {
    let mut world = start(WorldSpec {
        settings: Settings {
            idle: "poll".into(),
            ..Settings::default()
        },
        edit_settings: |settings| without_access_node(&settings),
        ..WorldSpec::default()
    });
    connect(&mut world, 0);
    let home = world.subscriber(0);
    world
        .api()
        .activate(home.serial(), "isp-residential", FAST_BPS, FAST_BPS)
        .unwrap();
    home.cpe().unwrap().renew().unwrap();
    let lease = home
        .wait_for_address_in(RESIDENTIAL, Duration::from_secs(15))
        .unwrap();
    eventually("he is active", PATIENCE, || {
        session_of(&world, home.serial())["state"] == "active"
    });
    let spec = FlowSpec {
        flow: 1,
        payload_bytes: 64,
        packets_per_second: PACKETS_PER_SECOND,
        packets: 0,
    };
    let received = home.receive_flows(PORT).unwrap();
    let core = &world.ground().core;
    let _flow = core
        .send_flow(SocketAddrV4::new(lease.address, PORT), spec)
        .unwrap();
    assert!(received.meter.wait_for(1, 1000, PATIENCE));

    let watch = Watch::of(&world, home.serial());
    let selector = json!({"ont_serial": home.serial()}).to_string();
    let (mut answers, mut affected, mut bursts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SUSPENSIONS {
        let (answer, reached) = std::thread::scope(|scope| {
            let (looks, looking) = mpsc::channel();
            let seen = scope.spawn(|| watch.policy_to_first_refusal(looks));
            looking.recv().expect("the watch begins");
            let answer = post(world.api().socket(), "/api/v1/suspend", &selector);
            (answer, seen.join().expect("no panic"))
        });
        assert!(answer.1.starts_with("HTTP/1.1 200"), "{}", answer.1);
        answers.push(answer.0);
        let Reached { after, in_bursts } = reached.expect("the suspension met no packet");
        affected.push(after);
        bursts.push(in_bursts);
        let arrived = received.meter.packets(1);
        let resumed = post(world.api().socket(), "/api/v1/resume", &selector).1;
        assert!(resumed.contains(r#""new_state":"active""#), "{resumed}");
        assert!(
            received.meter.wait_for(1, arrived + 20, PATIENCE),
            "he is not back"
        );
    }

    eprintln!(
        "REST suspend, request to durable answer: {}",
        Percentiles::of(&mut answers)
    );
    eprintln!(
        "policy store to first affected burst, polling: {}",
        Percentiles::of(&mut affected)
    );
    bursts.sort_unstable();
    let (middle, most) = (bursts[bursts.len() / 2], bursts[bursts.len() - 1]);
    eprintln!("bursts from the store to the first affected one, itself included: p50 {middle}, max {most}");
    assert!(affected[affected.len() / 2] < Duration::from_secs(1));
    // One may be under way when the word is stored. More are counted only when the watch itself was held up between
    // its looks, which on a busy machine happens often, but not always.
    assert!(bursts[bursts.len() / 10] <= 2, "{bursts:?}");
    world.stop().unwrap();
}

/// Shared memory, read from a third process.
struct Watch {
    tables: Tables,
    row: SessionIndex,
}

impl Watch {
    fn of(world: &World, serial: &str) -> Self {
        let config = Config::load(&world.ground().settings_path()).expect("the lab's configuration");
        let observer = ObserverSide::attach(&config.segment()).expect("the segment is there");
        let row = session_of(world, serial)["row"]
            .as_u64()
            .expect("a row is published");
        Self {
            tables: observer.tables,
            row: SessionIndex::new(u32::try_from(row).expect("a row")).expect("row 0 is nobody's"),
        }
    }

    /// Tells `looks` when it has begun. `None` if either does not happen in time.
    fn policy_to_first_refusal(&self, looks: mpsc::Sender<()>) -> Option<Reached> {
        let deadline = Instant::now() + PATIENCE;
        let before: Policy = self.policy();
        let refused = self.refused();
        looks.send(()).ok()?;
        let mut stored = None;
        while Instant::now() < deadline {
            match stored {
                None if self.policy() != before => stored = Some((Instant::now(), self.bursts())),
                Some((at, bursts)) if self.refused() != refused => {
                    return Some(Reached {
                        after: Instant::now() - at,
                        in_bursts: self.bursts() - bursts,
                    });
                }
                _ => std::hint::spin_loop(),
            }
        }
        None
    }

    fn policy(&self) -> Policy {
        self.tables.rows.get(self.row).expect("the row exists").policy()
    }

    fn bursts(&self) -> u64 {
        self.tables
            .lcores
            .used()
            .map(|(_, lcore)| lcore.bursts.get())
            .sum()
    }

    fn refused(&self) -> u64 {
        let lcores = self.tables.lcores.used();
        lcores
            .map(|(_, lcore)| lcore.drop(DropReason::GardenDestination).get())
            .sum()
    }
}

/// From the store of the policy word to the first packet that it stopped.
struct Reached {
    after: Duration,
    in_bursts: u64,
}

/// One request on a connection of its own: how long it took, and the whole answer.
fn post(socket: &Path, path: &str, body: &str) -> (Duration, String) {
    let begun = Instant::now();
    let mut stream = UnixStream::connect(socket).expect("control listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    (begun.elapsed(), answer)
}

/// The store's commits so far.
struct CommitTime {
    count: f64,
    seconds: f64,
}

impl CommitTime {
    fn read(world: &World) -> Self {
        let read = |what: &str| {
            metric(world.api(), &format!("bng_store_commit_duration_seconds_{what}"))
                .expect("the store is measured")
        };
        Self {
            count: read("count"),
            seconds: read("sum"),
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            count: self.count - earlier.count,
            seconds: self.seconds - earlier.seconds,
        }
    }
}

struct Percentiles {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Percentiles {
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
        Self {
            count: times.len(),
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms over {}",
            ms(self.p50),
            ms(self.p99),
            ms(self.max),
            self.count
        )
    }
}
