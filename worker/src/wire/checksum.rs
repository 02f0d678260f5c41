//! The Internet checksum (RFC 1071) and its update (RFC 1624).
//!
//! Sums are of 16-bit words in the machine's own order: the one's complement sum does not depend on it (RFC 1071, 2.B), as long
//! as words are read and the result is written the same way.

/// The folded sum over a header or message with a right checksum in it.
pub const INTACT: u16 = 0xffff;

/// Folds a sum of native-endian words into 16 bits.
#[inline(always)]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The one's complement sum over an IPv4 header without options, folded: 0xffff says the header is intact.
#[inline(always)]
pub fn header_sum(header: &[u8; 20]) -> u16 {
    let word = |at: usize| {
        u64::from(u32::from_ne_bytes([
            header[at],
            header[at + 1],
            header[at + 2],
            header[at + 3],
        ]))
    };
    fold(word(0) + word(4) + word(8) + word(12) + word(16))
}

/// The one's complement sum over any bytes, folded; an odd last byte is padded with zero (RFC 1071, section 4.1).
pub fn sum(bytes: &[u8]) -> u16 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        total += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0u8; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    fold(total + u64::from(u32::from_ne_bytes(last)))
}

/// The checksum field, as the bytes of the wire, for content of this folded sum (the field itself counted as zero).
#[inline(always)]
pub fn field(sum: u16) -> [u8; 2] {
    (!sum).to_ne_bytes()
}

/// The checksum field after one 16-bit word of the content changed: `HC' = ~(~HC + ~m + m')` (RFC 1624, equation 3). All
/// three as bytes of the wire.
#[inline(always)]
pub fn update(field: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let sum = u64::from(!u16::from_ne_bytes(field))
        + u64::from(!u16::from_ne_bytes(old))
        + u64::from(u16::from_ne_bytes(new));
    (!fold(sum)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_adds_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

        assert_eq!(sum(&bytes).to_ne_bytes(), [0xdd, 0xf2]);
        assert_eq!(sum(&bytes[..7]).to_ne_bytes(), {
            // 0001 + f203 + f4f5 + f600 = 2dcf9, folded dcfb.
            [0xdc, 0xfb]
        });
    }

    #[test]
    fn the_example_of_rfc_1624_updates_to_zero_and_not_to_minus_zero() {
        assert_eq!(update([0xdd, 0x2f], [0x55, 0x55], [0x32, 0x85]), [0x00, 0x00]);
    }

    #[test]
    fn an_update_gives_what_a_fresh_sum_gives_for_every_ttl_and_checksum() {
        let mut header = [
            0x45, 0, 0, 46, 0, 0, 0x40, 0, 0, 17, 0, 0, 10, 0, 0, 2, 198, 51, 100, 1,
        ];
        for id in (0..=u16::MAX).step_by(7) {
            for ttl in [1u8, 2, 64, 128, 255] {
                header[4..6].copy_from_slice(&id.to_be_bytes());
                header[8] = ttl;
                header[10..12].fill(0);
                let full = field(sum(&header));
                header[10..12].copy_from_slice(&full);
                assert_eq!(header_sum(&header), 0xffff);

                let updated = update(full, [ttl, 17], [ttl - 1, 17]);
                header[8] = ttl - 1;
                header[10..12].copy_from_slice(&updated);
                assert_eq!(header_sum(&header), 0xffff, "id {id} ttl {ttl}");
            }
        }
    }
}
