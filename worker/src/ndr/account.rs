//! What became of one session's numbered frames.

/// The newest number seen, and which of the 64 up to it were: the window of RFC 4303 section 3.4.3.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    next: u32,
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    /// A later one had come before (RFC 4737).
    Reordered,
    Duplicate,
}

impl Window {
    /// Numbers begin at 0. One older than the window counts as reordered: whether it came before is not known any more.
    #[inline]
    pub fn arrived(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            let ahead = number - self.next + 1;
            self.seen = if ahead >= 64 { 0 } else { self.seen << ahead } | 1;
            self.next = number.saturating_add(1);
            return Arrival::InOrder;
        }
        let behind = self.next - 1 - number;
        if behind >= 64 {
            return Arrival::Reordered;
        }
        let bit = 1 << behind;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once_and_late_ones_are_reordered() {
        let mut window = Window::default();
        let arrivals = [0, 1, 3, 2, 2, 3, 200, 199, 3].map(|number| window.arrived(number));

        use Arrival::{Duplicate, InOrder, Reordered};
        assert_eq!(
            arrivals,
            [
                InOrder, InOrder, InOrder, Reordered, Duplicate, Duplicate, InOrder, Reordered, Reordered
            ]
        );
    }
}
