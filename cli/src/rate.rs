//! A rate in bit/s as people write it: `100000000`, `100M`, `1.5G`.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is no rate: want bit/s such as 100000000, 100M or 1.5G");
        let (number, zeros) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 3),
            Some((at, 'M' | 'm')) => (&text[..at], 6),
            Some((at, 'G' | 'g')) => (&text[..at], 9),
            _ => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > zeros {
            return Err(wrong());
        }
        let padded = format!("{whole}{fraction:0<zeros$}");
        padded.parse().map(Rate).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_exactly() {
        let read = |text: &str| text.parse::<Rate>().map(|rate| rate.0);

        assert_eq!(read("100000000"), Ok(100_000_000));
        assert_eq!(read("100M"), Ok(100_000_000));
        assert_eq!(read("1.5G"), Ok(1_500_000_000));
        assert_eq!(read("64k"), Ok(64_000));
        for wrong in [
            "",
            "M",
            "1.5",
            "-1M",
            "1,5G",
            "1.0001k",
            "fast",
            "99999999999999G",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
