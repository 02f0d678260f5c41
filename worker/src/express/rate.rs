//! Charging a packet that is sure to go out, with the last profile at hand.

use shm_bridge::policer::{Profile, Time, UNLIMITED};
use shm_bridge::session::DirectionCells;
use shm_bridge::sides::Tables;

/// The profile that the last packet was charged by: sessions of one service share one.
pub(super) struct Meter {
    now: Time,
    number: u16,
    profile: Profile,
}

impl Meter {
    #[inline(always)]
    pub fn new(now: Time) -> Meter {
        Meter {
            now,
            number: UNLIMITED,
            profile: Profile::UNLIMITED,
        }
    }

    /// Charges and counts. `None`, and nothing changed, where the packet does not conform.
    #[inline(always)]
    pub fn charge(&mut self, tables: &Tables, number: u16, state: &DirectionCells, bytes: u16) -> Option<()> {
        if number != UNLIMITED {
            if number != self.number {
                self.profile = profile(tables, number)?;
                self.number = number;
            }
            let arrival = self
                .profile
                .conform_limited(state.arrival(), self.now, u32::from(bytes))?;
            state.set_arrival(arrival);
        }
        state.account(1, u64::from(bytes));
        Some(())
    }
}

/// A profile by number is limited, or is none. Apart, so that it does not crowd the loop's registers.
#[cold]
#[inline(never)]
fn profile(tables: &Tables, number: u16) -> Option<Profile> {
    tables.policers.get(number)
}
