//! A TAP device, which is what tests and the demo run on: tags stay where they are, and two of them fit.

use std::process::Command;
use std::time::{Duration, Instant};

use sluice_worker::dpdk::{Lcore, Port, PortConfig, RxQueue};

use crate::story::{config, frames, in_own_network, open, pool, receive, start};

#[test]
fn a_full_frame_with_two_tags_passes_a_tap_both_ways() {
    in_own_network("tap::a_full_frame_with_two_tags_passes_a_tap_both_ways", || {
        // Given a TAP that was made before, and libpcap on its kernel side (it puts a stripped tag back with its TPID)
        run("ip tuntap add access0 mode tap multi_queue vnet_hdr");
        run("ip link set access0 up");
        let eal = start(&["net_tap0,iface=access0", "net_pcap0,iface=access0"]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "tap");
        let (tap, mut tap_rx, mut tap_tx) = open(&eal, "net_tap0", &pool).expect("net_tap0");
        let other_side = PortConfig {
            name: "kernel",
            ..config("net_pcap0")
        };
        let (_kernel, mut rx, mut tx) = Port::open(&eal, &other_side, &pool).expect("net_pcap0");
        assert!(tap.link().up);
        assert_eq!(tap.frame_shortage(), None);
        assert!(
            run("ip -oneline link show access0").contains(" mtu 1508 "),
            "room for both tags"
        );

        let tagged = [
            &[2; 12][..],
            &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 0x88, 0xb5],
            &[9; 1500],
        ]
        .concat();
        let mut burst = frames(&lcore, &pool, 1);
        assert!(burst[0].fill(&tagged));
        assert_eq!(tx[0].send(&mut burst), 1);
        assert!(
            received_marked(&lcore, &mut tap_rx) == tagged,
            "kernel to DPDK: byte by byte, tags in the frame"
        );

        let mut burst = frames(&lcore, &pool, 1);
        assert!(burst[0].fill(&tagged));
        assert_eq!(tap_tx.send(&mut burst), 1);
        assert!(received_marked(&lcore, &mut rx[0]) == tagged, "DPDK to kernel");
    });
}

/// The first frame with our marks: the kernel says things of its own (IPv6 router solicitations) on a new interface.
fn received_marked(lcore: &Lcore, rx: &mut RxQueue) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        for mbuf in receive(lcore, rx, 1).iter_mut() {
            if mbuf.frame().ends_with(&[9; 1500]) {
                return mbuf.frame().to_vec();
            }
        }
    }
    Vec::new()
}

fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let output = Command::new(program).args(words).output().expect(line);
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
