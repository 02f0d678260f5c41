//! The control process as it is run: the binary, a segment of ordinary pages, and this test in the worker's place.
//!
//! The test holds the worker's side of the segment: it punts DHCP frames as an access line would send them, takes injected frames off
//! the rings, and looks sessions up as a pipeline does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dhcproto::v4::relay::{RelayAgentInformation, RelayInfo};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use shm_bridge::access::{AccessKey, Found};
use shm_bridge::epoch::{go_online, quiesce};
use shm_bridge::fib::Leaf;
use shm_bridge::ring::About;
use shm_bridge::session::{Row, RowState, mac_bits};
use shm_bridge::{Direction, PuntReason, SessionIndex, WorkerSide};
use sluice_config::Config;

const PATIENCE: Duration = Duration::from_secs(20);
const BNG_MAC: [u8; 6] = [0x02, 0, 0x5e, 0, 1, 1];
const S_VLAN: u16 = 100;

const CONFIG: &str = r#"
[limits]
sessions = 1024
punt_ring_slots = 256
lcores = 2
[[ports]]
name = "access0"
role = "access"
device = "a"
mac = "02:00:5e:00:01:01"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]
[[ports]]
name = "core0"
role = "core"
device = "c"
mac = "02:00:5e:00:02:01"
address = "192.0.2.2/24"
gateway = "192.0.2.1"
[dhcp]
server_id = "10.255.0.1"
[pools.wgar]
network = "10.255.0.0/16"
dns = ["8.8.8.8"]
[pools.isp-residential]
network = "10.0.0.0/12"
[rest]
listen = ""
[olt]
socket = ""
[aaa.local]
file = "subscribers.toml"
"#;

/// A gateway's directory with its configuration.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let node = format!(
            "[node]\nhugetlbfs = \"none\"\nrun_dir = {:?}\nstate_dir = {:?}\n",
            dir.path().join("run"),
            dir.path().join("state")
        );
        std::fs::write(dir.path().join("sluice.toml"), node + CONFIG).unwrap();
        std::fs::write(dir.path().join("subscribers.toml"), "").unwrap();
        Site { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> Config {
        Config::load(&self.path("sluice.toml")).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-control"));
        command.arg("--config").arg(self.path("sluice.toml"));
        command
    }

    /// Starts control and waits until it says that it is ready.
    fn control(&self) -> Control {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("control.log"))
            .unwrap();
        let mut child = self.command().stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "sluice-control: ready\n", "{}", self.log());
        Control { child }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("control.log")).unwrap_or_default()
    }

    fn worker(&self) -> Worker {
        let side = WorkerSide::attach(&self.config().segment(), 1).unwrap();
        let tables = side.tables.clone();
        let lcore = tables.lcores.get(0).unwrap();
        lcore.generation.set(side.generation());
        go_online(tables.epoch(), &lcore.epoch);
        let (stop, stopped) = channel::<()>();
        // The lcore's loop goes on whatever the test does: between bursts it reads nothing from before.
        let turning = std::thread::spawn(move || {
            let lcore = tables.lcores.get(0).unwrap();
            while stopped.recv_timeout(Duration::from_micros(200)) == Err(RecvTimeoutError::Timeout) {
                quiesce(tables.epoch(), &lcore.epoch);
            }
        });
        Worker {
            side,
            lcore: Some((stop, turning)),
        }
    }

    fn rest(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        rest(&self.path("run/control.sock"), method, path, body)
    }
}

/// A control process; killed when dropped.
struct Control {
    child: Child,
}

impl Control {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn ends(mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    until("the process to end", || child.try_wait().unwrap())
}

fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn rest(socket: &Path, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// This test in the worker's place: one lcore.
struct Worker {
    side: WorkerSide,
    lcore: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some((stop, turning)) = self.lcore.take() {
            drop(stop);
            turning.join().ok();
        }
    }
}

/// A client on a line of its own: 1:1, told by tags and Option 82.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cpe(u16);

impl Cpe {
    fn mac(self) -> [u8; 6] {
        let [a, b] = self.0.to_be_bytes();
        [2, 0, 0, 0, a, b]
    }

    fn serial(self) -> String {
        format!("ADTN{:08}", self.0)
    }

    fn message(self, kind: MessageType, xid: u32, options: &[DhcpOption]) -> Vec<u8> {
        let zero = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(xid, zero, zero, zero, zero, &self.mac());
        message.set_flags(Flags::default().set_broadcast());
        let mut agent = RelayAgentInformation::default();
        agent.insert(RelayInfo::AgentCircuitId(
            format!("agg-01|1/1/{}", self.0).into_bytes(),
        ));
        agent.insert(RelayInfo::AgentRemoteId(self.serial().into_bytes()));
        let opts = message.opts_mut();
        opts.insert(DhcpOption::MessageType(kind));
        for option in options {
            opts.insert(option.clone());
        }
        opts.insert(DhcpOption::RelayAgentInformation(agent));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }
}

impl Worker {
    fn punt(&mut self, from: Cpe, payload: &[u8]) {
        let builder = PacketBuilder::ethernet2(from.mac(), [0xff; 6])
            .ipv4([0; 4], [255; 4], 64)
            .udp(68, 67);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        let [s0, s1] = S_VLAN.to_be_bytes();
        let [c0, c1] = from.0.to_be_bytes();
        frame.splice(12..12, [0x88, 0xa8, s0, s1, 0x81, 0, c0, c1]);
        let about = About {
            port: 0,
            reason: PuntReason::Dhcp as u8,
            ..About::default()
        };
        self.side.punts[0].push(&about, &frame).unwrap();
    }

    /// The next DHCP message to a client, with its line; ARP requests are passed over.
    fn taken(&mut self) -> Option<(u16, Message)> {
        let mut frame = Vec::new();
        while let Some(about) = self.side.injects[0].pop(&mut frame) {
            if about.port != 0 {
                continue;
            }
            assert_eq!(frame[6..12], BNG_MAC);
            assert_eq!(
                [frame[12], frame[13], frame[14], frame[15]],
                [0x88, 0xa8, 0, S_VLAN as u8]
            );
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = packet.transport else {
                panic!("no UDP: {packet:?}");
            };
            assert_eq!((udp.source_port(), udp.destination_port()), (67, 68));
            let message = Message::decode(&mut Decoder::new(udp.payload())).unwrap();
            return Some((u16::from_be_bytes([frame[18], frame[19]]), message));
        }
        None
    }

    /// The answer to `xid`.
    fn answer(&mut self, xid: u32) -> Message {
        until("a DHCP answer", || {
            self.taken()
                .filter(|(_, message)| message.xid() == xid)
                .map(|(_, message)| message)
        })
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    fn connect(&mut self, cpe: Cpe) -> Ipv4Addr {
        let xid = u32::from(cpe.0) << 8;
        self.punt(cpe, &cpe.message(MessageType::Discover, xid, &[]));
        let offer = self.answer(xid);
        assert_eq!(offer.opts().msg_type(), Some(MessageType::Offer));
        let options = requesting(&offer);
        self.punt(cpe, &cpe.message(MessageType::Request, xid + 1, &options));
        let ack = self.answer(xid + 1);
        assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
        assert_eq!(ack.yiaddr(), offer.yiaddr());
        ack.yiaddr()
    }

    /// The session that workers find for the line, and that for the address: they must be the same.
    fn session(&self, cpe: Cpe, address: Ipv4Addr) -> Option<(SessionIndex, Row)> {
        let key = AccessKey {
            port: 0,
            s_vlan: S_VLAN,
            c_vlan: cpe.0,
            mac: mac_bits(cpe.mac()),
        };
        let Found::Session(index) = self.side.tables.access.lookup(&key, &self.side.tables.rows) else {
            return None;
        };
        let row = self.side.tables.rows.get(index)?.read();
        let is_his = row.ipv4 == address && row.mac == cpe.mac();
        (is_his && self.side.tables.fib.lookup(u32::from(address)) == Leaf::Session(index))
            .then_some((index, row))
    }
}

fn requesting(offer: &Message) -> Vec<DhcpOption> {
    let server = offer.opts().get(OptionCode::ServerIdentifier).cloned().unwrap();
    vec![DhcpOption::RequestedIpAddress(offer.yiaddr()), server]
}

fn activation(cpe: Cpe, pool: &str) -> String {
    format!(
        r#"{{"ont_serial":"{}","service_id":"SVC-001","pool":"{pool}","qos_download_bps":100000000,"qos_upload_bps":20000000}}"#,
        cpe.serial()
    )
}

#[test]
fn a_subscriber_is_served_and_a_kill_changes_nothing_for_him() {
    let site = Site::new();
    let control = site.control();
    // The worker comes later than control; what was sent meanwhile is asked for again by who wants it.
    let mut worker = site.worker();
    std::thread::sleep(Duration::from_millis(150));
    let cpe = Cpe(7);

    let address = worker.connect(cpe);
    let (index, row) = worker.session(cpe, address).unwrap();
    assert_eq!(row.policy.state(), RowState::Wgar);
    assert_ne!(row.policy.garden(), 0);
    assert!(Ipv4Addr::new(10, 255, 0, 0).octets()[..2] == address.octets()[..2]);
    let state = worker.side.tables.states.get(index).unwrap();
    state.direction(Direction::Upstream).account(10, 1000);

    // In place: the policy word changes before the answer is given.
    let (status, body) = site.rest("POST", "/api/v1/activate", &activation(cpe, "wgar"));
    assert_eq!(
        (status, body["session"]["new_state"].as_str()),
        (200, Some("active")),
        "{body}"
    );
    let (_, active) = worker.session(cpe, address).unwrap();
    assert_eq!(
        (active.policy.state(), active.policy.garden()),
        (RowState::Active, 0)
    );

    control.kill();
    state.direction(Direction::Downstream).account(4, 400);
    assert_eq!(
        worker.session(cpe, address),
        Some((index, active)),
        "workers go on alone"
    );
    let _control = site.control();

    assert_eq!(
        worker.session(cpe, address),
        Some((index, active)),
        "nothing was touched"
    );
    let (status, body) = site.rest("GET", "/api/v1/sessions", "");
    assert_eq!(status, 200, "{body}");
    let text = body.to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("active"),
        "{text}"
    );
    assert!(
        text.contains("1000") && text.contains("400"),
        "counters are as before: {text}"
    );
    // His lease goes on: renewing, he gets the same address.
    worker.punt(cpe, &{
        let zero = Ipv4Addr::UNSPECIFIED;
        let mut renewal = Message::new_with_id(99, address, zero, zero, zero, &cpe.mac());
        renewal
            .opts_mut()
            .insert(DhcpOption::MessageType(MessageType::Request));
        let mut agent = RelayAgentInformation::default();
        agent.insert(RelayInfo::AgentCircuitId(b"agg-01|1/1/7".to_vec()));
        agent.insert(RelayInfo::AgentRemoteId(cpe.serial().into_bytes()));
        renewal
            .opts_mut()
            .insert(DhcpOption::RelayAgentInformation(agent));
        let mut bytes = Vec::new();
        renewal.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    });
    let ack = worker.answer(99);
    assert_eq!(
        (ack.opts().msg_type(), ack.yiaddr()),
        (Some(MessageType::Ack), address)
    );
}

#[test]
fn a_second_control_is_refused_and_a_term_ends_the_first_well() {
    let site = Site::new();
    let control = site.control();

    let second = site.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8_lossy(&second.stderr);
    assert!(message.contains("another Control process"), "{message}");

    control.signal(rustix::process::Signal::TERM);
    assert!(control.ends().success());
    // Everything is let go: the next one starts.
    site.control();
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let site = Site::new();
    let wrong = std::fs::read_to_string(site.path("sluice.toml"))
        .unwrap()
        .replace("10.0.0.0/12", "10.255.0.0/17");
    std::fs::write(site.path("sluice.toml"), wrong).unwrap();

    let output = site.command().output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("overlap"), "{message}");
}

#[test]
fn a_hangup_reads_the_subscribers_again_and_keeps_them_when_they_are_wrong() {
    let site = Site::new();
    let control = site.control();
    let mut worker = site.worker();
    std::thread::sleep(Duration::from_millis(150));
    let rule = "[[rule]]\nname = \"all\"\ns_vlans = \"100\"\npool = \"isp-residential\"\n";

    std::fs::write(site.path("subscribers.toml"), rule).unwrap();
    control.signal(rustix::process::Signal::HUP);
    until("the file to be read", || {
        site.log().contains("subscribers read again").then_some(())
    });
    let first = worker.connect(Cpe(1));
    assert_eq!(first.octets()[0..2], [10, 0]);

    std::fs::write(site.path("subscribers.toml"), "[[rule]]\npool = \"nowhere\"\n").unwrap();
    control.signal(rustix::process::Signal::HUP);
    until("the file to be refused", || {
        site.log().contains("the old ones stay in force").then_some(())
    });
    assert_eq!(worker.connect(Cpe(2)).octets()[0..2], [10, 0]);
}

#[test]
fn a_supervisor_is_told_of_start_life_and_end() {
    let site = Site::new();
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    // A supervisor names the process it watches.
    let child = Command::new("sh")
        .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" --config \"$1\""])
        .arg(env!("CARGO_BIN_EXE_sluice-control"))
        .arg(site.path("sluice.toml"))
        .env("NOTIFY_SOCKET", site.path("notify"))
        .env("WATCHDOG_USEC", "600000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let control = Control { child };

    assert_eq!(heard(), "READY=1");
    assert_eq!((heard(), heard()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));
    control.signal(rustix::process::Signal::TERM);
    let mut last = heard();
    while last == "WATCHDOG=1" {
        last = heard();
    }
    assert_eq!(last, "STOPPING=1");
    assert!(control.ends().success());
}

/// Law 5 from outside: whatever moment control dies at, every lease that a client was told of is there again afterwards, in the tables
/// and in the store, under the same address.
#[test]
fn no_lease_that_was_acknowledged_is_lost_whenever_control_is_killed() {
    let site = Site::new();
    let mut worker = site.worker();
    let mut leases: BTreeMap<Cpe, Ipv4Addr> = BTreeMap::new();
    let mut next = 1u16;

    for round in 0..8u64 {
        let control = site.control();
        for (cpe, address) in &leases {
            assert!(
                worker.session(*cpe, *address).is_some(),
                "round {round}: {cpe:?} lost {address}"
            );
        }
        // Twenty clients at once, and control is killed somewhere among their conversations.
        let begin = Instant::now();
        let enough = leases.len() + 3 + round as usize * 7 % 17;
        for _ in 0..20 {
            let cpe = Cpe(next);
            next += 1;
            worker.punt(cpe, &cpe.message(MessageType::Discover, cpe.0.into(), &[]));
        }
        let mut hear = |worker: &mut Worker| {
            while let Some((c_vlan, message)) = worker.taken() {
                // Also what was punted before the last kill: the ring outlives it.
                let cpe = Cpe(message.xid() as u16);
                assert_eq!(c_vlan, cpe.0, "an answer goes to the line that asked");
                match message.opts().msg_type() {
                    Some(MessageType::Offer) => {
                        let request = cpe.message(MessageType::Request, message.xid(), &requesting(&message));
                        worker.punt(cpe, &request);
                    }
                    Some(MessageType::Ack) => {
                        leases.insert(cpe, message.yiaddr());
                    }
                    // The offer died with the control that made it; the client would begin anew.
                    Some(MessageType::Nak) => {}
                    other => panic!("{other:?}"),
                }
            }
            leases.len()
        };
        while hear(&mut worker) < enough {
            assert!(begin.elapsed() < PATIENCE, "round {round}: too few leases");
        }
        control.kill();
        // What was on the ring when it died is sent all the same.
        hear(&mut worker);
    }

    let _control = site.control();
    for (cpe, address) in &leases {
        assert!(worker.session(*cpe, *address).is_some(), "{cpe:?} lost {address}");
    }
    let addresses: std::collections::HashSet<_> = leases.values().collect();
    assert_eq!(addresses.len(), leases.len(), "no address twice");
    assert!(leases.len() >= 40, "only {} leases were granted", leases.len());
}
