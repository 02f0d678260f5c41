//! Policers: a profile each way, one arrival time each way.

use shm_bridge::session::{Policy, RowState};
use shm_bridge::{Direction, DropReason};
use sluice_worker::Verdict;
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_burst_passes_and_then_the_rate_each_way_by_its_own_profile() {
    let mut world = World::new();
    // 1000 bytes a second, 2000 at once; and ten times that.
    world.policer(1, 8_000, 2_000);
    world.policer(2, 80_000, 20_000);
    let policy = Policy::new(RowState::Active).with_policers(1, 2);
    let line = world.subscribe(Subscriber::on_line(100, 7).policy(policy));
    let up = line.frame(packet::udp_with(line.ipv4, INTERNET, 1, 2, 472));
    let down = from_core(packet::udp_with(INTERNET, line.ipv4, 1, 2, 472));

    let sent = world.repeat(ACCESS, &up, 10);
    assert_eq!(sent.drops, [(DropReason::Policed, 6)]);
    assert_eq!(sent.forwarded_upstream, 4);
    assert!(
        sent.outs[..4]
            .iter()
            .all(|out| out.verdict == Verdict::Forward { port: CORE })
    );
    let got = world.repeat(CORE, &down, 10);
    assert_eq!((got.drops, got.forwarded_downstream), (vec![], 10));

    // Half a second is one packet upstream.
    world.now_ns += SECOND / 2;
    let sent = world.repeat(ACCESS, &up, 3);
    assert_eq!(sent.drops, [(DropReason::Policed, 2)]);

    let upstream = world.traffic(&line, Direction::Upstream);
    assert_eq!((upstream.packets, upstream.bytes, upstream.policed), (5, 2500, 8));
    let downstream = world.traffic(&line, Direction::Downstream);
    assert_eq!(
        (downstream.packets, downstream.bytes, downstream.policed),
        (10, 5000, 0)
    );
}

#[test]
fn no_profile_means_no_limit() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::on_line(100, 7));
    let up = line.frame(packet::udp_with(line.ipv4, INTERNET, 1, 2, 1400));

    for _ in 0..100 {
        let sent = world.repeat(ACCESS, &up, 32);
        assert_eq!(sent.forwarded_upstream, 32);
    }
}

#[test]
fn over_ten_seconds_a_subscriber_gets_his_rate() {
    let mut world = World::new();
    let rate = 20_000_000;
    world.policer(1, rate, 30_000);
    let policy = Policy::new(RowState::Active).with_policers(1, 1);
    let line = world.subscribe(Subscriber::on_line(100, 7).policy(policy));
    let up = line.frame(packet::udp_with(line.ipv4, INTERNET, 1, 2, 1372));

    // Twice the rate is offered: 1400 bytes every 280 µs.
    for _ in 0..10 * SECOND / 280_000 {
        world.now_ns += 280_000;
        world.summary(ACCESS, &up);
    }

    let got = world.traffic(&line, Direction::Upstream).bytes * 8 / 10;
    assert!(got.abs_diff(rate) < rate / 100, "{got} bit/s of {rate}");
}

#[test]
fn what_is_dropped_for_another_reason_is_not_charged() {
    let mut world = World::new();
    world.policer(1, 8_000, 1_000);
    let policy = Policy::new(RowState::Active).with_policers(1, 1);
    let line = world.subscribe(Subscriber::on_line(100, 7).policy(policy));
    let spoofed = line.frame(packet::udp_with(INTERNET, INTERNET, 1, 2, 472));
    let own = line.frame(packet::udp_with(line.ipv4, INTERNET, 1, 2, 472));

    world.repeat(ACCESS, &spoofed, 32);

    let sent = world.repeat(ACCESS, &own, 2);
    assert_eq!(sent.forwarded_upstream, 2);
}
