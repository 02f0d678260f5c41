//! An activation that moves the line: the access node gives the ONT another C-VLAN, the session appears there, and
//! whoever still speaks with the old tags is nobody.

use std::time::Duration;

use olt_sim::lab::world::WorldSpec;
use olt_sim::wire::MacAddr;
use serde_json::json;
use sluice_tests::frames::{Tags, udp_frame};
use sluice_tests::gateway::{session_of, state_of};
use sluice_tests::world::RESIDENTIAL;
use sluice_tests::{Drops, PATIENCE, SILENCE, connect, eventually, sessions, start};

const MOVE_PATIENCE: Duration = Duration::from_secs(15);
const OLD: Tags = Tags {
    s_vlan: 100,
    c_vlan: 1,
};
const NEW: Tags = Tags {
    s_vlan: 101,
    c_vlan: 77,
};
const BNG: MacAddr = MacAddr([0x02, 0, 0x5e, 0, 0x01, 0x01]);

#[test]
fn the_session_follows_its_line_and_the_old_tags_are_dead() {
    let mut world = start(WorldSpec::default());
    let garden = connect(&mut world, 0);
    let home = world.subscriber(0);
    let serial = home.serial();
    let session = session_of(&world, serial);
    assert_eq!((&session["s_vlan"], &session["c_vlan"]), (&100.into(), &1.into()));

    let order = json!({
        "ont_serial": serial, "service_id": "SVC-MOVE", "pool": "isp-residential",
        "qos_download_bps": 100_000_000, "qos_upload_bps": 100_000_000,
        "s_vlan": NEW.s_vlan, "c_vlan": NEW.c_vlan,
    });
    let answer = world.api().post("/api/v1/activate", &order).unwrap();
    assert_eq!(answer["session"]["new_state"], "activating");
    let lease = home.wait_for_address_in(RESIDENTIAL, MOVE_PATIENCE).unwrap();
    eventually("he is active", PATIENCE, || state_of(&world, serial) == "active");

    // Access node and BNG agree on the line, and the session is still the one it was.
    let line = world.olt().ont(serial).unwrap();
    let tags = serde_json::to_value(&line).unwrap();
    assert_eq!(
        (&tags["s_vlan"], &tags["c_vlan"]),
        (&NEW.s_vlan.into(), &NEW.c_vlan.into())
    );
    let moved = session_of(&world, serial);
    assert_eq!(
        (&moved["s_vlan"], &moved["c_vlan"], &moved["ip"]),
        (
            &NEW.s_vlan.into(),
            &NEW.c_vlan.into(),
            &lease.address.to_string().into()
        )
    );
    assert_eq!(moved["circuit_id"], "agg-01|1/1/1");
    assert_eq!(sessions(&world, "").len(), 1, "one line, one session");
    let core = &world.ground().core;
    let internet = core.config().internet;
    let pong = home.ping(internet, PATIENCE);
    assert!(pong.is_reached(), "{pong:?}");

    // With the old tags he is nobody, under his new address as under his old one.
    let mac = moved["mac"].as_str().unwrap().parse::<MacAddr>().unwrap();
    for source in [lease.address, garden.address] {
        let before = Drops::read(world.api());
        let seen = core.watch().packets_from(source);
        let frame = udp_frame(
            BNG,
            mac,
            OLD,
            (source, 40_000),
            (internet, 9),
            b"from the old line",
        );
        for _ in 0..10 {
            world.olt().send_on_trunk(&frame).unwrap();
        }
        before.expect(world.api(), "frames with the old tags", &[("no_session", 10)]);
        assert_eq!(
            core.watch().packets_from(source),
            seen,
            "{source} reached the core"
        );
    }
    // With the new ones he is himself: the frames above were good but for their tags.
    let before = core.watch().packets_from(lease.address);
    let frame = udp_frame(
        BNG,
        mac,
        NEW,
        (lease.address, 40_000),
        (internet, 9),
        b"from the new line",
    );
    world.olt().send_on_trunk(&frame).unwrap();
    eventually("the new line forwards", PATIENCE, || {
        core.watch().packets_from(lease.address) == before + 1
    });
    // And nothing comes down for the address that he left.
    let before = Drops::read(world.api());
    let left = olt_sim::lab::probes::ping(core.netns(), garden.address, SILENCE);
    assert!(!left.is_reached(), "{left:?}");
    let dropped = Drops::read(world.api()).since(&before);
    assert!(
        dropped.keys().all(|reason| reason == "discard_route"),
        "{dropped:?}"
    );
    world.stop().unwrap();
}
