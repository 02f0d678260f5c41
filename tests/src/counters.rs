//! The BNG's drop counters as REST shows them, compared before and after.

use std::collections::BTreeMap;
use std::time::Duration;

use olt_sim::lab::namespace::wait_until;
use olt_sim::lab::world::ControlApi;
use serde_json::Value;

use crate::PATIENCE;

/// The counters are flushed with each burst; what has not been counted by then never is.
const SETTLE: Duration = Duration::from_millis(100);

/// Packets dropped so far, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops(BTreeMap<String, u64>);

impl Drops {
    pub fn read(api: &ControlApi) -> Self {
        let list = api.get("/api/v1/drops").expect("the drop counters are there");
        let reasons = list["drops"].as_array().expect("`drops` is a list");
        Self(reasons.iter().map(reason_and_packets).collect())
    }

    pub fn of(&self, reason: &str) -> u64 {
        *self
            .0
            .get(reason)
            .unwrap_or_else(|| panic!("no drop reason is called `{reason}`"))
    }

    /// Reasons that were counted since `before`, with how often.
    pub fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let grown = self.0.iter().filter_map(|(reason, packets)| {
            let more = packets - before.of(reason);
            (more > 0).then(|| (reason.clone(), more))
        });
        grown.collect()
    }

    /// Waits until exactly `expected` was counted since `self` was read, no more and nothing else, and that it
    /// stays so; otherwise the story ends with what was counted instead.
    #[track_caller]
    pub fn expect(&self, api: &ControlApi, what: &str, expected: &[(&str, u64)]) {
        for (reason, _) in expected {
            self.of(reason);
        }
        let expected: BTreeMap<String, u64> = expected
            .iter()
            .filter(|(_, packets)| *packets > 0)
            .map(|(reason, packets)| ((*reason).to_owned(), *packets))
            .collect();
        let counted = || Self::read(api).since(self);
        if wait_until(PATIENCE, || (counted() == expected).then_some(())).is_some() {
            std::thread::sleep(SETTLE);
        }
        assert_eq!(counted(), expected, "drops for: {what}");
    }
}

fn reason_and_packets(count: &Value) -> (String, u64) {
    let reason = count["reason"].as_str().expect("a reason has a name");
    let packets = count["packets"].as_u64().expect("a reason has a count");
    (reason.to_owned(), packets)
}
