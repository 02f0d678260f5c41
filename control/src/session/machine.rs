//! The states of a session and what moves it from one to another: one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Seen, not yet answered by AAA.
    Discovered,
    /// In the walled garden: not activated.
    Wgar,
    /// Activated to another pool, still in the garden until the ACK of the new address.
    Activating,
    Active,
    /// Payment failed: the suspended garden.
    Suspended,
    Terminated,
}

/// What may happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// AAA does not know it, or gave no answer and the policy says garden.
    Unknown,
    /// AAA, or the record of an activation, accepts it as an active subscriber, and no address is in the way.
    Accepted,
    /// Activated, same pool: at once.
    ActivatedInPlace,
    /// Activated, another pool: the address has to change first.
    ActivatedElsewhere,
    /// The address of the service's pool was acknowledged.
    AddressGranted,
    Suspended,
    /// Resumed, and the present address is of the service's pool.
    ResumedInPlace,
    /// Resumed, and the address has to change first.
    ResumedElsewhere,
    /// Resumed, and he was never activated.
    ResumedToGarden,
    Terminated,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Discovered,
        State::Wgar,
        State::Activating,
        State::Active,
        State::Suspended,
        State::Terminated,
    ];

    pub fn label(self) -> &'static str {
        match self {
            State::Discovered => "discovered",
            State::Wgar => "wgar",
            State::Activating => "activating",
            State::Active => "active",
            State::Suspended => "suspended",
            State::Terminated => "terminated",
        }
    }
}

impl Trigger {
    pub const ALL: [Trigger; 10] = [
        Trigger::Unknown,
        Trigger::Accepted,
        Trigger::ActivatedInPlace,
        Trigger::ActivatedElsewhere,
        Trigger::AddressGranted,
        Trigger::Suspended,
        Trigger::ResumedInPlace,
        Trigger::ResumedElsewhere,
        Trigger::ResumedToGarden,
        Trigger::Terminated,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Trigger::Unknown => "unknown",
            Trigger::Accepted => "accepted",
            Trigger::ActivatedInPlace => "activated_in_place",
            Trigger::ActivatedElsewhere => "activated_elsewhere",
            Trigger::AddressGranted => "address_granted",
            Trigger::Suspended => "suspended",
            Trigger::ResumedInPlace => "resumed_in_place",
            Trigger::ResumedElsewhere => "resumed_elsewhere",
            Trigger::ResumedToGarden => "resumed_to_garden",
            Trigger::Terminated => "terminated",
        }
    }
}

impl Trigger {
    /// What has happened, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Trigger::Unknown => "AAA does not know it, or gave no answer and the policy says garden.",
            Trigger::Accepted => "AAA or an activation's record accepts it, and no address is in the way.",
            Trigger::ActivatedInPlace => "Activated to the pool its address is of, or with other rates.",
            Trigger::ActivatedElsewhere => "Activated to another pool than its address is of.",
            Trigger::AddressGranted => "An address of the service's pool was acknowledged.",
            Trigger::Suspended => "Suspended by an operator or by AAA.",
            Trigger::ResumedInPlace => "Resumed before its address changed.",
            Trigger::ResumedElsewhere => "Resumed, and its address has to change back.",
            Trigger::ResumedToGarden => "Resumed, and it was never activated.",
            Trigger::Terminated => "Terminated by an operator.",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Every legal move. What is not here is an error.
pub const TRANSITIONS: &[(State, Trigger, State)] = &[
    (State::Discovered, Trigger::Unknown, State::Wgar),
    (State::Discovered, Trigger::Accepted, State::Active),
    (State::Discovered, Trigger::ActivatedElsewhere, State::Activating),
    (State::Discovered, Trigger::Suspended, State::Suspended),
    (State::Discovered, Trigger::Terminated, State::Terminated),
    (State::Wgar, Trigger::Accepted, State::Active),
    (State::Wgar, Trigger::ActivatedInPlace, State::Active),
    (State::Wgar, Trigger::ActivatedElsewhere, State::Activating),
    (State::Wgar, Trigger::Suspended, State::Suspended),
    (State::Wgar, Trigger::Terminated, State::Terminated),
    (State::Activating, Trigger::Unknown, State::Wgar),
    (State::Activating, Trigger::Accepted, State::Active),
    (State::Activating, Trigger::ActivatedInPlace, State::Active),
    (State::Activating, Trigger::ActivatedElsewhere, State::Activating),
    (State::Activating, Trigger::AddressGranted, State::Active),
    (State::Activating, Trigger::Suspended, State::Suspended),
    (State::Activating, Trigger::Terminated, State::Terminated),
    (State::Active, Trigger::Unknown, State::Wgar),
    (State::Active, Trigger::ActivatedInPlace, State::Active),
    (State::Active, Trigger::ActivatedElsewhere, State::Activating),
    (State::Active, Trigger::Suspended, State::Suspended),
    (State::Active, Trigger::Terminated, State::Terminated),
    (State::Suspended, Trigger::Unknown, State::Wgar),
    (State::Suspended, Trigger::Accepted, State::Active),
    (State::Suspended, Trigger::ResumedInPlace, State::Active),
    (State::Suspended, Trigger::ResumedElsewhere, State::Activating),
    (State::Suspended, Trigger::ResumedToGarden, State::Wgar),
    (State::Suspended, Trigger::Terminated, State::Terminated),
];

/// A move that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session that is {from} cannot be moved by {}", trigger.label())]
pub struct IllegalTransition {
    pub from: State,
    pub trigger: Trigger,
}

impl State {
    /// The state after `trigger`.
    pub fn after(self, trigger: Trigger) -> Result<State, IllegalTransition> {
        TRANSITIONS
            .iter()
            .find(|(from, by, _)| *from == self && *by == trigger)
            .map(|(_, _, to)| *to)
            .ok_or(IllegalTransition { from: self, trigger })
    }
}

/// The table as a page of documentation.
pub fn table_as_markdown() -> String {
    let mut page = String::from(
        "# The states of a session\n\n\
         Generated from `TRANSITIONS` in `control/src/session/machine.rs`; a test compares. What is not in the table is an error\n\
         that names both states.\n\n\
         State and pool are two things: a suspended subscriber is not `wgar` although his address may come from the pool `wgar`.\n\n\
         | from | event | to |\n|---|---|---|\n",
    );
    for (from, by, to) in TRANSITIONS {
        page.push_str(&format!("| {from} | {} | {to} |\n", by.label()));
    }
    page.push_str("\n## Events\n\n| event | meaning |\n|---|---|\n");
    for trigger in Trigger::ALL {
        page.push_str(&format!("| {} | {} |\n", trigger.label(), trigger.meaning()));
    }
    page
}

#[cfg(test)]
mod tests;
