//! Law 2 after traffic of every kind, good and bad: what came in went out, was dropped for a reason, or was handed to
//! control; not one packet more or less, and every mbuf is back. The kernel's own counts of the two TAPs are the
//! second opinion. Each burst is measured, so every stage that had a part in it says how many packets came to it and what they took.

use std::net::{Ipv4Addr, SocketAddrV4};

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{ACCESS_INTERFACE, World, WorldSpec};
use olt_sim::wire::MacAddr;
use serde_json::Value;
use sluice_tests::frames::{Tags, udp_frame};
use sluice_tests::gateway::{Conservation, expect_mbufs_in_use, mbufs_in_use, session_of};
use sluice_tests::{Drops, PATIENCE, SILENCE, activate, connect, eventually, start};

const BNG: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x01, 0x01]);
const STRANGER: MacAddr = MacAddr([0x02, 0, 0, 0, 0x66, 0x66]);
const LINE: Tags = Tags {
    s_vlan: 100,
    c_vlan: 1,
};
const NOBODYS_LINE: Tags = Tags {
    s_vlan: 100,
    c_vlan: 999,
};
const NO_LINE: Tags = Tags {
    s_vlan: 999,
    c_vlan: 1,
};
const PORT: u16 = 7000;
/// Bad frames of each kind.
const BAD: u64 = 50;
const GOOD: u64 = 2000;
/// From the outer tag on: IPv4's header checksum.
const CHECKSUM_AT: usize = 22 + 10;

#[test]
fn every_packet_is_accounted_for_and_every_mbuf_returns() {
    let mut world = start(WorldSpec {
        subscribers: 2,
        edit_settings: |text| text.replace("[worker]\n", "[worker]\nmeasure_one_in = 1\n"),
        ..WorldSpec::default()
    });
    let mbufs = {
        std::thread::sleep(SILENCE * 2);
        mbufs_in_use(world.api())
    };
    let (sum_first, kernel_first) = (Conservation::at_rest(world.api()), Taps::read(&world));
    let drops_first = Drops::read(world.api());

    // Good: DHCP, ARP, DNS, HTTP, echo, flows both ways, between subscribers.
    connect(&mut world, 0);
    let garden = connect(&mut world, 1);
    let lease = activate(&world, 0);
    let core = &world.ground().core;
    let internet = core.config().internet;
    let (home, gardened) = (world.subscriber(0), world.subscriber(1));
    let received = home.receive_flows(PORT).unwrap();
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: 400,
        packets_per_second: 4000,
        packets: GOOD,
    };
    let up = home.send_flow(core.sink_address(), spec(1)).unwrap();
    let down = core
        .send_flow(SocketAddrV4::new(lease.address, PORT), spec(2))
        .unwrap();
    assert!(
        home.http_get(core.http_address(internet), "/bytes/300000", PATIENCE)
            .is_reached()
    );
    assert!(
        home.resolve(Ipv4Addr::new(1, 1, 1, 1), "www.example", PATIENCE)
            .is_reached()
    );
    assert!(home.ping(internet, PATIENCE).is_reached());

    // Bad: by garden, by source, by tags, by form.
    let portal = core.config().portal;
    assert!(gardened.ping(portal, PATIENCE).is_reached());
    assert!(
        !gardened
            .http_get(core.http_address(internet), "/", SILENCE)
            .is_reached()
    );
    let mac = mac_of(&world, home.serial());
    let good = udp_frame(
        BNG,
        mac,
        LINE,
        (lease.address, 5000),
        (internet, 9),
        b"not of a flow",
    );
    let mut bad_checksum = good.clone();
    bad_checksum[CHECKSUM_AT] ^= 0xff;
    let bad: [(&str, Vec<u8>); 7] = [
        (
            "spoofed_address",
            udp_frame(
                BNG,
                mac,
                LINE,
                (garden.address, 5000),
                (internet, 9),
                b"whose address?",
            ),
        ),
        (
            "spoofed_mac",
            udp_frame(
                BNG,
                STRANGER,
                LINE,
                (lease.address, 5000),
                (internet, 9),
                b"whose box?",
            ),
        ),
        (
            "no_session",
            udp_frame(
                BNG,
                mac,
                NOBODYS_LINE,
                (lease.address, 5000),
                (internet, 9),
                b"whose line?",
            ),
        ),
        (
            "unknown_line",
            udp_frame(
                BNG,
                mac,
                NO_LINE,
                (lease.address, 5000),
                (internet, 9),
                b"what line?",
            ),
        ),
        (
            "not_for_us",
            udp_frame(
                STRANGER,
                mac,
                LINE,
                (lease.address, 5000),
                (internet, 9),
                b"for whom?",
            ),
        ),
        ("truncated", good[..30].to_vec()),
        ("bad_ip_checksum", bad_checksum),
    ];
    for (_, frame) in &bad {
        for _ in 0..BAD {
            world.olt().send_on_trunk(frame).unwrap();
        }
    }
    home.cpe().unwrap().renew().unwrap();
    gardened.cpe().unwrap().release().unwrap();
    let (up, down) = (up.finish(), down.finish());
    assert!(
        core.sink().wait_for(1, up.packets, PATIENCE),
        "{:?}",
        core.sink().flow(1)
    );
    assert!(
        received.meter.wait_for(2, down.packets, PATIENCE),
        "{:?}",
        received.meter.flow(2)
    );
    assert_eq!((up.packets, down.packets), (GOOD, GOOD));

    // Every kind was there, and the deliberate ones exactly as often as they were sent.
    let sum = Conservation::at_rest(world.api());
    let dropped = Drops::read(world.api()).since(&drops_first);
    for (reason, _) in &bad {
        let counted = dropped.get(*reason).copied().unwrap_or(0);
        // A line without a session may have been heard of by others, too: a client before its lease.
        let exact = *reason != "no_session";
        assert!(
            counted == BAD || (!exact && counted > BAD),
            "{reason}: {counted} in {dropped:?}"
        );
    }
    assert!(
        dropped.get("garden_destination").is_some_and(|count| *count > 0),
        "{dropped:?}"
    );

    // The sum is exact, in total and lcore by lcore.
    sum.assert_exact();
    assert_eq!(sum.lost_in_flight, 0);
    assert_eq!(sum.drops - sum_first.drops, dropped.values().sum::<u64>());
    assert!(
        sum.punts > sum_first.punts && sum.injected > sum_first.injected,
        "{sum:?}"
    );
    // The kernel handed over as much as the worker took, and took as much as the worker sent.
    let kernel = Taps::read(&world);
    assert_eq!(
        sum.rx - sum_first.rx,
        kernel.to_worker - kernel_first.to_worker,
        "frames taken from the TAPs"
    );
    assert_eq!(
        sum.tx - sum_first.tx,
        kernel.from_worker - kernel_first.from_worker,
        "frames put into the TAPs"
    );
    assert_eq!(
        kernel.lost, kernel_first.lost,
        "frames the kernel could not hand over"
    );
    expect_mbufs_in_use(world.api(), &mbufs);
    expect_costs(&world);
    eprintln!("{sum:?}; mbufs in use by port {mbufs:?}, before and after; drops {dropped:?}");
    world.stop().unwrap();
}

/// Stages that this story's packets came to: common ones both ways, gardened, spoofed, broken and punted ones. What is left for the
/// stages ends before it is policed.
const WORKED: [&str; 18] = [
    "receive",
    "express_look",
    "express_go",
    "express_garden",
    "parse",
    "arp",
    "dhcp",
    "destination",
    "owner",
    "session",
    "antispoof",
    "fib",
    "local",
    "garden",
    "ends",
    "transmit",
    "hand_over",
    "count",
];

/// What the lcore says of its stages is plausible: none is missing, and their sum is its busy time but for what measuring itself took.
#[track_caller]
fn expect_costs(world: &World) {
    let answer = world.api().get("/api/v1/lcores").unwrap();
    let lcore = &answer["lcores"][0];
    let cost = &lcore["cost"];
    assert_eq!(
        (&lcore["measure_one_in"], &cost["bursts"], &cost["packets"]),
        (&Value::from(1), &lcore["bursts"], &lcore["rx"])
    );
    let stages = cost["stages"].as_array().unwrap();
    let number = |stage: &Value, member: &str| stage[member].as_u64().unwrap();
    for label in WORKED {
        let stage = stages.iter().find(|stage| stage["stage"] == label).unwrap();
        assert!(
            number(stage, "packets") > 0 && number(stage, "tsc") > 0,
            "{stage}"
        );
    }
    let sum: u64 = stages.iter().map(|stage| number(stage, "tsc")).sum();
    let busy = number(lcore, "busy_tsc");
    assert!(sum <= busy && sum > busy / 4, "{sum} of {busy} ticks");
    // Control looked at the counters a second ago and earlier.
    let recent = &lcore["recent"];
    let share = recent["busy_share"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{recent}");
}

/// What the kernel counted on the two TAPs.
#[derive(Clone, Copy, Debug)]
struct Taps {
    to_worker: u64,
    from_worker: u64,
    lost: u64,
}

impl Taps {
    fn read(world: &World) -> Self {
        let mut taps = Self {
            to_worker: 0,
            from_worker: 0,
            lost: 0,
        };
        for interface in [ACCESS_INTERFACE, &world.ground().core.config().interface] {
            let text = world
                .ground()
                .core_namespace
                .ip(&["-j", "-s", "link", "show", interface])
                .unwrap();
            let link: Value = serde_json::from_str(&text).unwrap();
            let count = |way: &str, what: &str| link[0]["stats64"][way][what].as_u64().unwrap();
            taps.to_worker += count("tx", "packets");
            taps.from_worker += count("rx", "packets");
            // What the kernel drops of the worker's frames is what nobody on its side listens for.
            taps.lost += count("tx", "dropped");
        }
        taps
    }
}

fn mac_of(world: &World, serial: &str) -> MacAddr {
    let mac = session_of(world, serial)["mac"].as_str().unwrap().parse();
    mac.unwrap()
}

#[test]
fn an_idle_gateway_holds_as_many_mbufs_as_at_first() {
    let mut world = start(WorldSpec::default());
    let first = mbufs_in_use(world.api());
    connect(&mut world, 0);

    eventually("the lease is counted", PATIENCE, || {
        Conservation::read(world.api()).punts > 0
    });

    Conservation::at_rest(world.api()).assert_exact();
    expect_mbufs_in_use(world.api(), &first);
    world.stop().unwrap();
}
