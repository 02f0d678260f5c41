//! What a session costs in memory, from the layout of the real segment: row, state, access index and its share of the FIB.
//! Fixed tables such as tbl24 are what a segment without sessions has too.

use shm_bridge::layout::{Geometry, segment_bytes};

const SESSIONS: u32 = 1 << 20;

/// Bytes a session at 1,048,576 of them, for so many lcores.
pub fn bytes_per_session(lcores: u32) -> f64 {
    let full = Geometry {
        sessions: SESSIONS,
        svlan_blocks: SESSIONS.div_ceil(4094),
        tbl8_groups: SESSIONS / 256,
        lcores,
        ..Geometry::default()
    };
    let (bytes, fixed) = (segment_bytes(&full), fixed_bytes(lcores));
    (bytes - fixed) as f64 / f64::from(SESSIONS)
}

/// Bytes of a segment that has next to no sessions.
pub fn fixed_bytes(lcores: u32) -> usize {
    segment_bytes(&Geometry {
        sessions: 64,
        svlan_blocks: 1,
        tbl8_groups: 1,
        lcores,
        ..Geometry::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_at_least_its_row_and_state_and_does_not_grow_with_lcores() {
        let one = bytes_per_session(1);
        assert!((128.0..384.0).contains(&one), "{one}");
        assert!((bytes_per_session(64) - one).abs() < 4.0);
    }
}
