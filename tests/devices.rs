//! A worker on the devices of other machines' edges: memif between two processes, af_packet and af_xdp on interfaces of the kernel.
//! Frames pass whole, both ways, and none is lost at a modest rate. (vhost: vhost_pair.rs; TAPs: all other stories.) And several
//! queues: what a device that cannot spread is told, and what two lcores do whose queues bring each its own.
//!
//! The kernel takes the outer tag out of a frame for an AF_PACKET socket, and DPDK 22.11 puts it back as 0x8100, so that on its
//! interfaces that is the outer tag's type.

use std::net::Ipv4Addr;

use olt_sim::wire::MacAddr;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use sluice_tests::frames::{udp_frame, udp_packet};
use sluice_tests::pair::{Ends, Line, Pair, SESSIONS};
use sluice_tests::{PATIENCE, eventually};
use sluice_worker::testkit::pcap;
use sluice_worker::{Owners, Spread};

/// The mix has 64, 570 and 1,518 bytes in turn.
const SIZES: &str = "64,imix";

#[test]
fn frames_pass_memif_between_two_processes() {
    let pair = Pair::new();
    let socket = pair.path("memif.sock");
    let ends = |role: &str| Ends {
        devices: ["net_memif0", "net_memif1"],
        arguments: [0, 1].map(|id| {
            format!(
                "role={role},id={id},socket={},socket-abstract=no",
                socket.display()
            )
        }),
    };

    pair.passes_whole(&ends("server"), &ends("client"), SIZES);
}

#[test]
fn frames_pass_af_packet_on_interfaces_of_the_kernel() {
    let pair = Pair {
        outer_tpid: 0x8100,
        ..Pair::new()
    };
    let cables = cables(&pair);

    pair.passes_whole(
        &af_packet(cables.map(|cable| cable[0])),
        &af_packet(cables.map(|cable| cable[1])),
        SIZES,
    );
}

#[test]
fn frames_pass_af_xdp_on_interfaces_of_the_kernel() {
    // Asked of the kernel itself, so that nothing else is taken for its refusal.
    match socket(AddressFamily::from_raw(AF_XDP), SocketType::RAW, None) {
        Ok(_) => {}
        Err(Errno::AFNOSUPPORT) => {
            eprintln!("not run: this kernel is built without AF_XDP (EAFNOSUPPORT)");
            return;
        }
        Err(error) => panic!("an AF_XDP socket: {error}"),
    }
    let pair = Pair {
        outer_tpid: 0x8100,
        ..Pair::new()
    };
    let cables = cables(&pair);
    let [access, core] = cables.map(|cable| cable[0]);
    let worker = Ends {
        devices: ["net_af_xdp0", "net_af_xdp1"],
        arguments: [access, core].map(|interface| format!("iface={interface}")),
    };

    pair.passes_whole(&worker, &af_packet(cables.map(|cable| cable[1])), SIZES);
}

#[test]
fn a_device_that_cannot_spread_is_refused_by_name_where_that_is_asked_and_else_spread_in_software() {
    let nulls = Ends {
        devices: ["net_null0", "net_null1"],
        arguments: ["no-rx=1", "no-rx=1"].map(str::to_owned),
    };
    let mut pair = Pair {
        lcores: "0,1",
        queues: 2,
        spread: "nic",
        ..Pair::new()
    };
    assert_eq!(
        pair.refusal(&nulls),
        "port access0 (net_null0): worker.spread is \"nic\", but the net_null driver cannot hash the IPv4 source address alone"
    );

    pair.spread = "auto";
    let running = pair.start(&nulls);
    let log = running.worker.log();
    for (port, addresses) in [("access0", "source"), ("core0", "destination")] {
        let said = format!(
            "port {port}: spread in software: the net_null driver cannot hash the IPv4 {addresses} address alone"
        );
        assert!(log.contains(&said), "{log}");
    }
    // It took key and table for both addresses, which keeps a flow on its queue.
    assert!(!log.contains("of its hash"), "{log}");
    let device = running.telemetry.ask("/ethdev/info,0");
    assert_eq!(
        (&device["nb_rx_queues"], &device["nb_tx_queues"]),
        (&2.into(), &2.into()),
        "{device}"
    );
    running.worker.stop().unwrap();
}

/// Two queues a port that are files: whoever sorted the frames into them is the NIC.
#[test]
fn queues_that_bring_each_lcore_its_own_leave_nothing_to_hand_over_and_the_wrong_ones_everything() {
    for (sorted, handed_over) in [(Sorted::ByOwner, 0), (Sorted::Wrongly, u64::from(SESSIONS))] {
        let pair = Pair {
            lcores: "0,1",
            queues: 2,
            ..Pair::new()
        };
        let ends = files(&pair, sorted);

        let running = pair.start(&ends);

        let lcores = &running.control.tables.lcores;
        let sent = || {
            (0..2)
                .filter_map(|slot| lcores.get(slot))
                .map(|cells| cells.tx.get())
                .sum::<u64>()
        };
        eventually("all frames pass", PATIENCE, || sent() == 2 * u64::from(SESSIONS));
        let counts = running.telemetry.handoffs();
        for port in ["access0", "core0"] {
            let of_port = counts[&format!("{port}/0")] + counts[&format!("{port}/1")];
            assert_eq!(of_port, handed_over, "{sorted:?}: {counts:?}");
        }
        for slot in 0..2 {
            let cells = lcores.get(slot).unwrap();
            let owned = (0..SESSIONS).filter(|index| owner(*index) == slot).count() as u64;
            assert_eq!(cells.forwarded[0].get(), owned, "upstream, lcore {slot}");
            assert_eq!(cells.forwarded[1].get(), owned, "downstream, lcore {slot}");
        }
        running.worker.stop().unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sorted {
    ByOwner,
    Wrongly,
}

/// The lcore that owns a session, of two, where no NIC makes the rule.
fn owner(index: u32) -> usize {
    let owners = Owners::new(0, &[0, 1], Spread::Software);
    usize::from(owners.of(Line::of(index).ipv4.into()))
}

/// A frame of each session in either direction, sorted into two files a port. Queue 0 of port 0 is lcore 0's, and queue 0 of port 1
/// lcore 1's.
fn files(pair: &Pair, sorted: Sorted) -> Ends {
    let internet = Ipv4Addr::new(198, 51, 100, 1);
    let [access, core] = [1, 2].map(|last| MacAddr([2, 0, 0, 0, 0, last]));
    let mut frames = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for index in 0..SESSIONS {
        let line = Line::of(index);
        let up = udp_frame(
            access,
            line.mac,
            line.tags,
            (line.ipv4, 7000),
            (internet, 7000),
            &[7; 18],
        );
        let mut down = [&core.0[..], &[2, 0, 0, 0, 0, 3], &[0x08, 0x00]].concat();
        down.extend(udp_packet((internet, 7000), (line.ipv4, 7000), &[7; 18]));
        let wrong = usize::from(sorted == Sorted::Wrongly);
        frames[0][owner(index) ^ wrong].push(up);
        frames[1][owner(index) ^ wrong ^ 1].push(down);
    }
    let arguments = [0, 1].map(|port| {
        let queues = [0, 1].map(|queue| {
            let (from, to) = (
                pair.path(&format!("{port}-{queue}.in")),
                pair.path(&format!("{port}-{queue}.out")),
            );
            pcap::write(&from, &frames[port][queue]).unwrap();
            format!("rx_pcap={},tx_pcap={}", from.display(), to.display())
        });
        queues.join(",")
    });
    Ends {
        devices: ["net_pcap0", "net_pcap1"],
        arguments,
    }
}

/// linux/socket.h
const AF_XDP: u16 = 44;

fn af_packet(interfaces: [&str; 2]) -> Ends {
    Ends {
        devices: ["net_af_packet0", "net_af_packet1"],
        arguments: interfaces.map(|interface| format!("iface={interface}")),
    }
}

/// Two pairs of interfaces, the worker's end first, on which the kernel itself says nothing and changes nothing.
fn cables(pair: &Pair) -> [[&'static str; 2]; 2] {
    let cables = [["access-w", "access-t"], ["core-w", "core-t"]];
    let namespace = &pair.namespace;
    namespace
        .set_kernel("net/ipv6/conf/all/disable_ipv6", "1")
        .unwrap();
    namespace
        .set_kernel("net/ipv6/conf/default/disable_ipv6", "1")
        .unwrap();
    for [worker, tester] in cables {
        namespace
            .ip(&["link", "add", worker, "type", "veth", "peer", "name", tester])
            .unwrap();
        for interface in [worker, tester] {
            // Room for two tags, and no tag in metadata.
            namespace
                .ip(&["link", "set", interface, "mtu", "1600", "up"])
                .unwrap();
        }
    }
    cables
}
