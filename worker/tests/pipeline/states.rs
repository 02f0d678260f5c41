//! What each state of a session lets through, both ways, from the next burst on.

use shm_bridge::DropReason;
use shm_bridge::session::{Policy, RowState};
use sluice_worker::testkit::world::{ACCESS, CORE, GARDEN, INTERNET, PORTAL, from_core};
use sluice_worker::testkit::{Subscriber, Summary, World, packet};

fn both_ways(world: &mut World, line: &Subscriber, far: std::net::Ipv4Addr) -> [Summary; 2] {
    let up = world.summary(ACCESS, &line.frame(packet::tcp(line.ipv4, far, 4000, 80)));
    let down = world.summary(CORE, &from_core(packet::tcp(far, line.ipv4, 80, 4000)));
    [up, down]
}

#[test]
fn rows_that_are_free_or_discovered_or_terminated_have_no_traffic() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::on_line(100, 7));
    for (state, reason) in [
        (RowState::Free, DropReason::NoSession),
        (RowState::Discovered, DropReason::NoSession),
        (RowState::Terminated, DropReason::SessionTerminated),
    ] {
        // A garden that would permit it changes nothing.
        for policy in [Policy::new(state), Policy::new(state).with_garden(GARDEN)] {
            world.set_policy(&line, policy);
            for out in both_ways(&mut world, &line, PORTAL) {
                out.assert_dropped(reason);
            }
        }
    }
}

#[test]
fn wgar_activating_and_suspended_reach_what_their_garden_permits() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::in_garden(100, 7));
    for state in [RowState::Wgar, RowState::Activating, RowState::Suspended] {
        world.set_policy(&line, Policy::new(state).with_garden(GARDEN));

        let [up, down] = both_ways(&mut world, &line, PORTAL);
        up.assert_forwarded(CORE);
        down.assert_forwarded(ACCESS);
        for out in both_ways(&mut world, &line, INTERNET) {
            out.assert_dropped(DropReason::GardenDestination);
        }
    }
}

#[test]
fn a_state_that_needs_a_garden_and_has_none_is_closed() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::in_garden(100, 7));
    for state in [RowState::Wgar, RowState::Activating, RowState::Suspended] {
        // No profile, and a profile that nobody wrote.
        for garden in [0, 77] {
            world.set_policy(&line, Policy::new(state).with_garden(garden));
            for out in both_ways(&mut world, &line, PORTAL) {
                out.assert_dropped(DropReason::GardenMissing);
            }
        }
    }
}

#[test]
fn activation_and_suspension_take_effect_in_the_next_burst() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::in_garden(100, 7));
    let [up, _] = both_ways(&mut world, &line, INTERNET);
    up.assert_dropped(DropReason::GardenDestination);

    world.set_policy(&line, Policy::new(RowState::Active));
    let [up, down] = both_ways(&mut world, &line, INTERNET);
    up.assert_forwarded(CORE);
    down.assert_forwarded(ACCESS);

    world.set_policy(&line, Policy::new(RowState::Suspended).with_garden(GARDEN));
    for out in both_ways(&mut world, &line, INTERNET) {
        out.assert_dropped(DropReason::GardenDestination);
    }
}

#[test]
fn an_active_session_with_a_profile_is_restricted_to_it() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::on_line(100, 7));
    world.set_policy(&line, Policy::new(RowState::Active).with_garden(GARDEN));

    let [up, _] = both_ways(&mut world, &line, PORTAL);
    up.assert_forwarded(CORE);
    for out in both_ways(&mut world, &line, INTERNET) {
        out.assert_dropped(DropReason::GardenDestination);
    }
}
