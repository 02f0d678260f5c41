//! Every reader over memory that somebody filled with anything (law 4: nothing read from the other process is trusted). The
//! mappings are exact, so a read beyond a table's end would be a fault or another table; overflow checks are on in tests.

use std::net::Ipv4Addr;

use super::*;
use crate::access::{AccessKey, AccessWriter, Found, LineModel, PORTS_MAX};
use crate::adjacency::AdjacencyIndex;
use crate::counters::LcoreCells;
use crate::fib::{FibWriter, Leaf, Prefix};
use crate::garden::Flow;
use crate::ring::{self, FRAME_MAX};
use crate::session::{Direction, SessionIndex};

const GEOMETRY: Geometry = Geometry {
    sessions: 64,
    adjacencies: 3,
    policer_profiles: 5,
    garden_rules: 7,
    svlan_blocks: 2,
    tbl8_groups: 2,
    lcores: 2,
    ring_slots: 4,
};

/// Words that look random (xorshift64*), and in turn the ones that break things: ends of ranges, small numbers, numbers just
/// past a table.
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        match random >> 61 {
            0 => u64::MAX,
            1 => random & 0xff,
            2 => 1 << (random & 63),
            3 => (random & 0x7f) << 32 | random & 0x7f,
            // Directory and FIB words: two of 32 bits with a kind in the upper ones and small values.
            4 => random & 0xe000_007f_e000_007f,
            5 => random & 0xc000_0003_c000_0003,
            _ => random,
        }
    }
}

fn fill(mapping: &Arc<Mapping>, noise: &mut Noise) {
    for cell in Shared::<AtomicU64>::new(mapping, 0, mapping.len() / 8).iter() {
        cell.store(noise.word(), Ordering::Relaxed);
    }
}

/// Calls what a worker calls on control's region, and checks what it may rely on.
fn read_as_worker(tables: &Tables, noise: &mut Noise) {
    let _ = (
        tables.epoch(),
        tables.control_generation(),
        tables.control_heartbeat_ns(),
    );
    for _ in 0..5000 {
        let word = noise.word();
        let key = AccessKey {
            port: word as u16,
            s_vlan: (word >> 16) as u16 % 5000,
            c_vlan: (word >> 32) as u16 % 5000,
            mac: noise.word() >> 16,
        };
        for port in [key.port, key.port % PORTS_MAX as u16] {
            let key = AccessKey { port, ..key };
            let _ = (
                tables.access.slot(port, key.s_vlan, key.c_vlan),
                tables.access.candidate(&key, &tables.rows),
            );
            if let Found::Session(index) = tables.access.lookup(&key, &tables.rows) {
                let row = tables
                    .rows
                    .get(index)
                    .expect("a session that was found is in the table");
                assert_eq!(
                    (row.port(), row.tags_and_mtu().0, row.tags_and_mtu().1),
                    (port, key.s_vlan, key.c_vlan)
                );
            }
        }
        let address = noise.word() as u32;
        let _ = tables.fib.group_cell(address);
        match tables.fib.lookup(address) {
            Leaf::Adjacency(index) => {
                let _ = (tables.adjacencies.get(index), tables.adjacencies.address(index));
            }
            Leaf::Session(index) => {
                let _ = tables.rows.get(index).map(|row| (row.read(), row.is_sealed()));
            }
            Leaf::None | Leaf::Discard | Leaf::Local | Leaf::Glean(_) => {}
        }
        let flow = Flow {
            far_address: address,
            protocol: word as u8,
            far_port: (word & 1 == 0).then_some((word >> 8) as u16),
        };
        let _ = (
            tables.gardens.judge(word as u8, &flow),
            tables.gardens.index().cell(tables.gardens.index().walk(address)),
            tables.gardens.read(word as u8),
        );
        if let Some(profile) = tables.policers.get(word as u16 % 8) {
            let _ = (
                profile.conform(noise.word(), noise.word(), noise.word() as u32),
                profile.is_unlimited(),
            );
        }
        if let Some(row) = SessionIndex::new(word as u32 % 70).and_then(|index| tables.rows.get(index)) {
            let policy = row.policy();
            let _ = (policy.state(), policy.garden(), policy.is_isolated());
            let _ = Direction::ALL.map(|direction| tables.policers.get(policy.policer(direction)));
            assert!(row.prefix_len() <= 32 && row.read().prefix_len <= 32);
        }
    }
    assert_eq!(tables.adjacencies.get(AdjacencyIndex(3)), None);
    assert_eq!(tables.policers.get(5), None);
}

/// Calls what control and an observer call on the workers' region.
fn read_as_control(tables: &Tables) {
    let _ = (tables.worker_generation(), tables.worker_started_ns());
    for (slot, lcore) in tables.lcores.used() {
        let _ = (
            lcore.dropped(),
            lcore.punted(),
            lcore.in_hand(),
            lcore.port(slot),
            lcore.port(99).is_none(),
        );
    }
    let _ = (tables.lcores.drops().count(), tables.lcores.punts().count());
    let _ = (
        tables.lcores.sum(|lcore| &lcore.rx),
        tables.lcores.get(9).is_none(),
    );
    let _ = epoch::all_reached(7, tables.lcores.epochs());
    for lcore in 0..3 {
        let cost = tables.costs.get(lcore).map(|cost| cost.read());
        let _ = cost.map(|cost| (cost.tsc(|_| true), cost.since(&cost)));
    }
    for direction in Direction::ALL {
        for lcore in 0..3 {
            let _ = tables
                .latencies
                .get(lcore, direction)
                .map(|histogram| histogram.read());
        }
        for index in tables.rows.indexes() {
            let state = tables.states.get(index).expect("as many states as rows");
            let traffic = state.direction(direction).traffic();
            let _ = (
                traffic.since(Default::default()),
                state.direction(direction).arrival(),
            );
        }
    }
    for port in 0..PORTS_MAX + 1 {
        let _ = tables.ports.get(port).map(|port| port.read());
    }
}

fn drain(rings: &mut [ring::Consumer]) {
    for ring in rings {
        let mut out = Vec::new();
        for _ in 0..20 {
            let _ = (ring.has_frames(), ring.depth());
            assert!(ring.pop(&mut out).is_none() || out.len() <= FRAME_MAX);
        }
        assert!(ring.depth() <= u64::from(GEOMETRY.ring_slots));
    }
}

fn stuff(rings: &mut [ring::Producer]) {
    for ring in rings {
        for _ in 0..20 {
            let _ = ring.push(&ring::About::default(), &[7; 100]);
        }
    }
}

#[test]
fn no_content_of_the_others_region_makes_a_reader_panic_or_stray() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        let file = Segment::in_memory(&GEOMETRY).unwrap();
        let map = |role| Segment::map_memory(&file, &GEOMETRY, role).unwrap();
        let (of_control, of_worker) = (map(Role::Control), map(Role::Worker));

        // Each side over a good region of its own and a wild one of the other's, which turns wild while it runs.
        let mut control = ControlSide::new(map(Role::Control), &GEOMETRY).unwrap();
        let mut worker = WorkerSide::new(map(Role::Worker), &GEOMETRY, 0);
        fill(&of_worker.worker, &mut noise);
        read_as_control(&control.tables);
        drain(&mut control.punts);
        stuff(&mut control.injects);
        let opened = control.advance_epoch();
        let _ = control.epoch_reached(opened);

        fill(&of_control.control, &mut noise);
        read_as_worker(&worker.tables, &mut noise);
        drain(&mut worker.injects);
        stuff(&mut worker.punts);

        // Whoever comes anew, and an observer, over two wild regions.
        let observer = Tables::new(&map(Role::Observer));
        read_as_worker(&observer, &mut noise);
        read_as_control(&observer);
        let mut worker = WorkerSide::new(map(Role::Worker), &GEOMETRY, 0);
        drain(&mut worker.injects);
        stuff(&mut worker.punts);
        assert!(
            worker
                .tables
                .lcores
                .epochs()
                .all(|slot| slot.load(Ordering::Relaxed) == epoch::OFFLINE)
        );
        assert!(
            worker
                .tables
                .lcores
                .0
                .iter()
                .all(|lcore: &LcoreCells| lcore.in_hand() == 0)
        );
        let mut control = ControlSide::new(map(Role::Control), &GEOMETRY).unwrap();
        drain(&mut control.punts);
        stuff(&mut control.injects);
        take_over(&control);
    }
}

/// A successor whose predecessor left anything at all: it reads the intent, and ends with tables that say what it was told.
fn take_over(control: &ControlSide) {
    let tables = &control.tables;
    if let Some(intent) = control.intent.read() {
        let _ = [intent.old, intent.new].map(|index| index.and_then(|index| tables.rows.get(index)));
    }
    let mut fib = FibWriter::attach(tables.fib.clone());
    fib.retire(1);
    fib.reclaim(|_| true);
    fib.load(Prefix::new(Ipv4Addr::new(10, 0, 0, 0), 8), Leaf::Discard);
    fib.load(Prefix::host(Ipv4Addr::new(10, 0, 0, 1)), Leaf::Local);
    while fib.reconcile().is_err() {
        assert!(fib.wants_epoch());
        fib.retire(2);
        fib.reclaim(|_| true);
    }
    assert_eq!(tables.fib.lookup(0x0a00_0001), Leaf::Local);
    assert_eq!(tables.fib.lookup(0x0a00_0002), Leaf::Discard);
    assert_eq!(tables.fib.lookup(0x0b00_0002), Leaf::None);

    let mut access = AccessWriter::attach(tables.access.clone());
    for port in 0..PORTS_MAX as u16 {
        for s_vlan in 0..4096 {
            access.configure(port, s_vlan, None);
        }
    }
    access.sweep(|_| false);
    access.configure(3, 100, Some(LineModel::OneToOne));
    let key = AccessKey {
        port: 3,
        s_vlan: 100,
        c_vlan: 7,
        mac: 1,
    };
    let index = SessionIndex::new(9).unwrap();
    tables.rows.get(index).unwrap().fill(&crate::session::Row::ipv4(
        Ipv4Addr::LOCALHOST,
        32,
        3,
        100,
        7,
        [0, 0, 0, 0, 0, 1],
    ));
    access.set(&key, index, &tables.rows).unwrap();
    assert_eq!(tables.access.lookup(&key, &tables.rows), Found::Session(index));
}
