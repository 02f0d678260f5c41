//! Relay agent information (option 82, RFC 3046): what an access node says about the line.

use super::refusal::Refusal;

/// The sub-options that tell lines apart, as text: other bytes than UTF-8 text without controls are escaped, and so that no two
/// contents look alike, a backslash is too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayInfo {
    /// Sub-option 1.
    pub circuit_id: Option<String>,
    /// Sub-option 2.
    pub remote_id: Option<String>,
    /// Sub-option 12 (RFC 6925).
    pub relay_id: Option<String>,
}

const CIRCUIT_ID: u8 = 1;
const REMOTE_ID: u8 = 2;
const RELAY_ID: u8 = 12;

impl RelayInfo {
    /// Walks the option's content. The first of several sub-options of a kind counts; empty ones do not.
    pub fn parse(mut content: &[u8]) -> Result<RelayInfo, Refusal> {
        let mut info = RelayInfo::default();
        loop {
            match content {
                [] => return Ok(info),
                [code, length, rest @ ..] => {
                    let (value, rest) = rest
                        .split_at_checked(usize::from(*length))
                        .ok_or(Refusal::RelayInfoMalformed)?;
                    info.take(*code, value);
                    content = rest;
                }
                [_] => return Err(Refusal::RelayInfoMalformed),
            }
        }
    }

    fn take(&mut self, code: u8, value: &[u8]) {
        let field = match code {
            CIRCUIT_ID => &mut self.circuit_id,
            REMOTE_ID => &mut self.remote_id,
            RELAY_ID => &mut self.relay_id,
            _ => return,
        };
        if field.is_none() && !value.is_empty() {
            *field = Some(readable(value));
        }
    }
}

/// `value` as text that no other value has.
pub fn readable(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(|c| c.is_control() || c == '\\') => text.to_owned(),
        _ => value.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tr101_access_node_inserts_is_read() {
        let content = [&[1, 11][..], b"agg-01|1/1/", &[2, 4], b"ADTN"].concat();

        let info = RelayInfo::parse(&content).unwrap();

        assert_eq!(info.circuit_id.as_deref(), Some("agg-01|1/1/"));
        assert_eq!(info.remote_id.as_deref(), Some("ADTN"));
        assert_eq!(info.relay_id, None);
    }

    #[test]
    fn a_sub_option_longer_than_the_option_is_refused() {
        assert_eq!(RelayInfo::parse(&[1, 2, b'a']), Err(Refusal::RelayInfoMalformed));
        assert_eq!(RelayInfo::parse(&[1]), Err(Refusal::RelayInfoMalformed));
    }

    #[test]
    fn no_two_contents_look_alike() {
        assert_eq!(readable(b"a\x00"), "a\\x00");
        assert_eq!(readable(b"a\\x00"), "a\\\\x00");
        assert_eq!(readable("Größe".as_bytes()), "Größe");
        assert_eq!(readable(&[0xff]), "\\xff");
    }
}
