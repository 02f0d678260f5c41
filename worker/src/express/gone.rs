//! What the express way did to a burst: which packets went out, and where.

use crate::burst::LANES;

const _: () = assert!(LANES <= u64::BITS as usize);

/// The packets of a burst that are done with, each to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// One bit for each packet, by its place in the burst.
    places: u64,
    /// By place; of packets that are gone.
    ports: [u8; LANES],
    /// All ports, or'ed and and'ed: equal where there is one.
    any: u8,
    all: u8,
    /// Bytes of the frames as they came, and as they go.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Gone {
    pub const NONE: Gone = Gone {
        places: 0,
        ports: [0; LANES],
        any: 0,
        all: u8::MAX,
        bytes_in: 0,
        bytes_out: 0,
    };

    /// The packet in this place (below [`LANES`]) goes out of `port`.
    #[inline(always)]
    pub(super) fn add(&mut self, place: u8, port: u8, bytes_in: usize, bytes_out: usize) {
        if let Some(entry) = self.ports.get_mut(usize::from(place)) {
            *entry = port;
            self.places |= 1 << place;
            self.any |= port;
            self.all &= port;
            self.bytes_in += bytes_in as u64;
            self.bytes_out += bytes_out as u64;
        }
    }

    #[inline(always)]
    pub fn count(&self) -> usize {
        self.places.count_ones() as usize
    }

    /// Where the packet in this place goes; `None` where it is not gone.
    #[inline(always)]
    pub fn port(&self, place: usize) -> Option<u8> {
        let port = *self.ports.get(place)?;
        (self.places >> place & 1 != 0).then_some(port)
    }

    /// The one port that all `count` packets of the burst go to; `None` where one is not gone or there are several.
    #[inline(always)]
    pub fn whole_burst_to(&self, count: usize) -> Option<u8> {
        (self.count() == count && self.any == self.all).then_some(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_whole_only_where_all_packets_have_one_port() {
        let mut gone = Gone::NONE;
        assert_eq!(gone.whole_burst_to(1), None);
        gone.add(0, 5, 68, 60);
        gone.add(2, 5, 68, 60);
        assert_eq!((gone.whole_burst_to(2), gone.whole_burst_to(3)), (Some(5), None));
        assert_eq!(
            (gone.port(0), gone.port(1), gone.port(2)),
            (Some(5), None, Some(5))
        );
        assert_eq!((gone.bytes_in, gone.bytes_out), (136, 120));
        gone.add(1, 4, 68, 60);
        assert_eq!(gone.whole_burst_to(3), None);
        assert_eq!(gone.port(LANES), None);
    }
}
