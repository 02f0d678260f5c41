//! Neighbours' lives, told in seconds.

use super::*;

const GATEWAY: Hop = Hop {
    port: 1,
    address: Ipv4Addr::new(192, 0, 2, 1),
};
const HOST: Hop = Hop {
    port: 1,
    address: Ipv4Addr::new(192, 0, 2, 77),
};
const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 10]);

/// Lets time pass to `until` seconds, in tenths, and gathers what is to be done.
fn pass(neighbours: &mut Neighbours, from: u64, until: u64) -> Vec<Act> {
    let mut acts = Vec::new();
    for tenth in from * 10..=until * 10 {
        neighbours.tick(tenth * SECOND / 10, &mut acts);
    }
    acts
}

fn known(now: u64) -> Neighbours {
    let (mut neighbours, mut acts) = (Neighbours::default(), Vec::new());
    neighbours.keep(now, GATEWAY, &mut acts);
    neighbours.heard(now, GATEWAY, MAC, &mut acts);
    assert_eq!(
        acts,
        [
            Act::Ask {
                hop: GATEWAY,
                to: None
            },
            Act::Resolved {
                hop: GATEWAY,
                mac: MAC
            }
        ]
    );
    neighbours
}

#[test]
fn a_gateway_that_answers_is_confirmed_before_it_is_forgotten() {
    let mut neighbours = known(0);

    let acts = pass(&mut neighbours, 0, 30);
    assert_eq!(
        acts,
        [Act::Ask {
            hop: GATEWAY,
            to: Some(MAC)
        }]
    );
    assert_eq!(
        neighbours.mac(GATEWAY),
        Some(MAC),
        "it is used while it is confirmed"
    );

    let mut acts = Vec::new();
    neighbours.heard(30 * SECOND, GATEWAY, MAC, &mut acts);
    assert_eq!(acts, [], "nothing changed");
}

#[test]
fn a_gateway_that_is_gone_is_lost_and_asked_for_for_ever() {
    let mut neighbours = known(0);

    let acts = pass(&mut neighbours, 0, 40);

    assert!(
        acts.contains(&Act::Ask {
            hop: GATEWAY,
            to: None
        }),
        "everybody is asked: {acts:?}"
    );
    assert_eq!(
        acts.iter()
            .filter(|act| **act == Act::Lost { hop: GATEWAY })
            .count(),
        1
    );
    assert_eq!(neighbours.mac(GATEWAY), None);
    assert!(pass(&mut neighbours, 40, 300).contains(&Act::Ask {
        hop: GATEWAY,
        to: None
    }));

    let mut acts = Vec::new();
    neighbours.heard(300 * SECOND, GATEWAY, OTHER, &mut acts);
    assert_eq!(
        acts,
        [Act::Resolved {
            hop: GATEWAY,
            mac: OTHER
        }]
    );
}

#[test]
fn a_gateway_with_a_new_card_is_followed_at_its_announcement() {
    let mut neighbours = known(0);
    let mut acts = Vec::new();

    neighbours.heard(SECOND, GATEWAY, OTHER, &mut acts);

    assert_eq!(
        acts,
        [Act::Resolved {
            hop: GATEWAY,
            mac: OTHER
        }]
    );
}

#[test]
fn who_was_not_asked_about_is_not_learnt() {
    let mut neighbours = known(0);
    let mut acts = Vec::new();

    neighbours.heard(SECOND, HOST, OTHER, &mut acts);

    assert_eq!((acts.len(), neighbours.mac(HOST)), (0, None));
}

#[test]
fn a_host_that_nobody_is_comes_to_nothing_and_may_be_asked_for_again() {
    let (mut neighbours, mut acts) = (Neighbours::default(), Vec::new());
    neighbours.wanted(0, HOST, &mut acts);
    // More packets ask for nothing more.
    neighbours.wanted(1, HOST, &mut acts);
    assert_eq!(acts, [Act::Ask { hop: HOST, to: None }]);

    let acts = pass(&mut neighbours, 0, 20);

    assert_eq!(acts.len(), TRIES as usize, "{acts:?}");
    assert_eq!(acts.last(), Some(&Act::Forgotten { hop: HOST }));
    assert!(neighbours.is_empty());
}

#[test]
fn a_scan_of_a_connected_network_is_bounded() {
    let (mut neighbours, mut acts) = (Neighbours::default(), Vec::new());
    for host in 0..2 * GLEANED_MAX as u32 {
        let hop = Hop {
            port: 1,
            address: Ipv4Addr::from(0xc000_0200 + host),
        };
        neighbours.wanted(0, hop, &mut acts);
    }

    assert_eq!(
        (neighbours.len(), neighbours.refused()),
        (GLEANED_MAX, GLEANED_MAX as u64)
    );
}

#[test]
fn what_an_earlier_control_knew_is_used_at_once_and_confirmed() {
    let mut neighbours = Neighbours::default();
    neighbours.keep_known(0, GATEWAY, MAC, false);

    assert_eq!(neighbours.mac(GATEWAY), Some(MAC));
    assert_eq!(
        pass(&mut neighbours, 0, 0),
        [Act::Ask {
            hop: GATEWAY,
            to: Some(MAC)
        }]
    );
}
