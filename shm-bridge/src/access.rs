//! The access index: from port, tags and MAC address to a session.
//!
//! ```text
//! directory[port][S-VLAN] ──► unknown line
//!                         ──► 1:1: block[C-VLAN] ──► session
//!                         ──► N:1: hash(port, S-VLAN, C-VLAN, MAC) ──► session
//! ```
//!
//! On a 1:1 line the tags alone find the session, in an array that is allocated by S-VLAN when its first session comes. On an
//! N:1 line several hosts share the tags and the MAC address tells them apart, in a table of two-choice buckets whose
//! entries are never moved: a slot is a 32-bit tag and a row index in one word. A single-tagged line is S-VLAN 0 with its tag as
//! C-VLAN; an untagged one is 0 and 0.
//!
//! Every lookup verifies its key against the row it reached, so an index that is one store behind finds nothing rather than a
//! neighbour.

use crate::session::{Rows, SessionIndex};
use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Ports a configuration may have.
pub const PORTS_MAX: usize = 16;
/// VLAN ids of a tag, with 0 for "no tag"; two in a model, where every word multiplies the interleavings.
pub const VLANS: usize = if cfg!(loom) { 2 } else { 4096 };
const BUCKET_SLOTS: usize = 8;

/// Directory word: bits 30–31 say what kind of line, 0–29 the block of a 1:1 line plus one (0: no session there yet).
const KIND_SHIFT: u32 = 30;
const KIND_ONE_TO_ONE: u32 = 1;
const KIND_MANY_TO_ONE: u32 = 2;
const BLOCK_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// How an access line is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineModel {
    /// One subscriber for each pair of tags.
    OneToOne,
    /// Several hosts share the tags.
    ManyToOne,
}

/// Where a frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccessKey {
    pub port: u16,
    pub s_vlan: u16,
    pub c_vlan: u16,
    /// Host MAC in the low 48 bits; looked at on N:1 lines only.
    pub mac: u64,
}

/// What the index knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Session(SessionIndex),
    /// The line exists; no session is on it.
    NoSession,
    /// No such line is configured.
    UnknownLine,
}

/// Eight slots of tag and row.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct BucketCells {
    slots: [AtomicU64; BUCKET_SLOTS],
}

// SAFETY: eight atomic words fill the 64 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for BucketCells {}

/// The index as both sides see it.
#[derive(Clone, Debug)]
pub struct AccessIndex {
    pub(crate) directory: Shared<AtomicU32>,
    pub(crate) blocks: Shared<[AtomicU32; VLANS]>,
    pub(crate) buckets: Shared<BucketCells>,
    /// Chosen by the segment's creator: hosts choose their MAC addresses, but not where they come to lie.
    pub(crate) seed: u64,
}

impl AccessIndex {
    /// Finds the session of a key, verified against its row.
    #[inline(always)]
    pub fn lookup(&self, key: &AccessKey, rows: &Rows) -> Found {
        match self.candidate(key, rows) {
            Found::Session(index) => match rows.get(index) {
                Some(row)
                    if row.port() == key.port && {
                        let (s_vlan, c_vlan, _) = row.tags_and_mtu();
                        s_vlan == key.s_vlan && c_vlan == key.c_vlan
                    } =>
                {
                    Found::Session(index)
                }
                _ => Found::NoSession,
            },
            other => other,
        }
    }

    /// The cell that names the session of a 1:1 line, so that a burst can prefetch it before asking.
    #[inline(always)]
    pub fn slot(&self, port: u16, s_vlan: u16, c_vlan: u16) -> Option<&AtomicU32> {
        self.lines(port)?.cell(s_vlan, c_vlan)
    }

    /// The lines of one port, for a burst that asks for many.
    #[inline(always)]
    pub fn lines(&self, port: u16) -> Option<Lines<'_>> {
        let (ports, _) = self.directory.as_chunks();
        Some(Lines {
            directory: ports.get(usize::from(port))?,
            blocks: &self.blocks,
        })
    }

    /// The session the index names, its port and tags not yet verified against the row: for a burst that prefetches the
    /// row first and verifies it then.
    #[inline(always)]
    pub fn candidate(&self, key: &AccessKey, rows: &Rows) -> Found {
        let Some(word) = self
            .directory_cell(key.port, key.s_vlan)
            .map(|cell| cell.load(Ordering::Acquire))
        else {
            return Found::UnknownLine;
        };
        match word >> KIND_SHIFT {
            KIND_ONE_TO_ONE => {
                // Block number 0 wraps to one that no table has.
                let block = (word & BLOCK_MASK).wrapping_sub(1) as usize;
                let slot = self
                    .blocks
                    .get(block)
                    .and_then(|block| block.get(usize::from(key.c_vlan)));
                let index = slot.and_then(|slot| SessionIndex::new(slot.load(Ordering::Acquire)));
                index.map_or(Found::NoSession, Found::Session)
            }
            KIND_MANY_TO_ONE => self.probe(key, rows),
            _ => Found::UnknownLine,
        }
    }

    fn probe(&self, key: &AccessKey, rows: &Rows) -> Found {
        let place = self.place(key);
        for bucket in [place.first, place.second] {
            for slot in &self.buckets[bucket].slots {
                let word = slot.load(Ordering::Acquire);
                if (word >> 32) as u32 != place.tag {
                    continue;
                }
                if let Some(index) = SessionIndex::new(word as u32)
                    && let Some(row) = rows.get(index)
                    && row.mac_bits() == key.mac
                    && row.port() == key.port
                    && row.tags_and_mtu().0 == key.s_vlan
                    && row.tags_and_mtu().1 == key.c_vlan
                {
                    return Found::Session(index);
                }
            }
        }
        Found::NoSession
    }

    /// How many of its eight slots each N:1 bucket uses: control's measure of how full the index is.
    pub fn bucket_fill(&self) -> impl Iterator<Item = usize> {
        self.buckets.iter().map(|bucket| {
            bucket
                .slots
                .iter()
                .filter(|slot| slot.load(Ordering::Relaxed) != 0)
                .count()
        })
    }

    fn place(&self, key: &AccessKey) -> Place {
        let line = u64::from(key.port) | u64::from(key.s_vlan) << 16 | u64::from(key.c_vlan) << 32;
        let hash = mix(line, key.mac, self.seed);
        let mask = self.buckets.len() - 1;
        let tag = (hash >> 32) as u32;
        let first = hash as usize & mask;
        // An odd distance: never the first one again.
        let second = (first ^ (tag as usize).wrapping_mul(0x5bd1_e995) | 1) & mask;
        Place { tag, first, second }
    }

    fn directory_cell(&self, port: u16, s_vlan: u16) -> Option<&AtomicU32> {
        if usize::from(s_vlan) >= VLANS {
            return None;
        }
        self.directory
            .get(usize::from(port) * VLANS + usize::from(s_vlan))
    }
}

/// The lines of one port.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'t> {
    directory: &'t [AtomicU32; VLANS],
    blocks: &'t [[AtomicU32; VLANS]],
}

impl<'t> Lines<'t> {
    /// The cell that names the session of a 1:1 line; `None` where there is none, or the line is another kind. The ids'
    /// upper bits are ignored.
    #[inline(always)]
    fn cell(&self, s_vlan: u16, c_vlan: u16) -> Option<&'t AtomicU32> {
        let word = self.directory[usize::from(s_vlan) % VLANS].load(Ordering::Acquire);
        // Any other kind, and a line without a block, wrap to a block that no table has.
        let block = word.wrapping_sub(KIND_ONE_TO_ONE << KIND_SHIFT | 1) as usize;
        Some(&self.blocks.get(block)?[usize::from(c_vlan) % VLANS])
    }
}

/// Cells of no table, for a burst that reads one cell a packet, whatever the packet. Not in a model, whose atomics know no statics.
#[cfg(not(loom))]
impl<'t> Lines<'t> {
    /// What stands where a line is not 1:1: no session, as tables end at 2^20.
    pub const SEVERAL: u32 = u32::MAX;

    /// The cell that names the session of a 1:1 line; for other lines one that says [`Lines::SEVERAL`].
    #[inline(always)]
    pub fn slot(&self, s_vlan: u16, c_vlan: u16) -> &'t AtomicU32 {
        static SEVERAL: AtomicU32 = AtomicU32::new(Lines::SEVERAL);
        self.cell(s_vlan, c_vlan).unwrap_or(&SEVERAL)
    }

    /// A cell that names no session.
    #[inline(always)]
    pub fn nobody() -> &'t AtomicU32 {
        static NOBODY: AtomicU32 = AtomicU32::new(0);
        &NOBODY
    }
}

struct Place {
    tag: u32,
    first: usize,
    second: usize,
}

/// Mixes two words by the folded product of 64 x 64 bits: structured keys (consecutive tags, MACs of one maker) spread
/// evenly, which a CRC with linear probing does not do.
#[inline(always)]
fn mix(a: u64, b: u64, seed: u64) -> u64 {
    let product = u128::from(a ^ seed ^ 0xa076_1d64_78bd_642f)
        * u128::from(b ^ seed.rotate_left(32) ^ 0xe703_7ed1_a0b4_28db);
    let folded = product as u64 ^ (product >> 64) as u64;
    let product = u128::from(folded ^ seed) * 0x8ebc_6af0_9c88_c6e3u128;
    product as u64 ^ (product >> 64) as u64
}

/// Why a session could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("no access line is configured for port {port}, S-VLAN {s_vlan}")]
    UnknownLine { port: u16, s_vlan: u16 },
    #[error("all {0} blocks of 1:1 S-VLANs are in use: raise limits.svlan_blocks")]
    NoBlock(usize),
    #[error("both buckets of an N:1 host are full")]
    BucketsFull,
}

/// Control's side: the only writer of the index.
#[derive(Debug)]
pub struct AccessWriter {
    index: AccessIndex,
    free_blocks: Vec<u32>,
}

impl AccessWriter {
    /// Takes over an index, fresh or left by an earlier control: blocks that the directory names stay in use.
    pub fn attach(index: AccessIndex) -> AccessWriter {
        let mut used = vec![false; index.blocks.len()];
        for cell in index.directory.iter() {
            let word = cell.load(Ordering::Relaxed);
            if word >> KIND_SHIFT == KIND_ONE_TO_ONE
                && let Some(flag) = used.get_mut((word & BLOCK_MASK).wrapping_sub(1) as usize)
            {
                *flag = true;
            }
        }
        let free_blocks = (0..index.blocks.len() as u32)
            .rev()
            .filter(|b| !used[*b as usize])
            .collect();
        AccessWriter { index, free_blocks }
    }

    pub fn index(&self) -> &AccessIndex {
        &self.index
    }

    /// Says what lines a port's S-VLAN has; `None` takes them away. Sessions on it stay findable only if the model stays.
    pub fn configure(&mut self, port: u16, s_vlan: u16, model: Option<LineModel>) {
        let Some(cell) = self.index.directory_cell(port, s_vlan) else {
            return;
        };
        let word = cell.load(Ordering::Relaxed);
        let kind = match model {
            None => 0,
            Some(LineModel::OneToOne) => KIND_ONE_TO_ONE,
            Some(LineModel::ManyToOne) => KIND_MANY_TO_ONE,
        };
        if word >> KIND_SHIFT != kind {
            cell.store(kind << KIND_SHIFT, Ordering::Release);
            // The block needs no grace period: who is still in it when another S-VLAN has it finds rows of other tags, and
            // the lookup's verification refuses those.
            if word >> KIND_SHIFT == KIND_ONE_TO_ONE {
                let number = (word & BLOCK_MASK).wrapping_sub(1);
                if let Some(block) = self.index.blocks.get(number as usize) {
                    block.iter().for_each(|slot| slot.store(0, Ordering::Release));
                    self.free_blocks.push(number);
                }
            }
        }
    }

    /// What lines a port's S-VLAN has.
    pub fn model(&self, port: u16, s_vlan: u16) -> Option<LineModel> {
        match self.index.directory_cell(port, s_vlan)?.load(Ordering::Relaxed) >> KIND_SHIFT {
            KIND_ONE_TO_ONE => Some(LineModel::OneToOne),
            KIND_MANY_TO_ONE => Some(LineModel::ManyToOne),
            _ => None,
        }
    }

    /// The key leads to `session` from now on. On a 1:1 line this replaces whoever was there, in one store.
    pub fn set(&mut self, key: &AccessKey, session: SessionIndex, rows: &Rows) -> Result<(), AccessError> {
        let unknown = AccessError::UnknownLine {
            port: key.port,
            s_vlan: key.s_vlan,
        };
        let cell = self.index.directory_cell(key.port, key.s_vlan).ok_or(unknown)?;
        let word = cell.load(Ordering::Relaxed);
        match word >> KIND_SHIFT {
            KIND_ONE_TO_ONE => {
                let mut block = word & BLOCK_MASK;
                if block == 0 || block as usize > self.index.blocks.len() {
                    let free = self
                        .free_blocks
                        .pop()
                        .ok_or(AccessError::NoBlock(self.index.blocks.len()))?;
                    for slot in &self.index.blocks[free as usize] {
                        slot.store(0, Ordering::Relaxed);
                    }
                    block = free + 1;
                    cell.store(KIND_ONE_TO_ONE << KIND_SHIFT | block, Ordering::Release);
                }
                let slot = self.index.blocks[block as usize - 1]
                    .get(usize::from(key.c_vlan))
                    .ok_or(unknown)?;
                slot.store(session.get(), Ordering::Release);
                Ok(())
            }
            KIND_MANY_TO_ONE => self.set_hashed(key, session, rows),
            _ => Err(unknown),
        }
    }

    fn set_hashed(&self, key: &AccessKey, session: SessionIndex, rows: &Rows) -> Result<(), AccessError> {
        let place = self.index.place(key);
        let word = u64::from(place.tag) << 32 | u64::from(session.get());
        if let Some(slot) = self.slot_of(key, rows) {
            slot.store(word, Ordering::Release);
            return Ok(());
        }
        let free = |bucket: usize| {
            let slots = &self.index.buckets[bucket].slots;
            (
                slots.iter().filter(|s| s.load(Ordering::Relaxed) == 0).count(),
                slots,
            )
        };
        let (first, second) = (free(place.first), free(place.second));
        let (count, slots) = if first.0 >= second.0 { first } else { second };
        if count == 0 {
            return Err(AccessError::BucketsFull);
        }
        let slot = slots
            .iter()
            .find(|s| s.load(Ordering::Relaxed) == 0)
            .ok_or(AccessError::BucketsFull)?;
        slot.store(word, Ordering::Release);
        Ok(())
    }

    /// The slot that leads to a row with this key.
    fn slot_of(&self, key: &AccessKey, rows: &Rows) -> Option<&AtomicU64> {
        let place = self.index.place(key);
        [place.first, place.second]
            .into_iter()
            .flat_map(|b| &self.index.buckets[b].slots)
            .find(|slot| {
                let word = slot.load(Ordering::Relaxed);
                (word >> 32) as u32 == place.tag
                    && SessionIndex::new(word as u32)
                        .and_then(|i| rows.get(i))
                        .is_some_and(|row| {
                            let (s_vlan, c_vlan, _) = row.tags_and_mtu();
                            row.mac_bits() == key.mac
                                && (row.port(), s_vlan, c_vlan) == (key.port, key.s_vlan, key.c_vlan)
                        })
            })
    }

    /// The key leads nowhere any more, if it led to `session`.
    pub fn clear(&mut self, key: &AccessKey, session: SessionIndex) {
        let Some(cell) = self.index.directory_cell(key.port, key.s_vlan) else {
            return;
        };
        let word = cell.load(Ordering::Relaxed);
        if word >> KIND_SHIFT == KIND_ONE_TO_ONE {
            let block = (word & BLOCK_MASK).wrapping_sub(1) as usize;
            if let Some(slot) = self
                .index
                .blocks
                .get(block)
                .and_then(|block| block.get(usize::from(key.c_vlan)))
                && slot.load(Ordering::Relaxed) == session.get()
            {
                slot.store(0, Ordering::Release);
            }
        }
        // Whatever the line is today: its model may have been another when the session was entered.
        let place = self.index.place(key);
        let word = u64::from(place.tag) << 32 | u64::from(session.get());
        for bucket in [place.first, place.second] {
            for slot in &self.index.buckets[bucket].slots {
                if slot.load(Ordering::Relaxed) == word {
                    slot.store(0, Ordering::Release);
                }
            }
        }
    }

    /// Takes out every entry for which `keep` is false: after a restart, what no session stands behind.
    pub fn sweep(&mut self, mut keep: impl FnMut(SessionIndex) -> bool) -> usize {
        let mut removed = 0;
        for slot in self.index.blocks.iter().flatten() {
            if let Some(index) = SessionIndex::new(slot.load(Ordering::Relaxed))
                && !keep(index)
            {
                slot.store(0, Ordering::Release);
                removed += 1;
            }
        }
        for slot in self.index.buckets.iter().flat_map(|bucket| &bucket.slots) {
            let word = slot.load(Ordering::Relaxed);
            if word != 0 && !SessionIndex::new(word as u32).is_some_and(&mut keep) {
                slot.store(0, Ordering::Release);
                removed += 1;
            }
        }
        removed
    }
}
