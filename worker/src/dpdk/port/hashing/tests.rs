//! The hash as DPDK works it out, beside ours; and tables as ethdev wants them.

use super::*;
use crate::owner::{BUCKETS, Owners, Spread, nic_key};

/// DPDK's hash of words.
fn softrss(words: &mut [u32], key: &[u8]) -> u32 {
    // SAFETY: reads so many words, and four bytes of key more than there are words of input.
    unsafe { sys::shim_rte_softrss(words.as_mut_ptr(), words.len() as u32, key.as_ptr()) }
}

#[test]
fn dpdks_own_hash_brings_every_address_to_its_owner_from_either_place() {
    let key = nic_key(40);
    let owners = Owners::new(0, &[0, 1, 2, 3, 4], Spread::by_nic());

    for n in 0..50_000u32 {
        let address = n.wrapping_mul(0x9e37_79b1);
        let alone = softrss(&mut [address], &key) as usize;
        let first = softrss(&mut [address, 0], &key) as usize;
        let second = softrss(&mut [0, address], &key) as usize;
        assert_eq!((alone, alone), (first, second));
        assert_eq!(owners.of(address), (alone % BUCKETS % 5) as u8);
    }
}

#[test]
fn both_ways_of_a_flow_have_one_hash_where_both_addresses_are_hashed() {
    let key = nic_key(52);

    for n in 0..1000u32 {
        let (a, b) = (n.wrapping_mul(0x9e37_79b1), n.wrapping_mul(0x85eb_ca6b));
        assert_eq!(softrss(&mut [a, b], &key), softrss(&mut [b, a], &key));
    }
}

#[test]
fn a_table_is_cut_into_groups_of_64() {
    let queues: Vec<u16> = (0..130).collect();

    let groups = groups(&queues);

    assert_eq!(groups.len(), 3);
    assert_eq!(
        (groups[0].mask, groups[1].mask, groups[2].mask),
        (u64::MAX, u64::MAX, 3)
    );
    assert_eq!((groups[1].reta[0], groups[2].reta[1]), (64, 129));
}

#[test]
fn a_device_takes_a_table_that_its_own_can_repeat() {
    let mut able = Capabilities {
        driver: "any".to_owned(),
        rx_queues_max: 8,
        tx_queues_max: 8,
        frame_bytes_max: 1522,
        hashes_source: true,
        hashes_destination: false,
        hashes_ipv4: true,
        table_entries: 0,
        key_bytes: 0,
        socket: None,
    };
    for (entries, takes) in [
        (0, false),
        (64, false),
        (128, true),
        (200, false),
        (512, true),
        (2048, true),
        (4096, false),
    ] {
        able.table_entries = entries;
        assert_eq!(able.takes_table_of(BUCKETS), takes, "{entries}");
    }
    assert_eq!(able.key_len(), 40);
    able.key_bytes = 52;
    assert_eq!(able.key_len(), 52);
    assert!(able.can_hash(Addresses::Source) && !able.can_hash(Addresses::Destination));
}
