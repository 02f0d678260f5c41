//! The whole worker on real ports with bursts measured: what it says each stage took.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use shm_bridge::cost::{Cost, Kind, Stage};
use shm_bridge::sides::Tables;
use sluice_config::Config;
use sluice_worker::assembly::assemble;
use sluice_worker::dpdk::{Eal, StopFlag, Timebase};
use sluice_worker::testkit::world::{INTERNET, PORTAL, from_core};
use sluice_worker::testkit::{Subscriber, World, packet, pcap};
use sluice_worker::{lcore, telemetry};

use crate::story::in_own_process;

/// Frames of each kind.
const EACH: usize = 160;
/// Common ones both ways; in the garden, to where it permits and where it does not; of a stranger's address.
const UPSTREAM: usize = 4 * EACH;
const DOWNSTREAM: usize = EACH;

#[test]
fn every_stage_that_worked_tells_what_it_took_and_the_sum_is_the_whole() {
    in_own_process(
        "meter::every_stage_that_worked_tells_what_it_took_and_the_sum_is_the_whole",
        || {
            let (eal, tables) = run(1);

            let (cells, cost) = (tables.lcores.get(0).expect("slot 0"), cost(&tables));
            assert_eq!(cost.one_in, 1);
            assert!(cost.tsc_hz > 100_000_000, "{}", cost.tsc_hz);
            assert_eq!((cost.bursts, cost.packets), (cells.bursts.get(), cells.rx.get()));
            assert_eq!(cost.packets as usize, UPSTREAM + DOWNSTREAM);
            let packets = |stage| {
                let spent = cost.stage(stage);
                assert!(spent.packets == 0 || spent.tsc > 0, "{stage:?}: {spent:?}");
                spent.packets as usize
            };
            let all = UPSTREAM + DOWNSTREAM;
            assert_eq!(packets(Stage::Receive), all);
            assert_eq!(packets(Stage::ExpressLook), all);
            assert_eq!(packets(Stage::ExpressGarden), 2 * EACH);
            // What is not common goes by the stages, until each found what it is there for.
            assert_eq!(packets(Stage::Antispoof), 2 * EACH);
            assert_eq!(packets(Stage::Garden), EACH);
            assert_eq!(packets(Stage::Rewrite), 0);
            assert_eq!(packets(Stage::Count), all);
            assert_eq!(packets(Stage::Transmit), 3 * EACH);

            // Of the busy time the rest is what measuring every burst took by itself.
            let (sum, busy) = (cost.tsc(|_| true), cells.busy_tsc.get());
            assert!(sum <= busy && sum > busy / 4, "{sum} of {busy}");
            let drivers = cost.tsc(|stage| stage.kind() == Kind::Driver);
            assert!(drivers > 0 && drivers < sum, "{drivers} of {sum}");

            let answers = asked(
                &eal,
                [
                    "/sluice/lcores",
                    "/sluice/lcores,0",
                    "/sluice/latency",
                    "/sluice/latency,0",
                    "/sluice/latency_buckets,downstream",
                    "/sluice/latency,7",
                    "/sluice/latency_buckets,up",
                ],
            );
            let [list, one, latency, of_one, buckets, nobody, nowhere] = &answers;
            assert!(
                list["0"]
                    .as_str()
                    .is_some_and(|line| line.contains("rx 800, tx ")),
                "{list}"
            );
            assert_eq!(one["rx"], all);
            assert_eq!(one["antispoof_packets"], 2 * EACH);
            assert!(
                one["antispoof_tsc_per_packet"]
                    .as_str()
                    .is_some_and(|tsc| tsc.parse::<f64>().is_ok())
            );
            assert_eq!(latency["upstream_packets"], 2 * EACH);
            assert!(latency["downstream_p50_ns"].as_u64() <= latency["downstream_max_ns"].as_u64());
            assert_eq!(latency, of_one);
            let counted: u64 = buckets
                .as_object()
                .expect("buckets")
                .values()
                .filter_map(|count| count.as_u64())
                .sum();
            assert_eq!(counted as usize, EACH);
            assert_eq!(nobody["error"], "no lcore ran in slot \"7\"");
            assert!(
                nowhere["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("\"up\" is no direction"))
            );
            let directory = eal.runtime_dir();
            drop(eal);
            std::fs::remove_dir_all(&directory).expect("remove what EAL leaves");
        },
    );
}

#[test]
fn where_none_is_to_be_measured_no_lap_is_taken() {
    in_own_process("meter::where_none_is_to_be_measured_no_lap_is_taken", || {
        let (eal, tables) = run(0);

        let cost = cost(&tables);
        assert_eq!((cost.one_in, cost.bursts, cost.packets), (0, 0, 0));
        assert!(
            cost.stages()
                .all(|(_, spent)| spent.packets == 0 && spent.tsc == 0),
            "{cost:?}"
        );
        assert_eq!(
            tables.lcores.get(0).expect("slot 0").rx.get() as usize,
            UPSTREAM + DOWNSTREAM
        );
        let directory = eal.runtime_dir();
        drop(eal);
        std::fs::remove_dir_all(&directory).expect("remove what EAL leaves");
    });
}

fn cost(tables: &Tables) -> Cost {
    tables.costs.get(0).expect("slot 0").read()
}

/// All frames through a worker that measures one burst in `one_in`.
fn run(one_in: u32) -> (Eal, Tables) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::new();
    let home = world.subscribe(Subscriber::on_line(100, 1));
    let gardened = world.subscribe(Subscriber::in_garden(100, 2));
    let up = [
        home.frame(packet::udp(home.ipv4, INTERNET, 5000, 9)),
        gardened.frame(packet::tcp(gardened.ipv4, PORTAL, 5000, 80)),
        gardened.frame(packet::tcp(gardened.ipv4, INTERNET, 5000, 80)),
        home.frame(packet::udp(gardened.ipv4, INTERNET, 5000, 9)),
    ];
    let down = from_core(packet::udp(INTERNET, home.ipv4, 9, 5000));
    let (up_file, down_file) = (dir.path().join("up.pcap"), dir.path().join("down.pcap"));
    pcap::write(&up_file, &up.map(|frame| vec![frame; EACH]).concat()).expect("a file");
    pcap::write(&down_file, &vec![down; DOWNSTREAM]).expect("a file");

    let prefix = format!("sluice-test-{}", std::process::id());
    let device =
        |number: u32, file: &Path| format!("net_pcap{number},rx_pcap={},tx_pcap=/dev/null", file.display());
    let devices = [device(0, &up_file), device(1, &down_file)];
    // One lcore: a pcap device has one transmit queue.
    let [first, second] = &devices;
    let arguments = [
        "test",
        "--no-huge",
        "-m",
        "64",
        "--no-pci",
        "--lcores",
        "0@0",
        "--file-prefix",
        &prefix,
        "--vdev",
        first,
        "--vdev",
        second,
    ];
    let (eal, _) = Eal::init(arguments.map(str::to_owned)).expect("EAL");
    let config = Config::parse("sluice.toml", &config(one_in)).expect("a configuration");
    let (stop, timebase) = (StopFlag::default(), Timebase::calibrate());
    let tables = world.worker.tables.clone();
    telemetry::register(&eal, &tables).expect("our commands");
    let mut assembly = assemble(&eal, &config, world.worker, &timebase, &stop).expect("the worker");
    let watch = {
        let (tables, stop) = (tables.clone(), stop.clone());
        std::thread::spawn(move || {
            let deadline = Instant::now() + Duration::from_secs(20);
            let received = || tables.lcores.sum(|lcore| &lcore.rx) as usize;
            while received() < UPSTREAM + DOWNSTREAM && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.set();
        })
    };
    lcore::run(&eal.main_lcore(), assembly.tasks.remove(0));
    watch.join().expect("the watch");
    drop((assembly, world.control));
    (eal, tables)
}

fn config(one_in: u32) -> String {
    format!(
        r#"
        [worker]
        mbufs = 2048
        measure_one_in = {one_in}
        [[ports]]
        name = "access0"
        role = "access"
        device = "net_pcap0"
        mac = "02:00:5e:00:01:01"
        lines = [{{ s_vlans = "100-109", c_vlans = "1-4094" }}]
        [[ports]]
        name = "core0"
        role = "core"
        device = "net_pcap1"
        mac = "02:00:5e:00:02:01"
        address = "192.0.2.2/24"
        gateway = "192.0.2.1"
        [pools.wgar]
        network = "10.255.0.0/16"
        "#
    )
}

/// Answers to commands on DPDK's telemetry socket.
fn asked<const N: usize>(eal: &Eal, commands: [&str; N]) -> [serde_json::Value; N] {
    let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
    let address = SocketAddrUnix::new(eal.runtime_dir().join("dpdk_telemetry.v2")).expect("an address");
    connect(&peer, &address).expect("the telemetry socket");
    let mut buffer = vec![0; 64 * 1024];
    let mut next = || {
        let (_, len) = recv(&peer, &mut buffer[..], RecvFlags::empty()).expect("an answer");
        serde_json::from_slice::<serde_json::Value>(&buffer[..len]).expect("JSON")
    };
    next();
    commands.map(|command| {
        send(&peer, command.as_bytes(), SendFlags::empty()).expect("a request");
        let name = command.split(',').next().unwrap_or(command);
        next()[name].take()
    })
}
