//! What a lookup costs with full tables, one after another with nothing prefetched, and how full hash buckets get.
//!
//! `cargo run --release -p shm-bridge --example lookup_cost`

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use shm_bridge::SessionIndex;
use shm_bridge::access::{AccessKey, AccessWriter, Found, LineModel};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::layout::Geometry;
use shm_bridge::session::{Row, mac_from_bits};
use shm_bridge::sides::{Tables, in_memory};

const LOOKUPS: usize = 4_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for sessions in [65_536u32, 1 << 20] {
        println!("{} sessions", sessions - 1);
        let geometry = Geometry {
            sessions,
            svlan_blocks: 256,
            tbl8_groups: (sessions / 256).max(1),
            lcores: 1,
            ring_slots: 2,
            ..Geometry::DEFAULT
        };
        one_to_one(&geometry)?;
        many_to_one(&geometry)?;
        fib(&geometry)?;
    }
    Ok(())
}

fn session(number: u32) -> Result<SessionIndex, String> {
    SessionIndex::new(number).ok_or_else(|| "row 0 is not used".to_owned())
}

/// Publishes every session under the key and address of its number.
fn publish(
    tables: &Tables,
    model: LineModel,
    key: fn(u32) -> AccessKey,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer = AccessWriter::attach(tables.access.clone());
    for number in 1..tables.rows.capacity() as u32 {
        let (key, index) = (key(number), session(number)?);
        let row = Row::ipv4(
            address(number),
            12,
            key.port,
            key.s_vlan,
            key.c_vlan,
            mac_from_bits(key.mac),
        );
        tables.rows.get(index).ok_or("no such row")?.fill(&row);
        writer.configure(key.port, key.s_vlan, Some(model));
        writer.set(&key, index, &tables.rows)?;
    }
    Ok(())
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number)
}

/// Numbers of sessions in an order that no prefetcher guesses.
fn order(sessions: u32) -> impl Iterator<Item = u32> {
    let mut state = 1u64;
    (0..LOOKUPS).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        1 + ((state >> 33) as u32) % (sessions - 1)
    })
}

/// Times `lookup` over all sessions in random order; the cost of making the order is taken off.
fn time(name: &str, sessions: u32, lookup: impl Fn(u32) -> bool) {
    let numbers: Vec<u32> = order(sessions).collect();
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let found = numbers
            .iter()
            .filter(|number| lookup(black_box(**number)))
            .count();
        let ns = start.elapsed().as_nanos() as f64 / LOOKUPS as f64;
        assert_eq!(found, LOOKUPS);
        best = best.min(ns);
    }
    println!("  {name:<32} {best:6.1} ns");
}

fn line_of(number: u32) -> AccessKey {
    AccessKey {
        port: 0,
        s_vlan: (number / 4096) as u16,
        c_vlan: (number % 4096) as u16,
        mac: 0x0219_3e00_0000,
    }
}

fn host_of(number: u32) -> AccessKey {
    AccessKey {
        port: 0,
        s_vlan: 100,
        c_vlan: (number % 16) as u16,
        mac: 0x0019_3e00_0000 + u64::from(number),
    }
}

fn one_to_one(geometry: &Geometry) -> Result<(), Box<dyn std::error::Error>> {
    let (control, worker) = in_memory(geometry)?;
    publish(&control.tables, LineModel::OneToOne, line_of)?;
    let tables = &worker.tables;
    time("access 1:1, verified", geometry.sessions, |number| {
        matches!(
            tables.access.lookup(&line_of(number), &tables.rows),
            Found::Session(_)
        )
    });
    Ok(())
}

fn many_to_one(geometry: &Geometry) -> Result<(), Box<dyn std::error::Error>> {
    let (control, worker) = in_memory(geometry)?;
    publish(&control.tables, LineModel::ManyToOne, host_of)?;
    let tables = &worker.tables;
    time("access N:1, verified", geometry.sessions, |number| {
        matches!(
            tables.access.lookup(&host_of(number), &tables.rows),
            Found::Session(_)
        )
    });
    let mut by_fill = [0usize; 9];
    for used in tables.access.bucket_fill() {
        by_fill[used.min(8)] += 1;
    }
    println!("  buckets of 8 by slots used (0–8)  {by_fill:?}");
    Ok(())
}

fn fib(geometry: &Geometry) -> Result<(), Box<dyn std::error::Error>> {
    let (control, worker) = in_memory(geometry)?;
    publish(&control.tables, LineModel::ManyToOne, host_of)?;
    let mut writer = FibWriter::fresh(control.tables.fib.clone());
    writer.set(Prefix::new(address(0), 8), Leaf::Discard)?;
    let start = Instant::now();
    for number in 1..geometry.sessions {
        writer.set(Prefix::host(address(number)), Leaf::Session(session(number)?))?;
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(geometry.sessions - 1);
    println!("  {:<32} {each:6.1} ns", "FIB, entering a host route");
    let tables = &worker.tables;
    time("FIB to session, verified", geometry.sessions, |number| {
        let wanted = u32::from(address(number));
        match tables.fib.lookup(wanted) {
            Leaf::Session(index) => tables.rows.get(index).is_some_and(|row| row.ipv4() == wanted),
            _ => false,
        }
    });
    let mut successor = FibWriter::attach(control.tables.fib.clone());
    successor.load(Prefix::new(address(0), 8), Leaf::Discard);
    for number in 1..geometry.sessions {
        successor.load(Prefix::host(address(number)), Leaf::Session(session(number)?));
    }
    let start = Instant::now();
    let differed = successor.reconcile()?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "  {:<32} {ms:6.1} ms, {differed} differed",
        "FIB, reconcile after a restart"
    );
    Ok(())
}
