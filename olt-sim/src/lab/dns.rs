//! As much DNS as a resolver of the lab needs: one question for an A record, one answer (RFC 1035 §4).

use std::net::Ipv4Addr;

const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const RECORD_SECONDS: u32 = 30;
const FLAG_ANSWER: u16 = 0x8000;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
/// Longest label and longest name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 255;

/// A query for the A records of `name`; `None` if that is no host name.
pub fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut message = header(id, FLAG_RECURSION_DESIRED, 0);
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    if message.len() > HEADER_BYTES + NAME_BYTES_MAX {
        return None;
    }
    message.extend_from_slice(&TYPE_A.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    Some(message)
}

/// The name that a query asks for; `None` if it is not a plain query.
pub fn question(message: &[u8]) -> Option<String> {
    if half(message, 2)? & FLAG_ANSWER != 0 || half(message, 4)? != 1 {
        return None;
    }
    let end = name_end(message, HEADER_BYTES)?;
    let mut labels = Vec::new();
    let mut rest = message.get(HEADER_BYTES..end - 1)?;
    while let [length, after @ ..] = rest {
        let label = after.get(..usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = &after[usize::from(*length)..];
    }
    Some(labels.join("."))
}

/// The answer to `query`: this address, or none where there is no A record to give.
pub fn answer(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let end = name_end(query, HEADER_BYTES)?;
    let asked = query.get(HEADER_BYTES..end + 4)?;
    let is_a = half(query, end)? == TYPE_A && half(query, end + 2)? == CLASS_IN;
    let flags = FLAG_ANSWER | FLAG_RECURSION_DESIRED | FLAG_RECURSION_AVAILABLE;
    let mut message = header(half(query, 0)?, flags, u16::from(is_a));
    message.extend_from_slice(asked);
    if is_a {
        // The name is a pointer to the question's.
        message.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
        message.extend_from_slice(&TYPE_A.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&RECORD_SECONDS.to_be_bytes());
        message.extend_from_slice(&4u16.to_be_bytes());
        message.extend_from_slice(&address.octets());
    }
    Some(message)
}

/// The A records of an answer to query `id`.
pub fn addresses(message: &[u8], id: u16) -> Option<Vec<Ipv4Addr>> {
    if half(message, 0)? != id || half(message, 2)? & FLAG_ANSWER == 0 {
        return None;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..half(message, 4)? {
        at = name_end(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..half(message, 6)? {
        let record = name_end(message, at)?;
        let length = usize::from(half(message, record + 8)?);
        let data = message.get(record + 10..record + 10 + length)?;
        if half(message, record)? == TYPE_A
            && let Some(octets) = data.first_chunk::<4>()
        {
            found.push(Ipv4Addr::from(*octets));
        }
        at = record + 10 + length;
    }
    Some(found)
}

fn header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    [id, flags, 1, answers, 0, 0]
        .into_iter()
        .flat_map(u16::to_be_bytes)
        .collect()
}

/// Where a name ends: behind its root label, or behind a pointer.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_gets_its_answer() {
        let query = query(7, "portal.example").unwrap();

        assert_eq!(question(&query).as_deref(), Some("portal.example"));
        let answer = answer(&query, Ipv4Addr::new(198, 51, 100, 80)).unwrap();
        assert_eq!(addresses(&answer, 7), Some(vec![Ipv4Addr::new(198, 51, 100, 80)]));
        assert_eq!(addresses(&answer, 8), None);
    }

    #[test]
    fn nothing_panics_on_cut_messages() {
        let query = query(7, "portal.example").unwrap();
        let whole = answer(&query, Ipv4Addr::LOCALHOST).unwrap();
        for cut in 0..whole.len() {
            let _ = (
                question(&whole[..cut]),
                answer(&whole[..cut], Ipv4Addr::LOCALHOST),
            );
            assert_eq!(
                addresses(&whole[..cut], 7).filter(|found| !found.is_empty()),
                None
            );
        }
        assert_eq!(super::query(1, "a..b"), None);
        assert_eq!(super::query(1, &"x".repeat(64)), None);
    }
}
