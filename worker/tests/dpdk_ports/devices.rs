//! Opening devices: what works with which driver, and what the refusals say.

use std::fs;

use sluice_worker::dpdk::{Mempool, MempoolConfig, Port, PortConfig};

use crate::story::{config, in_own_process, open, pool, receive, start};

#[test]
fn a_pcap_file_is_received_and_written_byte_by_byte() {
    in_own_process(
        "devices::a_pcap_file_is_received_and_written_byte_by_byte",
        || {
            let directory = tempfile::tempdir().expect("a directory");
            let (input, output) = (
                directory.path().join("in.pcap"),
                directory.path().join("out.pcap"),
            );
            let tagged = [
                &[2; 12][..],
                &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0],
                &[0x45; 50],
            ]
            .concat();
            let plain = [&[4; 12][..], &[8, 0], &[0x45; 46]].concat();
            fs::write(&input, pcap(&[&tagged, &plain])).expect("write the input");
            let device = format!(
                "net_pcap0,rx_pcap={},tx_pcap={}",
                input.display(),
                output.display()
            );

            let eal = start(&[&device]);
            let lcore = eal.main_lcore();
            let pool = pool(&eal, "pcap");
            let (port, mut rx, mut tx) = open(&eal, "net_pcap0", &pool).expect("net_pcap0");
            let mut burst = receive(&lcore, &mut rx, 2);
            assert_eq!(burst.len(), 2);
            assert_eq!(burst[0].frame(), tagged);
            assert_eq!(burst[1].frame(), plain);
            assert_eq!(tx.send(&mut burst), 2);

            let stats = port.stats();
            assert_eq!((stats.rx_packets, stats.tx_packets), (2, 2));
            assert_eq!(stats.rx_bytes, (tagged.len() + plain.len()) as u64);
            drop((port, rx, tx));
            assert_eq!(pool.in_use(), 0);
            assert_eq!(
                frames_of(&fs::read(&output).expect("read the output")),
                [tagged, plain]
            );
        },
    );
}

#[test]
fn every_driver_is_found_without_naming_its_library() {
    in_own_process(
        "devices::every_driver_is_found_without_naming_its_library",
        || {
            let eal = start(&["net_null0", "net_ring0", "net_memif0"]);

            let driver = |device| Port::capabilities(&eal, "access0", device).expect(device).driver;

            assert_eq!(driver("net_null0"), "net_null");
            assert_eq!(driver("net_ring0"), "net_ring");
            assert_eq!(driver("net_memif0"), "net_memif");
        },
    );
}

#[test]
fn several_queues_come_in_order() {
    in_own_process("devices::several_queues_come_in_order", || {
        let eal = start(&["net_null0"]);
        let pool = pool(&eal, "null");
        let config = PortConfig {
            tx_queues: 3,
            ..config("net_null0")
        };

        let (port, rx, tx) = Port::open(&eal, &config, &pool).expect("net_null0");

        assert_eq!(rx.iter().map(|queue| queue.queue()).collect::<Vec<_>>(), [0]);
        assert_eq!(
            tx.iter().map(|queue| queue.queue()).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(tx[2].port_name(), "access0");
        assert!(port.link().up);
        assert!(port.device_mac().is_some());
    });
}

#[test]
fn a_refusal_names_port_device_and_reason() {
    in_own_process("devices::a_refusal_names_port_device_and_reason", || {
        let eal = start(&["net_null0", "net_pcap0,iface=lo", "net_memif0"]);
        let pool = pool(&eal, "null");
        let refusal = |config: PortConfig<'_>| {
            Port::open(&eal, &config, &pool)
                .expect_err("a refusal")
                .to_string()
        };

        assert_eq!(
            refusal(config("net_tap7")),
            "port access0: no device \"net_tap7\" (EAL has net_null0, net_pcap0, net_memif0); give EAL its --vdev or -a"
        );
        assert_eq!(
            refusal(PortConfig {
                tx_queues: 2,
                ..config("net_pcap0")
            }),
            "port access0 (net_pcap0): 2 transmit queues wanted, the net_pcap driver has at most 1"
        );
        assert_eq!(
            refusal(PortConfig {
                rx_queues: 2,
                ..config("net_null0")
            }),
            "port access0 (net_null0): 2 receive queues, and nothing says how to choose among them"
        );
    });
}

#[test]
fn a_pool_that_cannot_be_is_refused_by_name() {
    in_own_process("devices::a_pool_that_cannot_be_is_refused_by_name", || {
        let eal = start(&[]);
        let refusal = |name, mbufs, frame_bytes_max| {
            let config = MempoolConfig {
                name,
                mbufs,
                frame_bytes_max,
                socket: None,
            };
            Mempool::create(&eal, &config).expect_err("a refusal").to_string()
        };

        assert!(
            refusal("a-name-of-twenty-six-bytes", 64, 2048)
                .starts_with("mempool name \"a-name-of-twenty-six")
        );
        assert!(refusal("wide", 64, u16::MAX).contains("frames of 65535 bytes do not fit"));
        let too_many = refusal("large", 1 << 20, 2048);
        assert!(
            too_many.starts_with("mempool large: 1048576 mbufs of 2176 bytes on any socket: "),
            "{too_many}"
        );
        assert!(too_many.ends_with("(ENOMEM)"), "{too_many}");
    });
}

/// A classic pcap file, little endian, Ethernet.
fn pcap(frames: &[&[u8]]) -> Vec<u8> {
    let word = |value: u32| value.to_le_bytes();
    let mut file = [
        word(0xa1b2_c3d4),
        [2, 0, 4, 0],
        word(0),
        word(0),
        word(65535),
        word(1),
    ]
    .concat();
    for frame in frames {
        let len = word(frame.len() as u32);
        file.extend([word(0), word(0), len, len].concat());
        file.extend_from_slice(frame);
    }
    file
}

fn frames_of(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        frames.push(body[..len].to_vec());
        rest = &body[len..];
    }
    frames
}
