//! Shares of the kinds of frames. A file has exactly its shares: so many percent of its frames, rounded down; the rest is plain.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};

/// Percent of all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// DISCOVERs of known sessions; access side only.
    pub dhcp: u32,
    /// From the access side with a neighbour's address or MAC address, in turn; from the core side with an address that no host
    /// can have.
    pub spoofed: u32,
    /// From or to a session in the garden, whose far end it does not permit.
    pub refused: u32,
    /// See [`Malformation`], in turn.
    pub malformed: u32,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformation {
    /// It ends in the IPv4 header.
    CutShort,
    /// Upstream an inner tag of another TPID; downstream a tag where none is.
    WrongTags,
    UnknownEthertype,
    /// Version 6 behind IPv4's EtherType.
    WrongVersion,
    /// An IPv4 length beyond the frame's.
    WrongLength,
    WrongChecksum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Plain,
    Dhcp,
    SpoofedAddress,
    SpoofedMac,
    Refused,
    Malformed(Malformation),
}

const SPOOFED: [Kind; 2] = [Kind::SpoofedAddress, Kind::SpoofedMac];
const MALFORMED: [Kind; 6] = [
    Kind::Malformed(Malformation::CutShort),
    Kind::Malformed(Malformation::WrongTags),
    Kind::Malformed(Malformation::UnknownEthertype),
    Kind::Malformed(Malformation::WrongVersion),
    Kind::Malformed(Malformation::WrongLength),
    Kind::Malformed(Malformation::WrongChecksum),
];

impl Mix {
    pub const PLAIN: Mix = Mix {
        dhcp: 0,
        spoofed: 0,
        refused: 0,
        malformed: 0,
    };
    pub const ADVERSARIAL: Mix = Mix {
        dhcp: 0,
        spoofed: 10,
        refused: 10,
        malformed: 10,
    };

    /// The kinds of `packets` frames, not shuffled.
    pub fn kinds(&self, packets: u32) -> Vec<Kind> {
        let count = |percent: u32| (u64::from(packets) * u64::from(percent) / 100) as usize;
        let mut kinds = Vec::with_capacity(packets as usize);
        for (percent, turn) in [
            (self.dhcp, &[Kind::Dhcp][..]),
            (self.spoofed, &SPOOFED),
            (self.refused, &[Kind::Refused]),
            (self.malformed, &MALFORMED),
        ] {
            kinds.extend(turn.iter().cycle().take(count(percent)));
        }
        kinds.resize(packets as usize, Kind::Plain);
        kinds
    }
}

/// `plain`, `adversarial`, or shares such as `dhcp=5,spoofed=10`.
impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Mix> {
        let mut mix = Mix::PLAIN;
        match text {
            "plain" => return Ok(mix),
            "adversarial" => return Ok(Mix::ADVERSARIAL),
            _ => (),
        }
        for part in text.split(',') {
            let (name, percent) = part.split_once('=').with_context(|| {
                format!("{part}: want plain, adversarial, or shares such as dhcp=5,spoofed=10")
            })?;
            let share = match name {
                "dhcp" => &mut mix.dhcp,
                "spoofed" => &mut mix.spoofed,
                "refused" => &mut mix.refused,
                "malformed" => &mut mix.malformed,
                _ => bail!("{name}: the kinds are dhcp, spoofed, refused and malformed"),
            };
            *share = percent
                .parse()
                .ok()
                .filter(|percent| *percent <= 100)
                .with_context(|| format!("{part}: want 0 to 100 percent"))?;
        }
        let sum = mix.dhcp + mix.spoofed + mix.refused + mix.malformed;
        ensure!(sum <= 100, "{text}: the shares are {sum} percent");
        Ok(mix)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mix {
            dhcp,
            spoofed,
            refused,
            malformed,
        } = self;
        write!(
            f,
            "dhcp={dhcp},spoofed={spoofed},refused={refused},malformed={malformed}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_exactly_its_shares() {
        let kinds = Mix::ADVERSARIAL.kinds(4096);
        let count = |wanted: fn(&Kind) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();

        assert_eq!(kinds.len(), 4096);
        assert_eq!(count(|kind| matches!(kind, Kind::SpoofedAddress)), 205);
        assert_eq!(count(|kind| matches!(kind, Kind::SpoofedMac)), 204);
        assert_eq!(count(|kind| matches!(kind, Kind::Refused)), 409);
        assert_eq!(count(|kind| matches!(kind, Kind::Malformed(_))), 409);
        assert_eq!(count(|kind| matches!(kind, Kind::Plain)), 4096 - 3 * 409);
        for malformed in MALFORMED {
            let share = kinds.iter().filter(|kind| **kind == malformed).count();
            assert!((68..=69).contains(&share), "{malformed:?}: {share}");
        }
        assert_eq!("dhcp=100".parse::<Mix>().unwrap().kinds(7), [Kind::Dhcp; 7]);
    }

    #[test]
    fn a_mix_reads_back_and_wrong_ones_are_refused() {
        let text = "dhcp=5,spoofed=10,refused=0,malformed=1";
        assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        assert_eq!("adversarial".parse::<Mix>().unwrap(), Mix::ADVERSARIAL);
        for wrong in [
            "",
            "evil",
            "dhcp",
            "dhcp=",
            "dhcp=101",
            "dhcp=-1",
            "dhcp=60,spoofed=60",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
