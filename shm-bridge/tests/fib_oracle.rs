//! The FIB against a list of routes that is searched from end to end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use shm_bridge::SessionIndex;
use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::fib::{Fib, FibError, FibWriter, Leaf, Prefix};
use shm_bridge::layout::Geometry;

const GROUPS: usize = 3;

fn table() -> Fib {
    let geometry = Geometry {
        sessions: 64,
        tbl8_groups: GROUPS as u32,
        lcores: 1,
        ring_slots: 2,
        ..Geometry::DEFAULT
    };
    shm_bridge::sides::in_memory(&geometry).unwrap().0.tables.fib
}

/// Routes as anyone would keep them: address and length to leaf.
#[derive(Clone, Debug, Default)]
struct Routes(BTreeMap<(u32, u8), Leaf>);

impl Routes {
    fn lookup(&self, address: u32) -> Leaf {
        let longest = self
            .0
            .iter()
            .filter(|((network, len), _)| Prefix::new((*network).into(), *len).contains(address.into()))
            .max_by_key(|((_, len), _)| *len);
        match longest {
            Some((_, leaf)) if *leaf != Leaf::None => *leaf,
            // The empty leaf is the default route's.
            _ => self.0.get(&(0, 0)).copied().unwrap_or(Leaf::None),
        }
    }

    /// The /24s that need a group.
    fn long(&self) -> BTreeSet<u32> {
        self.0
            .keys()
            .filter(|(_, len)| *len > 24)
            .map(|(n, _)| n >> 8)
            .collect()
    }
}

fn prefix(network: u32, len: u8) -> Prefix {
    Prefix::new(Ipv4Addr::from(network), len)
}

fn cleared(address: u32, len: u8) -> u32 {
    address & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

#[derive(Clone, Debug)]
enum Step {
    Set(u32, u8, Leaf),
    Remove(u32, u8),
    /// A grace period passes.
    Grace,
    /// Control dies and comes back with these routes left out and those added.
    Restart(Vec<(u32, u8, Leaf)>, Vec<(u32, u8)>),
}

/// Five neighbouring /24s at 10.0.0.0 and the ends of the address space, so that routes cover one another.
fn route() -> impl Strategy<Value = (u32, u8)> {
    let address = prop_oneof![
        8 => (0u32..5 * 256).prop_map(|low| 0x0a00_0000 + low),
        1 => Just(0u32),
        1 => Just(u32::MAX),
    ];
    let len = prop_oneof![1 => Just(0u8), 2 => 14u8..=20, 4 => 20u8..=24, 8 => 25u8..=31, 6 => Just(32u8)];
    (address, len).prop_map(|(address, len)| (cleared(address, len), len))
}

fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        (0u32..4).prop_map(|i| Leaf::Adjacency(AdjacencyIndex(i))),
        (1u32..5).prop_map(|i| Leaf::Session(SessionIndex::new(i).unwrap())),
        Just(Leaf::Discard),
        Just(Leaf::Local),
        (0u16..3).prop_map(Leaf::Glean),
        Just(Leaf::None),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        24 => (route(), leaf()).prop_map(|((n, l), leaf)| Step::Set(n, l, leaf)),
        16 => route().prop_map(|(n, l)| Step::Remove(n, l)),
        4 => Just(Step::Grace),
        1 => (
            prop::collection::vec((route(), leaf()).prop_map(|((n, l), leaf)| (n, l, leaf)), 0..4),
            prop::collection::vec(route(), 0..4),
        ).prop_map(|(add, leave)| Step::Restart(add, leave)),
    ];
    prop::collection::vec(step, 1..60)
}

/// Every address near a boundary of a route that is or was.
fn compare(fib: &Fib, routes: &Routes, touched: &BTreeSet<(u32, u8)>) -> Result<(), TestCaseError> {
    for (network, len) in touched {
        let size = (1u64 << (32 - len)) as u32;
        let last = network.wrapping_add(size.wrapping_sub(1));
        for address in [
            network.wrapping_sub(1),
            *network,
            network.wrapping_add(1),
            network.wrapping_add(size / 2),
            last,
            last.wrapping_add(1),
        ] {
            prop_assert_eq!(
                fib.lookup(address),
                routes.lookup(address),
                "{}",
                Ipv4Addr::from(address)
            );
        }
    }
    Ok(())
}

fn run(fib: &Fib, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut writer = FibWriter::attach(fib.clone());
    // Groups of the case before.
    writer.retire(1);
    writer.reclaim(|_| true);
    let mut routes = Routes::default();
    let mut touched = BTreeSet::from([(0u32, 0u8)]);
    // Groups that are neither linked nor free yet.
    let mut waiting = 0;
    for step in steps {
        let long_before = routes.long();
        match step {
            Step::Set(network, len, leaf) => {
                touched.insert((network, len));
                let needs = len > 24 && !long_before.contains(&(network >> 8));
                let room = long_before.len() + waiting < GROUPS;
                match writer.set(prefix(network, len), leaf) {
                    Ok(()) => {
                        prop_assert!(room || !needs);
                        routes.0.insert((network, len), leaf);
                    }
                    Err(FibError::NoGroup { groups, .. }) => {
                        prop_assert!(needs && !room);
                        prop_assert_eq!(groups, GROUPS);
                    }
                }
            }
            Step::Remove(network, len) => {
                touched.insert((network, len));
                writer.remove(prefix(network, len));
                routes.0.remove(&(network, len));
                waiting += long_before.len() - routes.long().len();
                prop_assert!(waiting == 0 || writer.wants_epoch());
            }
            Step::Grace => {
                writer.retire(1);
                writer.reclaim(|_| true);
                prop_assert!(!writer.wants_epoch());
                waiting = 0;
            }
            Step::Restart(add, leave) => {
                for (network, len) in leave {
                    routes.0.remove(&(network, len));
                }
                for (network, len, leaf) in add {
                    touched.insert((network, len));
                    let mut more = routes.clone();
                    more.0.insert((network, len), leaf);
                    if more.long().len() <= GROUPS {
                        routes = more;
                    }
                }
                writer = restart(fib, &routes)?;
                waiting = 0;
            }
        }
        prop_assert_eq!(writer.len(), routes.0.len());
        compare(fib, &routes, &touched)?;
    }
    // The next case finds the table empty.
    let left: Vec<_> = routes.0.keys().copied().collect();
    for (network, len) in left {
        writer.remove(prefix(network, len));
        routes.0.remove(&(network, len));
    }
    compare(fib, &routes, &touched)
}

/// A successor with the routes as the store has them. Groups freed on the way need a grace period; then it goes on.
fn restart(fib: &Fib, routes: &Routes) -> Result<FibWriter, TestCaseError> {
    let mut writer = FibWriter::attach(fib.clone());
    for ((network, len), leaf) in &routes.0 {
        writer.load(prefix(*network, *len), *leaf);
    }
    while writer.reconcile().is_err() {
        prop_assert!(writer.wants_epoch(), "nothing will ever be free");
        writer.retire(1);
        writer.reclaim(|_| true);
    }
    prop_assert_eq!(writer.reconcile(), Ok(0), "a second time nothing differs");
    writer.retire(1);
    writer.reclaim(|_| true);
    Ok(writer)
}

#[test]
fn lookups_agree_with_a_list_of_routes_whatever_is_set_removed_or_restarted() {
    let fib = table();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(), |steps| {
        run(&fib, steps).inspect_err(|_| {
            // A smaller case, when one is looked for, must find the table empty.
            let wiped = FibWriter::attach(fib.clone()).reconcile();
            assert!(wiped.is_ok());
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn a_group_unlinked_by_a_dead_control_waits_for_a_grace_period() {
    let fib = table();
    let mut first = FibWriter::attach(fib.clone());
    for net in 0..GROUPS as u32 {
        first.set(prefix(net << 8 | 1, 32), Leaf::Local).unwrap();
    }
    first.remove(prefix(1, 32));
    drop(first);

    let mut second = FibWriter::attach(fib.clone());
    for net in 1..GROUPS as u32 {
        second.load(prefix(net << 8 | 1, 32), Leaf::Local);
    }
    assert_eq!(second.reconcile(), Ok(0));

    let wanted = prefix(9 << 8 | 1, 32);
    assert!(
        second.set(wanted, Leaf::Discard).is_err(),
        "a worker may still be in it"
    );
    assert_eq!(fib.lookup(9 << 8 | 1), Leaf::None);
    assert!(second.wants_epoch());
    second.retire(7);
    second.reclaim(|epoch| epoch == 7);
    second.set(wanted, Leaf::Discard).unwrap();
    assert_eq!(fib.lookup(9 << 8 | 1), Leaf::Discard);
}

#[test]
fn a_restart_that_lacks_groups_still_takes_out_what_is_gone() {
    let fib = table();
    let mut first = FibWriter::attach(fib.clone());
    first.set(prefix(200 << 24 | 5, 32), Leaf::Local).unwrap();
    first.set(prefix(201 << 24, 24), Leaf::Local).unwrap();
    drop(first);

    let mut second = FibWriter::attach(fib.clone());
    for net in 0..GROUPS as u32 {
        second.load(prefix(net << 8 | 1, 32), Leaf::Discard);
    }
    let error = second.reconcile().unwrap_err();

    assert!(error.to_string().contains("0.0.2.0/24"), "{error}");
    assert_eq!(fib.lookup(200 << 24 | 5), Leaf::None);
    assert_eq!(fib.lookup(201 << 24), Leaf::None);
    assert_eq!(fib.lookup(1), Leaf::Discard);
    second.retire(1);
    second.reclaim(|_| true);
    assert_eq!(second.reconcile(), Ok(1));
    assert_eq!(fib.lookup(2 << 8 | 1), Leaf::Discard);
}
