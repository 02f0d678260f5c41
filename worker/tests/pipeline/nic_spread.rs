//! A NIC that spreads, simulated: it finds the IPv4 header behind the tags, hashes one address with the key it was given, and its table
//! says the queue. Each packet lands with its owner.
//!
//! The hash is worked out anew here, bit by bit over the whole input as Microsoft's "RSS hashing functions" says it.

use sluice_worker::owner::{BUCKETS, buckets, nic_key};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{Owners, Spread, Verdict, Way};

const LCORES: [u8; 4] = [0, 1, 2, 3];
const SUBSCRIBERS: u16 = 500;
/// What a frame carries before its IPv4 header, and where the addresses stand in that.
const TAGGED: usize = 22;
const UNTAGGED: usize = 14;
const SOURCE: usize = 12;
const DESTINATION: usize = 16;

/// A NIC as it was set up: RSS with our key and table.
struct Nic {
    key: Vec<u8>,
    table: Vec<u8>,
    /// Where the one address stands in what is hashed: some NICs hash it alone, others leave the rest zero.
    place: usize,
    /// The most tags behind which it finds an address.
    tags: usize,
}

impl Nic {
    fn new(table_entries: usize, key_bytes: usize, place: usize, tags: usize) -> Nic {
        let table = buckets(&LCORES).into_iter().cycle().take(table_entries);
        Nic {
            key: nic_key(key_bytes),
            table: table.collect(),
            place,
            tags,
        }
    }

    /// The queue for a frame that came to the access port or to the core port.
    fn queue(&self, port: u8, frame: &[u8]) -> u8 {
        let (header, tags, address) = match port {
            ACCESS => (TAGGED, 2, SOURCE),
            _ => (UNTAGGED, 0, DESTINATION),
        };
        let mut input = [0; 8];
        if tags <= self.tags {
            input[self.place..self.place + 4].copy_from_slice(&frame[header + address..header + address + 4]);
        }
        self.table[self.hash(&input) as usize % self.table.len()]
    }

    fn hash(&self, input: &[u8]) -> u32 {
        let bit = |bytes: &[u8], n: usize| bytes[n / 8] >> (7 - n % 8) & 1;
        (0..input.len() * 8)
            .filter(|n| bit(input, *n) == 1)
            .fold(0, |hash, n| {
                let window = (n..n + 32).fold(0, |word, n| word << 1 | u32::from(bit(&self.key, n)));
                hash ^ window
            })
    }
}

fn owners(me: u8) -> Owners {
    Owners::new(me, &LCORES, Spread::by_nic())
}

/// A world with so many subscribers, and a frame of each for either port.
fn world() -> (World, Vec<(u8, Vec<u8>)>) {
    let mut world = World::new();
    let mut frames = Vec::new();
    for host in 1..=SUBSCRIBERS {
        let line = world.subscribe(Subscriber::on_line(100 + host % 10, host));
        frames.push((ACCESS, line.frame(packet::udp(line.ipv4, INTERNET, host, 53))));
        frames.push((CORE, from_core(packet::udp(INTERNET, line.ipv4, 53, host))));
    }
    (world, frames)
}

#[test]
fn every_packet_lands_with_its_owner_and_none_is_handed_over() {
    // The smallest table and the largest, a key of each usual length, the address first, second or alone.
    for (entries, key, place) in [(BUCKETS, 40, 0), (512, 52, 4), (2048, 40, 0)] {
        let (access, core) = (
            Nic::new(entries, key, place, 2),
            Nic::new(entries, key, 4 - place, 2),
        );
        let (mut world, frames) = world();
        let mut by_lcore = [0usize; LCORES.len()];

        for (port, frame) in &frames {
            let nic = if *port == ACCESS { &access } else { &core };
            let queue = nic.queue(*port, frame);
            world.own(owners(queue));
            let out = if *port == ACCESS { CORE } else { ACCESS };
            world.summary(*port, frame).assert_forwarded(out);
            by_lcore[usize::from(queue)] += 1;
        }

        let even = frames.len() / LCORES.len();
        assert!(
            by_lcore.iter().all(|count| count.abs_diff(even) < even / 4),
            "{by_lcore:?}"
        );
    }
}

#[test]
fn what_a_nic_cannot_see_behind_two_tags_comes_to_one_lcore_and_is_handed_to_its_owner() {
    let nic = Nic::new(512, 40, 0, 1);
    let (mut world, frames) = world();
    let (mut forwarded, mut handed_over) = (0, 0);

    for (port, frame) in &frames {
        let queue = nic.queue(*port, frame);
        world.own(owners(queue));
        let summary = world.summary(*port, frame);
        match summary.verdict() {
            Verdict::HandOver { slot, way } => {
                assert_eq!((*port, queue, way), (ACCESS, 0, Way::Whole));
                assert_ne!(slot, queue);
                handed_over += 1;
                world.own(owners(slot));
                world
                    .summary(ACCESS, &summary.outs[0].bytes)
                    .assert_forwarded(CORE);
            }
            verdict => assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}"),
        }
        forwarded += 1;
    }

    assert_eq!(forwarded, frames.len());
    // Three of four owners of what came upstream are other lcores; downstream has no tags.
    let expected = usize::from(SUBSCRIBERS) * 3 / 4;
    assert!(
        handed_over > expected * 9 / 10 && handed_over < expected * 11 / 10,
        "{handed_over}"
    );
}
