//! Addresses: who gets which, and that the counts follow.

use proptest::prelude::*;

use super::*;

fn pools() -> Pools {
    let text = crate::engine::testing::CONFIG.replace(
        "[pools.tiny]\nnetwork = \"10.32.0.0/29\"",
        "[pools.tiny]\nnetwork = \"10.32.0.0/28\"\nexclude = [\"10.32.0.2-10.32.0.4\", \"10.32.0.10\"]",
    );
    Pools::new(Arc::new(Config::parse("sluice.toml", &text).unwrap()))
}

fn host(n: u8) -> Holder {
    Holder {
        identity: Identity(format!("line {n}")),
        mac: Mac([2, 0, 0, 0, 0, n]),
        client_id: None,
    }
}

fn tiny(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 32, 0, n)
}

fn take(pools: &mut Pools, n: u8) -> Option<Ipv4Addr> {
    let id = pools.id("tiny").unwrap();
    let session = SessionId(n.into());
    let found = pools.reserve(id, host(n), session, None, Inherit::Line)?;
    assert!(pools.bind(found.address, host(n), session));
    Some(found.address)
}

#[test]
fn network_broadcast_gateway_and_exclusions_are_never_given() {
    let mut pools = pools();
    let id = pools.id("tiny").unwrap();
    let config = pools.config(id).clone();

    let given: Vec<Ipv4Addr> = (1..=20).map_while(|n| take(&mut pools, n)).collect();

    assert_eq!(given, config.assignable().collect::<Vec<_>>());
    assert_eq!(pools.counts(id).size, config.capacity());
    assert_eq!(pools.counts(id).bound, config.capacity());
}

#[test]
fn the_pool_of_an_address_is_the_one_whose_network_holds_it() {
    let pools = pools();
    for (address, name) in [
        ("10.32.0.0", Some("tiny")),
        ("10.32.0.15", Some("tiny")),
        ("10.32.0.16", None),
        ("10.255.0.9", Some("wgar")),
        ("0.0.0.0", None),
        ("255.255.255.255", None),
    ] {
        let found = pools.id_of(address.parse().unwrap());
        assert_eq!(found.map(|id| pools.name(id)), name, "{address}");
    }
}

#[test]
fn an_address_that_was_just_freed_is_the_last_to_be_given_again() {
    let mut pools = pools();
    let first = take(&mut pools, 1).unwrap();
    pools.free(first);

    assert_ne!(take(&mut pools, 2), Some(first));
}

#[test]
fn a_lapsed_offer_goes_back_to_its_owner_or_to_all() {
    let mut pools = pools();
    let id = pools.id("tiny").unwrap();
    let kept = take(&mut pools, 1).unwrap();
    pools.keep(kept, 100);

    let again = pools
        .reserve(id, host(1), SessionId(9), None, Inherit::Host)
        .unwrap();
    assert_eq!((again.address, pools.counts(id).offered), (kept, 1));
    pools.lapse(kept);
    assert_eq!((pools.counts(id).sticky, pools.counts(id).offered), (1, 0));

    let fresh = pools
        .reserve(id, host(2), SessionId(8), None, Inherit::Host)
        .unwrap();
    pools.lapse(fresh.address);
    assert!(pools.slot(fresh.address).is_none());
}

#[test]
fn whoever_is_on_a_one_host_line_inherits_and_on_a_shared_one_only_the_host() {
    let mut pools = pools();
    let id = pools.id("tiny").unwrap();
    let kept = take(&mut pools, 1).unwrap();
    pools.keep(kept, 100);
    let mut other = host(1);
    other.mac = Mac([2, 0, 0, 0, 0, 99]);

    assert!(!pools.reserve_kept(id, other.clone(), SessionId(2), kept, Inherit::Host));
    assert!(pools.reserve_kept(id, other, SessionId(2), kept, Inherit::Line));
}

#[test]
fn what_one_line_hoards_has_an_end() {
    let text = crate::engine::testing::CONFIG;
    let mut pools = Pools::new(Arc::new(Config::parse("sluice.toml", text).unwrap()));
    let id = pools.id("wgar").unwrap();

    for n in 0..100u8 {
        let mut holder = host(1);
        holder.mac = Mac([2, 0, 0, 0, 1, n]);
        let found = pools
            .reserve(id, holder.clone(), SessionId(1), None, Inherit::Host)
            .unwrap();
        pools.bind(found.address, holder, SessionId(1));
        pools.keep(found.address, n.into());
    }

    assert_eq!(pools.counts(id).sticky, STICKY_PER_IDENTITY as u64);
}

#[test]
fn the_address_of_another_cannot_be_bound() {
    let mut pools = pools();
    let address = take(&mut pools, 1).unwrap();

    assert!(!pools.bind(address, host(2), SessionId(2)));
    assert!(!pools.bind(tiny(0), host(2), SessionId(2)));
    assert!(!pools.bind(tiny(2), host(2), SessionId(2)));
    assert!(!pools.bind(Ipv4Addr::new(192, 168, 0, 1), host(2), SessionId(2)));
    pools.quarantine(address, host(1));
    assert!(!pools.bind(address, host(1), SessionId(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_address_is_in_one_place_and_counted_there(
        steps in proptest::collection::vec((0u8..8, 0u8..16, 0u8..6), 0..200),
    ) {
        let mut pools = pools();
        let id = pools.id("tiny").unwrap();
        let mut clock = 0;
        for (what, last, who) in steps {
            clock += 1;
            let (address, session) = (tiny(last), SessionId(who.into()));
            match what {
                0 | 1 => { pools.reserve(id, host(who), session, Some(address), Inherit::Line); }
                2 => { pools.bind(address, host(who), session); }
                3 => pools.keep(address, clock),
                4 => pools.lapse(address),
                5 => pools.quarantine(address, host(who)),
                6 => pools.free(address),
                _ => { pools.reserve_kept(id, host(who), session, address, Inherit::Host); }
            }
            let counts = pools.counts(id);
            let sum = counts.free + counts.offered + counts.bound + counts.sticky + counts.quarantined;
            prop_assert_eq!(sum, counts.size);
            let pool = pools.pool(id);
            prop_assert_eq!(pool.sticky.len() as u64, counts.sticky);
            prop_assert_eq!(pool.sticky_of.values().map(Vec::len).sum::<usize>() as u64, counts.sticky);
            for (address, slot) in &pool.slots {
                prop_assert!(!pool.is_free(*address), "{} is free and {:?}", address, slot);
                prop_assert!(pools.config(id).is_assignable(*address));
            }
        }
    }
}
