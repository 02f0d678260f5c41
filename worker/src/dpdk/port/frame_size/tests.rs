//! The MTU that a device is asked for, by what its driver says. The figures are the drivers' own.

use super::*;
use crate::dpdk::{Promiscuous, ReceiveSpread};

fn device(max_mtu: u16, max_rx_pktlen: u32) -> sys::rte_eth_dev_info {
    sys::rte_eth_dev_info {
        max_mtu,
        max_rx_pktlen,
        ..Default::default()
    }
}

fn port(mtu: u16, tags: u16) -> PortConfig<'static> {
    PortConfig {
        name: "access0",
        device: "any",
        rx_queues: 1,
        tx_queues: 1,
        mtu,
        tags,
        promiscuous: Promiscuous::On,
        spread: ReceiveSpread::None,
    }
}

#[test]
fn a_nic_is_set_to_room_for_two_tags() {
    let ixgbe = device(15846, 15872);

    assert!(matches!(
        DeviceMtu::of(&ixgbe, "net_ixgbe", &port(1500, 2)),
        Some(DeviceMtu::WithTags(1508))
    ));
    assert!(matches!(
        DeviceMtu::of(&ixgbe, "net_ixgbe", &port(15838, 2)),
        Some(DeviceMtu::WithTags(15846))
    ));
    assert!(matches!(
        DeviceMtu::of(&ixgbe, "net_ixgbe", &port(15839, 2)),
        Some(DeviceMtu::Reduced(15846))
    ));
    assert!(DeviceMtu::of(&ixgbe, "net_ixgbe", &port(15847, 0)).is_none());
}

#[test]
fn a_tap_gets_its_mtu_past_the_driver_which_admits_less() {
    let net_tap = device(u16::MAX, 1522);

    assert!(matches!(
        DeviceMtu::of(&net_tap, "net_tap", &port(1500, 2)),
        Some(DeviceMtu::PastDriver {
            admitted: 1504,
            wanted: 1508
        })
    ));
    assert!(matches!(
        DeviceMtu::of(&net_tap, "net_tap", &port(1500, 0)),
        Some(DeviceMtu::WithTags(1500))
    ));
    assert!(DeviceMtu::of(&net_tap, "net_tap", &port(1505, 0)).is_none());
}

#[test]
fn a_driver_without_a_limit_takes_any_mtu() {
    let net_ring = device(u16::MAX, u32::MAX);

    assert!(matches!(
        DeviceMtu::of(&net_ring, "net_ring", &port(9000, 2)),
        Some(DeviceMtu::WithTags(9008))
    ));
}

#[test]
fn a_driver_that_says_less_than_needed_is_worth_a_warning() {
    let says = |frame_bytes_max| Capabilities {
        driver: "any".to_owned(),
        rx_queues_max: 1,
        tx_queues_max: 1,
        frame_bytes_max,
        hashes_source: false,
        hashes_destination: false,
        hashes_ipv4: false,
        table_entries: 0,
        key_bytes: 0,
        socket: None,
    };

    assert_eq!(FrameShortage::of(&port(1500, 2), &says(1522)), None);
    let shortage = FrameShortage {
        declared_bytes: 1518,
        needed_bytes: 1522,
    };
    assert_eq!(FrameShortage::of(&port(1500, 2), &says(1518)), Some(shortage));
    assert_eq!(FrameShortage::of(&port(1500, 0), &says(1518)), None);
}
