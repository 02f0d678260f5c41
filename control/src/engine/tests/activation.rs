//! From the garden to the service, and back.

use super::super::testing::*;
use super::super::*;
use crate::session::State;

#[test]
fn a_subscriber_in_the_garden_is_activated_to_another_pool_and_moves_with_his_next_conversation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);

    let changed = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Wgar, State::Activating)
    );
    assert_eq!(changed.old_ip, Some(old));
    assert_eq!(changed.message, "Waiting for DHCP renewal");
    let (_, request) = bench.world.olt.pop_front().unwrap();
    assert!(request.bounce);
    assert_eq!(
        bench.world.row_of(old).unwrap().policy.garden.as_deref(),
        Some("unactivated")
    );

    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(old))), Outcome::Nak);
    let new = bench.dora(&cpe);

    assert_eq!(new.octets()[..2], [10, 0]);
    let row = bench.world.row_of(new).unwrap();
    assert_eq!(
        (row.policy.state, row.policy.garden.clone()),
        (State::Active, None)
    );
    assert_eq!(bench.world.row_of(old), None);
    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(new))), Outcome::Ack(new));
}
