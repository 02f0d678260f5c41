//! A set of small numbers that finds its next member quickly, however few are left.
//!
//! One bit a number, and above it one bit a word that says "something is in here". Sixteen million addresses take 2 MiB, and
//! finding the last free one looks at 4,096 words at most.

/// A subset of `0..len`.
#[derive(Clone, Debug)]
pub struct Bitmap {
    words: Vec<u64>,
    /// Bit n is set when `words[n]` is not zero.
    summary: Vec<u64>,
    len: u32,
    count: u32,
}

impl Bitmap {
    /// All of `0..len`.
    pub fn full(len: u32) -> Bitmap {
        let words = len.div_ceil(64) as usize;
        let mut bitmap = Bitmap {
            words: vec![u64::MAX; words],
            summary: vec![u64::MAX; words.div_ceil(64)],
            len,
            count: len,
        };
        trim(&mut bitmap.words, len as usize);
        trim(&mut bitmap.summary, words);
        bitmap
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn contains(&self, number: u32) -> bool {
        number < self.len && self.words[number as usize / 64] & bit(number) != 0
    }

    /// Whether it was not in before.
    pub fn insert(&mut self, number: u32) -> bool {
        if number >= self.len || self.contains(number) {
            return false;
        }
        let word = number / 64;
        self.words[word as usize] |= bit(number);
        self.summary[word as usize / 64] |= bit(word);
        self.count += 1;
        true
    }

    /// Whether it was in.
    pub fn remove(&mut self, number: u32) -> bool {
        if !self.contains(number) {
            return false;
        }
        let word = number / 64;
        self.words[word as usize] &= !bit(number);
        if self.words[word as usize] == 0 {
            self.summary[word as usize / 64] &= !bit(word);
        }
        self.count -= 1;
        true
    }

    /// Takes out `first..=last`, a word at a time.
    pub fn remove_range(&mut self, first: u32, last: u32) {
        let mut number = first;
        while number <= last && number < self.len {
            if number.is_multiple_of(64) && last - number >= 63 {
                let word = number / 64;
                self.count -= self.words[word as usize].count_ones();
                self.words[word as usize] = 0;
                self.summary[word as usize / 64] &= !bit(word);
                number += 64;
            } else {
                self.remove(number);
                number += 1;
            }
        }
    }

    /// The first member at or after `from`, else the first of all.
    pub fn next_from(&self, from: u32) -> Option<u32> {
        self.first_from(from).or_else(|| self.first_from(0))
    }

    fn first_from(&self, from: u32) -> Option<u32> {
        if from >= self.len {
            return None;
        }
        let word = from / 64;
        let here = self.words[word as usize] & (u64::MAX << (from % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros());
        }
        let word = first_set(&self.summary, word + 1)?;
        Some(word * 64 + self.words[word as usize].trailing_zeros())
    }
}

fn first_set(words: &[u64], from: u32) -> Option<u32> {
    let start = from as usize / 64;
    let masked = words.get(start)? & (u64::MAX << (from % 64));
    if masked != 0 {
        return Some(start as u32 * 64 + masked.trailing_zeros());
    }
    let at = words.iter().skip(start + 1).position(|word| *word != 0)? + start + 1;
    Some(at as u32 * 64 + words[at].trailing_zeros())
}

fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

/// Clears the bits of the last word that stand for nothing.
fn trim(words: &mut [u64], len: usize) {
    if let (Some(last), true) = (words.last_mut(), !len.is_multiple_of(64)) {
        *last = (1 << (len % 64)) - 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_free_number_of_sixteen_million_is_found() {
        let mut bitmap = Bitmap::full(1 << 24);

        bitmap.remove_range(0, (1 << 24) - 1);
        assert_eq!((bitmap.count(), bitmap.next_from(5)), (0, None));

        bitmap.insert(12_345_678);
        assert_eq!(bitmap.next_from(0), Some(12_345_678));
        assert_eq!(bitmap.next_from(12_345_679), Some(12_345_678));
    }

    proptest! {
        #[test]
        fn it_agrees_with_an_ordinary_set(
            len in 1u32..20_000,
            steps in proptest::collection::vec((0u8..4, 0u32..20_100, 0u32..300), 0..60),
        ) {
            let mut bitmap = Bitmap::full(len);
            let mut oracle: BTreeSet<u32> = (0..len).collect();
            for (step, number, more) in steps {
                match step {
                    0 => prop_assert_eq!(bitmap.insert(number), number < len && oracle.insert(number)),
                    1 => prop_assert_eq!(bitmap.remove(number), oracle.remove(&number)),
                    2 => {
                        bitmap.remove_range(number, number + more);
                        oracle.retain(|n| *n < number || *n > number + more);
                    }
                    _ => {
                        let next = oracle.range(number..).next().or(oracle.first()).copied();
                        prop_assert_eq!(bitmap.next_from(number), next);
                    }
                }
                prop_assert_eq!(bitmap.count() as usize, oracle.len());
            }
        }
    }
}
