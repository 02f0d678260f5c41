//! Frames over sessions in shuffled order, each with its fate: what a file holds, and what a gateway must do with it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::ensure;
use shm_bridge::{Direction, DropReason};

use super::frames::Frames;
use super::mix::{Kind, Mix};
use super::network::{FarEnd, Network, far_end, is_in_garden};
use super::pcap;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Spec {
    pub direction: Direction,
    pub sessions: u32,
    pub packets: u32,
    /// Frame lengths with FCS, in turn.
    pub sizes: Vec<usize>,
    pub mix: Mix,
    pub far_end: FarEnd,
    pub seed: u64,
}

impl Spec {
    /// Plain frames of 64 bytes, as many as sessions.
    pub fn plain(direction: Direction, sessions: u32) -> Spec {
        Spec {
            direction,
            sessions,
            packets: sessions,
            sizes: vec![64],
            mix: Mix::PLAIN,
            far_end,
            seed: 42,
        }
    }
}

/// A file's frames, by what makes them.
#[derive(Clone, Debug)]
pub struct Traffic {
    spec: Spec,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    session: u32,
    bytes: u16,
    kind: Kind,
}

/// What a gateway must do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Forwarded(Vec<u8>),
    Dropped(DropReason),
    /// Handed to control, or refused by the punt policer.
    Punted,
}

/// How many frames must meet each fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub forwarded: u64,
    pub punted: u64,
    pub dropped: BTreeMap<DropReason, u64>,
}

impl Traffic {
    /// The same spec makes the same frames on every machine.
    pub fn new(spec: Spec) -> anyhow::Result<Traffic> {
        let mix = spec.mix;
        ensure!(
            spec.sessions > 0 && spec.packets > 0,
            "no sessions, or no packets"
        );
        ensure!(
            spec.direction == Direction::Upstream || mix.dhcp == 0,
            "{mix}: DISCOVERs come from the access side"
        );
        ensure!(
            mix.refused == 0 || spec.sessions >= 8,
            "{mix}: one session of eight is in the garden, so there must be eight"
        );
        ensure!(!spec.sizes.is_empty(), "no frame length");
        let (gardened, others): (Vec<u32>, Vec<u32>) =
            (0..spec.sessions).partition(|session| mix.refused > 0 && is_in_garden(*session));
        let (mut gardened, mut others) = (gardened.into_iter().cycle(), others.into_iter().cycle());
        let mut slots: Vec<Slot> = mix
            .kinds(spec.packets)
            .into_iter()
            .zip(spec.sizes.iter().cycle())
            .filter_map(|(kind, bytes)| {
                let sessions = if kind == Kind::Refused {
                    &mut gardened
                } else {
                    &mut others
                };
                Some(Slot {
                    session: sessions.next()?,
                    bytes: *bytes as u16,
                    kind,
                })
            })
            .collect();
        shuffle(&mut slots, spec.seed);
        Ok(Traffic { spec, slots })
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn direction(&self) -> Direction {
        self.spec.direction
    }

    /// The session of frame `at`.
    pub fn session(&self, at: usize) -> Option<u32> {
        self.slots.get(at).map(|slot| slot.session)
    }

    /// Only the frames of sessions that `keep` names, in the same order.
    pub fn only(&self, keep: impl Fn(u32) -> bool) -> Traffic {
        Traffic {
            spec: self.spec.clone(),
            slots: self
                .slots
                .iter()
                .filter(|slot| keep(slot.session))
                .copied()
                .collect(),
        }
    }

    /// Frame and fate, one after the other.
    pub fn all<'a>(&'a self, network: &'a Network) -> impl Iterator<Item = (Vec<u8>, Fate)> + 'a {
        let frames = self.frames(network);
        self.slots.iter().map(move |slot| make(&frames, slot))
    }

    fn frames<'n>(&self, network: &'n Network) -> Frames<'n> {
        Frames {
            network,
            direction: self.spec.direction,
            far_end: self.spec.far_end,
        }
    }

    pub fn write_pcap(&self, network: &Network, out: impl Write) -> io::Result<()> {
        pcap::write(out, self.all(network).map(|(frame, _)| frame))
    }

    /// What must have become of the first `received` frames of the endless loop over the file: whole rounds, and the beginning of the
    /// last one.
    pub fn expected(&self, network: &Network, received: u64) -> Expected {
        let (rounds, rest) = (received / self.len() as u64, received % self.len() as u64);
        // A kind's fate is the same for all its frames.
        let mut kinds: BTreeMap<Kind, (Slot, u64)> = BTreeMap::new();
        for (at, slot) in (0u64..).zip(&self.slots) {
            kinds.entry(slot.kind).or_insert((*slot, 0)).1 += rounds + u64::from(at < rest);
        }
        let frames = self.frames(network);
        let mut expected = Expected::default();
        for (slot, times) in kinds.values() {
            match make(&frames, slot).1 {
                Fate::Forwarded(_) => expected.forwarded += times,
                Fate::Punted => expected.punted += times,
                Fate::Dropped(reason) => *expected.dropped.entry(reason).or_default() += times,
            }
        }
        expected.dropped.retain(|_, count| *count > 0);
        expected
    }
}

fn make(frames: &Frames<'_>, slot: &Slot) -> (Vec<u8>, Fate) {
    let (session, bytes) = (slot.session, usize::from(slot.bytes));
    let dropped = |(frame, reason)| (frame, Fate::Dropped(reason));
    match slot.kind {
        Kind::Plain => (
            frames.plain(session, bytes),
            Fate::Forwarded(frames.forwarded(session, bytes)),
        ),
        Kind::Dhcp => (frames.discover(session), Fate::Punted),
        Kind::SpoofedAddress => dropped(frames.spoofed_address(session, bytes)),
        Kind::SpoofedMac => dropped(frames.spoofed_mac(session, bytes)),
        Kind::Refused => (
            frames.plain(session, bytes),
            Fate::Dropped(DropReason::GardenDestination),
        ),
        Kind::Malformed(how) => dropped(frames.malformed(session, bytes, how)),
    }
}

/// Fisher and Yates, with a xorshift generator: the same order for the same seed on every machine.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, (state % (i as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::network::HARNESS;

    fn adversarial(direction: Direction) -> Traffic {
        Traffic::new(Spec {
            mix: Mix::ADVERSARIAL,
            packets: 1000,
            ..Spec::plain(direction, 64)
        })
        .unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_file() {
        let mut files = [Vec::new(), Vec::new()];
        for file in &mut files {
            let traffic = Traffic::new(Spec::plain(Direction::Upstream, 64)).unwrap();
            traffic.write_pcap(&HARNESS, file).unwrap();
        }
        assert_eq!(files[0], files[1]);
        assert_eq!(files[0].len(), 24 + 64 * (16 + 60));
    }

    #[test]
    fn every_session_comes_as_often_as_the_next() {
        let traffic = Traffic::new(Spec {
            packets: 128,
            ..Spec::plain(Direction::Downstream, 64)
        })
        .unwrap();
        for session in 0..64 {
            let times = (0..128)
                .filter(|at| traffic.session(*at) == Some(session))
                .count();
            assert_eq!(times, 2);
        }
        assert_eq!(traffic.only(|session| session < 16).len(), 32);
    }

    #[test]
    fn a_thousand_adversarial_frames_have_exactly_these_fates() {
        use DropReason::*;
        let reasons = |pairs: &[(DropReason, u64)]| pairs.iter().copied().collect::<BTreeMap<_, _>>();
        // 100 malformed in turns of six: the first four kinds come 17 times, the others 16.
        let malformed = [
            (Truncated, 17),
            (BadTags, 17),
            (UnknownEthertype, 17),
            (BadIpHeader, 17 + 16),
            (BadIpChecksum, 16),
            (GardenDestination, 100),
        ];

        let up = adversarial(Direction::Upstream).expected(&HARNESS, 1000);
        let down = adversarial(Direction::Downstream).expected(&HARNESS, 3000);

        let mut wanted = reasons(&malformed);
        wanted.extend([(SpoofedAddress, 50), (SpoofedMac, 50)]);
        assert_eq!((up.forwarded, up.punted, up.dropped), (700, 0, wanted));
        let mut wanted = reasons(&malformed.map(|(reason, count)| (reason, 3 * count)));
        wanted.extend([(BadSourceAddress, 300)]);
        assert_eq!((down.forwarded, down.dropped), (2100, wanted));
    }

    #[test]
    fn a_round_that_was_not_finished_counts_as_far_as_it_went() {
        let traffic = adversarial(Direction::Upstream);
        for received in [0, 1, 999, 1000, 1001, 2500] {
            let expected = traffic.expected(&HARNESS, received);
            let sum = expected.forwarded + expected.dropped.values().sum::<u64>();
            assert_eq!(sum, received);
        }
        let first = traffic.all(&HARNESS).next().unwrap().1;
        let expected = traffic.expected(&HARNESS, 1);
        assert_eq!(expected.forwarded == 1, matches!(first, Fate::Forwarded(_)));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let plain = |sessions| Spec::plain(Direction::Downstream, sessions);
        assert!(Traffic::new(plain(0)).is_err());
        let dhcp = Mix {
            dhcp: 1,
            ..Mix::PLAIN
        };
        assert!(
            Traffic::new(Spec {
                mix: dhcp,
                ..plain(9)
            })
            .is_err()
        );
        let mix = Mix::ADVERSARIAL;
        assert!(Traffic::new(Spec { mix, ..plain(7) }).is_err());
    }
}
