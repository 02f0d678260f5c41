//! What is decided for NICs of several kinds. What their drivers say is from their sources (DPDK 22.11).

use sluice_config::Config;

use super::*;

fn nic(driver: &str) -> Capabilities {
    Capabilities {
        driver: driver.to_owned(),
        rx_queues_max: 64,
        tx_queues_max: 64,
        frame_bytes_max: 9600,
        hashes_source: true,
        hashes_destination: true,
        hashes_ipv4: true,
        table_entries: 512,
        key_bytes: 40,
        socket: None,
    }
}

/// Hashes both addresses and nothing less.
fn null() -> Capabilities {
    Capabilities {
        hashes_source: false,
        hashes_destination: false,
        table_entries: 128,
        key_bytes: 0,
        ..nic("net_null")
    }
}

fn memif() -> Capabilities {
    Capabilities {
        hashes_ipv4: false,
        table_entries: 0,
        ..Capabilities {
            driver: "net_memif".to_owned(),
            ..null()
        }
    }
}

/// The annotated example, whose two ports have so many queues.
fn config(spread: &str, queues: u16) -> Config {
    let text = include_str!("../../../../config/sluice.toml")
        .replace("spread = \"auto\"", &format!("spread = \"{spread}\""))
        .replace("queues = 1", &format!("queues = {queues}"));
    let config = Config::parse("sluice.toml", &text).unwrap();
    assert!(config.ports.iter().all(|port| port.queues == queues));
    config
}

fn plan(config: &Config, able: [Capabilities; 2], lcores: usize) -> Reception {
    Reception::plan(config, &able, lcores).unwrap()
}

#[test]
fn nics_that_hash_the_subscribers_address_spread_and_each_queue_is_its_owners() {
    let config = config("auto", 4);
    let reception = plan(&config, [nic("mlx5_pci"), nic("mlx5_pci")], 4);

    assert_eq!(reception.spread, Spread::by_nic());
    for (index, (port, addresses)) in reception
        .ports
        .iter()
        .zip([Addresses::Source, Addresses::Destination])
        .enumerate()
    {
        assert_eq!((port.queues, &port.how), (4, &How::ByNic(addresses)));
        let ReceiveSpread::Hashed(hashing) = port.receive_spread() else {
            panic!("{port:?}");
        };
        assert_eq!((hashing.addresses, hashing.key.len()), (addresses, 40));
        let owners = buckets(&[0, 1, 2, 3]);
        for (entry, queue) in hashing.queues.iter().enumerate() {
            let lcore = port.lcore_of(index, usize::from(*queue), 4);
            assert_eq!(lcore, usize::from(owners[entry]));
        }
    }
    assert_eq!(
        reception.ports[0].to_string(),
        "spread over 4 lcores by the NIC, which hashes the IPv4 source address alone"
    );
}

#[test]
fn what_a_nic_lacks_is_said_and_its_packets_are_handed_over() {
    let few = |entries| Capabilities {
        table_entries: entries,
        ..nic("net_few")
    };
    let narrow = Capabilities {
        rx_queues_max: 1,
        ..nic("net_narrow")
    };
    for (able, queues, said) in [
        (
            null(),
            2,
            "the net_null driver cannot hash the IPv4 source address alone",
        ),
        (
            few(64),
            2,
            "the net_few driver's table has 64 entries, and a multiple of 128 is needed",
        ),
        (
            narrow,
            1,
            "the net_narrow driver has 1 receive queues at most, for 2 lcores",
        ),
        (nic("mlx5_pci"), 1, "access0.queues is 1, and the lcores are 2"),
    ] {
        let config_auto = config("auto", queues);
        let reception = plan(&config_auto, [able.clone(), memif()], 2);
        assert_eq!(reception.spread, Spread::Software);
        assert_eq!(
            reception.ports[0].to_string(),
            format!("spread in software: {said}")
        );
        assert_eq!(reception.ports[0].queues, queues);

        let refused = Reception::plan(&config("nic", queues), &[able, memif()], 2).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("port access0 (net_tap0): worker.spread is \"nic\", but {said}")
        );
    }
}

#[test]
fn one_nic_that_spreads_makes_the_rule_for_all_ports() {
    let config = config("auto", 2);
    let reception = plan(&config, [nic("mlx5_pci"), memif()], 2);

    assert_eq!(reception.spread, Spread::by_nic());
    assert!(reception.ports[0].is_by_nic() && !reception.ports[1].is_by_nic());
    assert_eq!(reception.ports[1].receive_spread(), ReceiveSpread::Arbitrary);
    // Port 1 begins at lcore 1.
    assert_eq!(
        [0, 1].map(|queue| reception.ports[1].lcore_of(1, queue, 2)),
        [1, 0]
    );
}

#[test]
fn in_software_several_queues_keep_a_flow_together_where_the_nic_can() {
    let config = config("software", 3);
    let reception = plan(&config, [null(), memif()], 2);

    let ReceiveSpread::Hashed(hashing) = reception.ports[0].receive_spread() else {
        panic!("{reception:?}");
    };
    assert_eq!((hashing.addresses, hashing.key.len()), (Addresses::Both, 40));
    assert_eq!(hashing.queues[..4], [0, 1, 2, 0]);
    assert_eq!(
        reception.ports[0].to_string(),
        "spread in software: worker.spread asks for it"
    );
    assert_eq!(reception.ports[1].receive_spread(), ReceiveSpread::Arbitrary);
}

#[test]
fn one_lcore_needs_no_spread_whatever_is_asked() {
    for wish in ["auto", "nic", "software"] {
        let reception = plan(&config(wish, 1), [null(), memif()], 1);
        for port in &reception.ports {
            assert_eq!((port.queues, &port.how), (1, &How::Alone));
            assert_eq!(port.receive_spread(), ReceiveSpread::None);
        }
    }
}

#[test]
fn a_tap_has_a_queue_for_each_lcore() {
    let tap = Capabilities {
        driver: "net_tap".to_owned(),
        table_entries: 0,
        ..null()
    };
    let reception = plan(&config("auto", 1), [tap.clone(), tap], 2);

    for port in &reception.ports {
        assert_eq!(
            (port.queues, port.receive_spread()),
            (2, ReceiveSpread::Arbitrary)
        );
    }
}

#[test]
fn a_nic_that_does_not_do_what_it_said_is_complained_of_once() {
    let meter = HandoffMeter::default();
    let mut strays = Strays {
        meters: vec![meter.clone(), HandoffMeter::default()],
        spread_by: Some("mlx5_pci".to_owned()),
    };
    meter.add(9_999);
    assert_eq!(strays.complaint(9_999), None, "too few to judge");
    assert_eq!(
        strays.complaint(1_000_000),
        None,
        "a few that came before the table was set"
    );

    let said = strays.complaint(20_000).unwrap();

    assert!(
        said.starts_with("9999 of 20000 packets came to another lcore"),
        "{said}"
    );
    assert!(said.contains("(mlx5_pci)"), "{said}");
    assert_eq!(strays.complaint(30_000), None, "once");

    let mut software = Strays {
        spread_by: None,
        ..strays
    };
    assert_eq!(software.complaint(20_000), None);
}
