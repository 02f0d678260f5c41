//! What the express way did to a burst: which packets went out, and where.

use crate::burst::LANES;

const _: () = assert!(LANES <= u64::BITS as usize);

/// The packets of a burst that are done with, each to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// By place; of packets that are gone.
    pub(super) ports: [u8; LANES],
    /// One bit for each packet, by its place in the burst.
    places: u64,
    count: u32,
    /// Where they go: where the first one led, and whether another led elsewhere.
    port: Option<u8>,
    apart: bool,
    /// Bytes of the frames as they go, and how many more these are than came.
    bytes_out: u64,
    grown: u64,
}

/// What a pass adds to a [`Gone`]; it keeps this in registers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    places: u64,
    bytes_out: u64,
}

impl Sum {
    /// The packet in this place (below [`LANES`]) goes, so long.
    #[inline(always)]
    pub fn add(&mut self, place: usize, len: usize) {
        self.places |= 1 << place;
        self.bytes_out += len as u64;
    }
}

impl Gone {
    pub const NONE: Gone = Gone {
        ports: [0; LANES],
        places: 0,
        count: 0,
        port: None,
        apart: false,
        bytes_out: 0,
        grown: 0,
    };

    /// Packets go out of `port`, this one and others.
    pub(super) fn towards(&mut self, port: u8) {
        let first = *self.port.get_or_insert(port);
        self.apart |= first != port;
    }

    /// Frames are so much longer than they came.
    pub(super) fn grew(&mut self, bytes: isize) {
        self.grown = self.grown.wrapping_add_signed(bytes as i64);
    }

    /// Adds what a pass came to, other packets than those before.
    #[inline(always)]
    pub(super) fn add(&mut self, sum: Sum) -> usize {
        let count = sum.places.count_ones();
        self.places |= sum.places;
        self.count += count;
        self.bytes_out += sum.bytes_out;
        count as usize
    }

    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Where the packet in this place goes; `None` where it is not gone.
    #[inline(always)]
    pub fn port(&self, place: usize) -> Option<u8> {
        let port = *self.ports.get(place)?;
        (self.places >> place & 1 != 0).then_some(port)
    }

    /// The one port that all `count` packets of the burst go to; `None` where one is not gone, or where there may be several.
    #[inline(always)]
    pub fn whole_burst_to(&self, count: usize) -> Option<u8> {
        self.port.filter(|_| self.count() == count && !self.apart)
    }

    /// Bytes of the frames as they came.
    #[inline(always)]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_out.wrapping_sub(self.grown)
    }

    /// Bytes of the frames as they go.
    #[inline(always)]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_whole_only_where_all_packets_have_one_port() {
        let mut gone = Gone::NONE;
        assert_eq!(gone.whole_burst_to(1), None);
        add(&mut gone, 0, 5);
        add(&mut gone, 2, 5);
        assert_eq!((gone.whole_burst_to(2), gone.whole_burst_to(3)), (Some(5), None));
        assert_eq!(
            (gone.port(0), gone.port(1), gone.port(2)),
            (Some(5), None, Some(5))
        );
        assert_eq!((gone.bytes_in(), gone.bytes_out()), (136, 120));
        add(&mut gone, 1, 4);
        assert_eq!(gone.whole_burst_to(3), None);
        assert_eq!(gone.port(LANES), None);
    }
    fn add(gone: &mut Gone, place: usize, port: u8) {
        let mut sum = Sum::default();
        sum.add(place, 60);
        gone.ports[place] = port;
        gone.towards(port);
        gone.grew(-8);
        assert_eq!(gone.add(sum), 1);
    }
}
