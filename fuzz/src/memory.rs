//! The other process: it writes any word into the tables that control owns, whatever their layout says.
//!
//! It goes through `/proc/self/mem`, as bytes: what it writes has no type. Only words in use are written, since of 90 MiB few
//! are ever looked at: those that are not 0, nor the same as the word before (a route over many /24s is many equal words).

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use sluice_worker::testkit::World;

const WORD: usize = 8;

/// Control's tables of several worlds that have the same layout and content.
#[derive(Debug)]
pub struct Memories {
    file: File,
    /// Where control's region begins, in each world.
    starts: Vec<u64>,
    /// From there, to each word in use.
    words: Vec<u64>,
    /// Place and old content of what was written, in that order.
    written: Vec<(u64, [u8; WORD])>,
}

impl Memories {
    pub fn of<const N: usize>(worlds: [&World; N]) -> io::Result<Memories> {
        let file = OpenOptions::new().read(true).write(true).open("/proc/self/mem")?;
        let maps = fs::read_to_string("/proc/self/maps")?;
        let mut starts = Vec::new();
        let mut contents: Vec<Vec<u8>> = Vec::new();
        for world in worlds {
            // Any reference into the region finds it.
            let inside = world.control.tables.rows.cells().as_ptr().addr() as u64;
            let (start, end) = mapping_of(inside, &maps).ok_or(io::ErrorKind::NotFound)?;
            let mut content = vec![0; (end - start) as usize];
            file.read_exact_at(&mut content, start)?;
            starts.push(start);
            contents.push(content);
        }
        let word = |content: &Vec<u8>, at: usize| content.get(at..)?.first_chunk::<WORD>().copied();
        // Where worlds differ lies what is placed by a secret hash: the next start would not find it there.
        let in_use = |at: &usize| {
            let mut here = contents.iter().map(|content| word(content, *at));
            let first = here.next().flatten().unwrap_or_default();
            let before = contents
                .first()
                .and_then(|content| word(content, at.checked_sub(WORD)?));
            here.all(|other| other == Some(first)) && first != [0; WORD] && before != Some(first)
        };
        let len = contents.iter().map(Vec::len).min().unwrap_or(0);
        let words: Vec<u64> = (0..len)
            .step_by(WORD)
            .filter(in_use)
            .map(|at| at as u64)
            .collect();
        if words.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Memories {
            file,
            starts,
            words,
            written: Vec::new(),
        })
    }

    /// A word in use.
    pub fn word(&self, which: usize) -> u64 {
        self.words[which % self.words.len()]
    }

    /// Every word in use, with what it holds.
    pub fn contents(&self) -> BTreeSet<(u64, [u8; WORD])> {
        let content = |offset: &u64| {
            let mut content = [0; WORD];
            let place = self.starts[0] + offset;
            self.file
                .read_exact_at(&mut content, place)
                .expect("a word in use is mapped");
            (*offset, content)
        };
        self.words.iter().map(content).collect()
    }

    /// Changes a word in use of each world: its whole content, some of its bits, or by a little.
    pub fn write(&mut self, offset: u64, how: u8, value: u64) {
        for start in &self.starts {
            let place = start + offset;
            let mut old = [0; WORD];
            self.file
                .read_exact_at(&mut old, place)
                .expect("a word in use is mapped");
            let before = u64::from_ne_bytes(old);
            let now = match how % 4 {
                0 => value,
                1 => before ^ value,
                2 => before.wrapping_add(value),
                _ => before ^ 1 << (value % 64),
            };
            self.file
                .write_all_at(&now.to_ne_bytes(), place)
                .expect("control writes its region");
            self.written.push((place, old));
        }
    }

    /// Puts back what was there before.
    pub fn restore(&mut self) {
        for (place, old) in self.written.drain(..).rev() {
            self.file
                .write_all_at(&old, place)
                .expect("control writes its region");
        }
    }
}

/// Beginning and end of the mapping that an address lies in.
fn mapping_of(address: u64, maps: &str) -> Option<(u64, u64)> {
    maps.lines().find_map(|line| {
        let (start, rest) = line.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        range.contains(&address).then_some((range.start, range.end))
    })
}
