//! The access index against a hash map, by random steps and with full tables of keys as they occur.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use shm_bridge::SessionIndex;
use shm_bridge::access::{AccessError, AccessIndex, AccessKey, AccessWriter, Found, LineModel};
use shm_bridge::layout::Geometry;
use shm_bridge::session::{Row, Rows, mac_from_bits};

const BLOCKS: usize = 3;

fn tables(sessions: u32) -> (AccessIndex, Rows) {
    let geometry = Geometry {
        sessions,
        svlan_blocks: BLOCKS as u32,
        lcores: 1,
        ring_slots: 2,
        ..Geometry::DEFAULT
    };
    let tables = shm_bridge::sides::in_memory(&geometry).unwrap().0.tables;
    (tables.access, tables.rows)
}

fn fill(rows: &Rows, index: SessionIndex, key: &AccessKey) {
    let mac = mac_from_bits(key.mac);
    let row = Row::ipv4(
        Ipv4Addr::new(10, 0, 0, 1),
        24,
        key.port,
        key.s_vlan,
        key.c_vlan,
        mac,
    );
    rows.get(index).unwrap().fill(&row);
}

fn index(number: u32) -> SessionIndex {
    SessionIndex::new(number).unwrap()
}

/// What an access index ought to know: the lines' models, and who is where. A 1:1 line has one, whatever his MAC.
#[derive(Default)]
struct Oracle {
    models: HashMap<u16, LineModel>,
    sessions: HashMap<(u16, u16, u64), u32>,
}

impl Oracle {
    fn place(&self, key: &AccessKey) -> (u16, u16, u64) {
        let one = self.models.get(&key.s_vlan) == Some(&LineModel::OneToOne);
        (key.s_vlan, key.c_vlan, if one { 0 } else { key.mac })
    }

    fn lookup(&self, key: &AccessKey) -> Found {
        if !self.models.contains_key(&key.s_vlan) {
            return Found::UnknownLine;
        }
        match self.sessions.get(&self.place(key)) {
            Some(number) => Found::Session(index(*number)),
            None => Found::NoSession,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A session comes to a line, or gets a new row there.
    Publish(AccessKey),
    /// The session on the line goes.
    Withdraw(AccessKey),
    Configure(u16, Option<LineModel>),
    /// Control dies, and its successor keeps every second session.
    Restart,
}

fn key() -> impl Strategy<Value = AccessKey> {
    let c_vlan = prop_oneof![0u16..4, Just(4095u16)];
    (0u16..6, c_vlan, 0u64..4).prop_map(|(s_vlan, c_vlan, mac)| AccessKey {
        port: 2,
        s_vlan,
        c_vlan,
        mac: 0x0200_0000_0000 + mac,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let model = prop_oneof![
        Just(None),
        Just(Some(LineModel::OneToOne)),
        Just(Some(LineModel::ManyToOne))
    ];
    let step = prop_oneof![
        16 => key().prop_map(Step::Publish),
        8 => key().prop_map(Step::Withdraw),
        3 => (0u16..6, model).prop_map(|(s_vlan, model)| Step::Configure(s_vlan, model)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookups_agree_with_a_hash_map_whatever_is_published_withdrawn_or_configured(steps in steps()) {
        let (access, rows) = tables(256);
        let mut writer = AccessWriter::attach(access.clone());
        let mut oracle = Oracle::default();
        let mut free: Vec<u32> = (1..256).rev().collect();
        let mut keys: HashMap<u32, AccessKey> = HashMap::new();
        for step in steps {
            match step {
                Step::Publish(key) => {
                    let row = free.pop().unwrap();
                    fill(&rows, index(row), &key);
                    match writer.set(&key, index(row), &rows) {
                        Ok(()) => {
                            prop_assert!(oracle.models.contains_key(&key.s_vlan));
                            keys.insert(row, key);
                            if let Some(old) = oracle.sessions.insert(oracle.place(&key), row) {
                                writer.clear(&keys.remove(&old).unwrap(), index(old));
                                free.push(old);
                            }
                        }
                        Err(error) => {
                            free.push(row);
                            match error {
                                AccessError::UnknownLine { port, s_vlan } => {
                                    prop_assert_eq!((port, s_vlan), (key.port, key.s_vlan));
                                    prop_assert!(!oracle.models.contains_key(&key.s_vlan));
                                }
                                AccessError::NoBlock(blocks) => {
                                    let one_to_one = oracle.models.values().filter(|m| **m == LineModel::OneToOne);
                                    prop_assert!(one_to_one.count() > blocks, "a block leaked");
                                }
                                AccessError::BucketsFull => prop_assert!(false, "hardly any load"),
                            }
                        }
                    }
                }
                Step::Withdraw(key) => {
                    if let Some(row) = oracle.sessions.remove(&oracle.place(&key)) {
                        writer.clear(&keys.remove(&row).unwrap(), index(row));
                        free.push(row);
                    }
                }
                Step::Configure(s_vlan, model) => {
                    if oracle.models.get(&s_vlan).copied() != model {
                        // Control ends the sessions of a line whose model changes, some before and some after.
                        let gone: Vec<u32> = keys.iter().filter(|(_, k)| k.s_vlan == s_vlan).map(|(r, _)| *r).collect();
                        for (count, row) in gone.iter().enumerate() {
                            if count == gone.len() / 2 {
                                writer.configure(2, s_vlan, model);
                            }
                            writer.clear(&keys.remove(row).unwrap(), index(*row));
                            free.push(*row);
                        }
                        oracle.sessions.retain(|(s, _, _), _| *s != s_vlan);
                    }
                    writer.configure(2, s_vlan, model);
                    match model {
                        Some(model) => oracle.models.insert(s_vlan, model),
                        None => oracle.models.remove(&s_vlan),
                    };
                    prop_assert_eq!(writer.model(2, s_vlan), model);
                }
                Step::Restart => {
                    writer = AccessWriter::attach(access.clone());
                    let removed = writer.sweep(|row| row.get() % 2 == 0);
                    prop_assert_eq!(removed, keys.keys().filter(|row| **row % 2 == 1).count());
                    oracle.sessions.retain(|_, row| *row % 2 == 0);
                    free.extend(keys.keys().filter(|row| **row % 2 == 1));
                    keys.retain(|row, _| row % 2 == 0);
                }
            }
            for s_vlan in 0..7 {
                for c_vlan in [0, 1, 2, 3, 4, 4095] {
                    for mac in 0..5 {
                        let key = AccessKey { port: 2, s_vlan, c_vlan, mac: 0x0200_0000_0000 + mac };
                        // On a 1:1 line the MAC address is not looked at.
                        prop_assert_eq!(access.lookup(&key, &rows), oracle.lookup(&key), "{:?}", key);
                    }
                }
            }
        }
        // What is left in the index is what the oracle has: nothing leaks.
        let left = AccessWriter::attach(access.clone()).sweep(|_| false);
        prop_assert_eq!(left, oracle.sessions.len());
    }
}

/// 65,535 keys of each kind: every one is found, none other is, and the index is empty when they are gone.
fn full_load(name: &str, model: LineModel, key: impl Fn(u32) -> AccessKey) {
    let (access, rows) = tables(65_536);
    let mut writer = AccessWriter::attach(access.clone());
    for number in 1..65_536 {
        let key = key(number);
        if writer.model(key.port, key.s_vlan).is_none() {
            writer.configure(key.port, key.s_vlan, Some(model));
        }
        fill(&rows, index(number), &key);
        let set = writer.set(&key, index(number), &rows);
        assert_eq!(set, Ok(()), "{name} {number}");
    }
    for number in 1..65_536 {
        let key = key(number);
        assert_eq!(
            access.lookup(&key, &rows),
            Found::Session(index(number)),
            "{name} {number}"
        );
        let absent = AccessKey {
            mac: key.mac ^ 0x8000_0000,
            ..key
        };
        if model == LineModel::ManyToOne {
            assert_eq!(access.lookup(&absent, &rows), Found::NoSession, "{name} {number}");
        }
    }
    for number in 1..65_536 {
        writer.clear(&key(number), index(number));
        assert_eq!(
            access.lookup(&key(number), &rows),
            Found::NoSession,
            "{name} {number}"
        );
    }
    assert_eq!(writer.sweep(|_| false), 0);
}

#[test]
fn a_full_table_of_hosts_of_one_maker_on_one_line() {
    full_load("one line", LineModel::ManyToOne, |number| AccessKey {
        port: 0,
        s_vlan: 100,
        c_vlan: 0,
        mac: 0x0019_3e00_0000 + u64::from(number),
    });
}

#[test]
fn a_full_table_of_lines_with_the_same_mac_address() {
    full_load("sequential tags", LineModel::ManyToOne, |number| AccessKey {
        port: 15,
        s_vlan: (100 + number / 4096) as u16,
        c_vlan: (number % 4096) as u16,
        mac: 0x0200_5e10_0001,
    });
}

#[test]
fn a_full_table_of_lines_and_macs_that_count_together() {
    full_load("tags and macs", LineModel::ManyToOne, |number| AccessKey {
        port: 1,
        s_vlan: (number >> 8) as u16,
        c_vlan: (number & 0xff) as u16,
        mac: 0xfcf5_2800_0000 + u64::from(number) * 4,
    });
}

#[test]
fn a_full_table_of_one_to_one_lines() {
    let geometry = Geometry {
        svlan_blocks: 16,
        lcores: 1,
        ring_slots: 2,
        ..Geometry::DEFAULT
    };
    let tables = shm_bridge::sides::in_memory(&geometry).unwrap().0.tables;
    let mut writer = AccessWriter::attach(tables.access.clone());
    let key = |number: u32| AccessKey {
        port: 0,
        s_vlan: (100 + number / 4096) as u16,
        c_vlan: (number % 4096) as u16,
        mac: 0,
    };
    for number in 1..65_536 {
        writer.configure(0, key(number).s_vlan, Some(LineModel::OneToOne));
        fill(&tables.rows, index(number), &key(number));
        writer.set(&key(number), index(number), &tables.rows).unwrap();
    }
    for number in 1..65_536 {
        let found = tables.access.lookup(&key(number), &tables.rows);
        assert_eq!(found, Found::Session(index(number)));
    }
    writer.configure(0, 200, Some(LineModel::OneToOne));
    let error = writer.set(
        &AccessKey {
            s_vlan: 200,
            ..key(0)
        },
        index(1),
        &tables.rows,
    );
    assert_eq!(error, Err(AccessError::NoBlock(16)));
}
