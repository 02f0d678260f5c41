//! "Did you mean": the known word most like a mistyped one.

/// The candidate nearest to `found`, if it is near enough to be a slip: a third of the letters may differ.
pub(crate) fn nearest<'a>(found: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Distances cost the product of the lengths; no word of ours is this long.
    if found.chars().count() > 64 {
        return None;
    }
    let distance = |candidate: &str| strsim::damerau_levenshtein(found, candidate);
    let near = |(distance, candidate): &(usize, &str)| {
        let letters = candidate.len().max(found.len());
        *distance <= (letters / 3).max(1) || (found.len() >= 4 && candidate.contains(found))
    };
    candidates
        .map(|candidate| (distance(candidate), candidate))
        .filter(near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_its_word_and_a_foreign_word_none() {
        let keys = ["network", "gateway", "lease_seconds", "dns"];

        assert_eq!(nearest("netwrok", keys.into_iter()), Some("network"));
        assert_eq!(nearest("lease", keys.into_iter()), Some("lease_seconds"));
        assert_eq!(nearest("colour", keys.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(100_000), keys.into_iter()), None);
    }
}
