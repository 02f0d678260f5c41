//! Key and table on devices that have them. What a port was given is read back from the driver before it is believed.

use sluice_worker::dpdk::{Addresses, Hashing, Port, PortConfig, ReceiveSpread};
use sluice_worker::owner::{buckets, nic_key};

use crate::story::{config, in_own_network, in_own_process, pool, start};

const QUEUES: u8 = 4;

/// The tables of a port with [`QUEUES`] queues.
fn table() -> Vec<u16> {
    let numbers: Vec<u8> = (0..QUEUES).collect();
    buckets(&numbers).map(u16::from).to_vec()
}

fn hashed<'a>(device: &'a str, addresses: Addresses, key: &'a [u8], queues: &'a [u16]) -> PortConfig<'a> {
    PortConfig {
        rx_queues: u16::from(QUEUES),
        tx_queues: u16::from(QUEUES),
        spread: ReceiveSpread::Hashed(Hashing {
            addresses,
            key,
            queues,
        }),
        ..config(device)
    }
}

#[test]
fn a_device_holds_the_key_and_the_table_that_it_was_given() {
    let name = "hashing::a_device_holds_the_key_and_the_table_that_it_was_given";
    in_own_process(name, || {
        let eal = start(&["net_null0"]);
        let pool = pool(&eal, "null");
        let able = Port::capabilities(&eal, "access0", "net_null0").expect("capabilities");
        assert_eq!((able.table_entries, able.key_len()), (128, 40));
        assert!(able.can_hash(Addresses::Both) && !able.can_hash(Addresses::Source));
        let key = nic_key(able.key_len());
        let queues = table();

        let (port, receives, sends) =
            Port::open(&eal, &hashed("net_null0", Addresses::Both, &key, &queues), &pool).expect("net_null0");

        assert!(port.hashing_fault().is_none(), "{:?}", port.hashing_fault());
        assert_eq!((receives.len(), sends.len()), (4, 4));
    });
}

#[test]
fn a_device_that_hashes_less_than_is_asked_is_refused_by_name() {
    let name = "hashing::a_device_that_hashes_less_than_is_asked_is_refused_by_name";
    in_own_process(name, || {
        let eal = start(&["net_null0", "net_ring0"]);
        let pool = pool(&eal, "null");
        let (key, queues) = (nic_key(40), table());
        let refused = |device, addresses| {
            Port::open(&eal, &hashed(device, addresses, &key, &queues), &pool)
                .expect_err("a refusal")
                .to_string()
        };

        assert_eq!(
            refused("net_null0", Addresses::Source),
            "port access0 (net_null0): the net_null driver cannot hash the IPv4 source address alone"
        );
        assert_eq!(
            refused("net_ring0", Addresses::Both),
            "port access0 (net_ring0): the net_ring driver cannot hash IPv4 addresses"
        );
    });
}

#[test]
fn a_device_that_takes_no_key_is_open_all_the_same_and_says_so() {
    let name = "hashing::a_device_that_takes_no_key_is_open_all_the_same_and_says_so";
    in_own_network(name, || {
        let eal = start(&["net_tap0,iface=hash0"]);
        let pool = pool(&eal, "tap");
        let (key, queues) = (nic_key(40), table());

        let (port, receives, _sends) =
            Port::open(&eal, &hashed("net_tap0", Addresses::Both, &key, &queues), &pool).expect("net_tap0");

        let fault = port.hashing_fault().expect("a fault").to_string();
        assert_eq!(
            fault,
            "port access0 (net_tap0): set the key of its hash: Invalid argument (EINVAL)"
        );
        assert_eq!(receives.len(), 4);
    });
}
