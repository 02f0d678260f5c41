//! The worker dies by SIGKILL and comes back on the same TAPs: it finds the segment as it left it, and every session
//! forwards again, without any client asking for anything.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::WorldSpec;
use sluice_tests::gateway::{Conservation, session_of, traffic};
use sluice_tests::{PATIENCE, SILENCE, activate, connect, eventually, start};

const PORT: u16 = 7000;
const UP: u32 = 1;
const DOWN: u32 = 2;

#[test]
fn a_new_worker_finds_the_tables_and_sessions_go_on() {
    let mut world = start(WorldSpec {
        subscribers: 2,
        ..WorldSpec::default()
    });
    connect(&mut world, 0);
    connect(&mut world, 1);
    let lease = activate(&world, 0);
    let core = world.ground().core.config().clone();
    let home = world.subscriber(0);
    let received = home.receive_flows(PORT).unwrap();
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: 200,
        packets_per_second: 2000,
        packets: 0,
    };
    let sink = world.ground().core.sink().clone();
    let up = home
        .send_flow(world.ground().core.sink_address(), spec(UP))
        .unwrap();
    let to_home = SocketAddrV4::new(lease.address, PORT);
    let down = world.ground().core.send_flow(to_home, spec(DOWN)).unwrap();
    assert!(sink.wait_for(UP, 500, PATIENCE) && received.meter.wait_for(DOWN, 500, PATIENCE));
    let told: Vec<usize> = world
        .subscribers()
        .iter()
        .map(|home| home.cpe().unwrap().events().len())
        .collect();
    let before = session_of(&world, world.subscriber(0).serial());
    let counted = Conservation::read(world.api());

    world.kill_worker().unwrap();
    let killed = Instant::now();
    let (up_then, down_then) = (sink.packets(UP), received.meter.packets(DOWN));
    eventually("control sees that the worker is gone", PATIENCE, || {
        !world.api().is_ready()
    });
    std::thread::sleep(SILENCE);
    assert!(
        sink.packets(UP) <= up_then + 200,
        "somebody forwards without a worker"
    );
    assert_eq!(
        session_of(&world, world.subscriber(0).serial())["state"],
        "active",
        "control holds on to its sessions"
    );

    world.start_worker().unwrap();
    let log = world.worker().unwrap().log();
    assert!(
        log.contains(": found,"),
        "the segment was not found again:\n{log}"
    );
    let (up_back, down_back) = (
        sink.packets(UP).max(up_then),
        received.meter.packets(DOWN).max(down_then),
    );
    let forwards = Duration::from_secs(5);
    assert!(
        sink.wait_for(UP, up_back + 500, forwards),
        "upstream does not come back"
    );
    assert!(
        received.meter.wait_for(DOWN, down_back + 500, forwards),
        "downstream does not come back"
    );
    eprintln!(
        "worker killed, restarted and forwarding again after {:.2} s",
        killed.elapsed().as_secs_f64()
    );
    eventually("the BNG is ready again", PATIENCE, || world.api().is_ready());

    // Nobody asked DHCP for anything; garden and address are as they were.
    let told_now: Vec<usize> = world
        .subscribers()
        .iter()
        .map(|home| home.cpe().unwrap().events().len())
        .collect();
    assert_eq!(told, told_now, "a client has asked again");
    assert!(
        world
            .subscriber(1)
            .http_get(SocketAddrV4::new(core.portal, 80), "/", PATIENCE)
            .is_reached()
    );
    assert!(
        !world
            .subscriber(1)
            .http_get(SocketAddrV4::new(core.internet, 80), "/", SILENCE)
            .is_reached()
    );
    let (up, down) = (up.stop(), down.stop());
    let sum = Conservation::at_rest(world.api());
    let after = session_of(&world, world.subscriber(0).serial());
    for field in ["id", "ip", "state", "pool", "row", "created_at"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    // Counters went on from where they were, and end at no more than was sent and no less than arrived.
    let (first, last) = (traffic(&before), traffic(&after));
    for (way, (sent, arrived)) in [
        (up.packets, sink.packets(UP)),
        (down.packets, received.meter.packets(DOWN)),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            last[way].0 >= first[way].0 && last[way].1 >= first[way].1,
            "{first:?}, then {last:?}"
        );
        assert!(arrived < sent, "the flow had no gap: the worker was not away");
    }
    // What the dead one had in hand is counted as lost, and with that the sum is exact over both.
    sum.assert_exact();
    assert!(sum.rx > counted.rx && sum.lost_in_flight <= 64, "{sum:?}");
    let lcores = world.api().get("/api/v1/lcores").unwrap();
    assert_eq!(lcores["worker"]["generation"], 2, "{lcores}");
    eprintln!("{sum:?}");
    world.stop().unwrap();
}
