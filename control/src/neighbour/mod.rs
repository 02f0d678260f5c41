//! Next hops on the core side: who they are, and whether they are still there (RFC 826, with RFC 4861's manners).
//!
//! ```text
//!   wanted ──► asking ──reply──► known ──fresh for a while──► confirming ──reply──► known
//!                │ no reply                                      │ no reply
//!                ▼                                               ▼
//!              silent (asked again now and then) ◄───────────────┘ the adjacency is unresolved
//! ```
//!
//! Pure: it is told the time and what was heard, and says what is to be asked and what changed. Configured next hops are kept
//! for ever; hosts that a packet wanted to reach are kept while they answer, and bounded in number.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::session::Mac;

const SECOND: u64 = 1_000_000_000;
/// Between two questions to one that has not answered.
const RETRY_NS: u64 = SECOND;
/// Questions before it is called silent (RFC 4861's MAX_MULTICAST_SOLICIT).
const TRIES: u32 = 3;
/// A known neighbour is asked again after this long, to the address known, while packets still flow to it.
const CONFIRM_NS: u64 = 30 * SECOND;
/// A silent configured next hop is asked this often: it may come back at any time.
const SILENT_RETRY_NS: u64 = 5 * SECOND;
/// A silent gleaned host is forgotten, and asked for again when a packet wants it.
const GLEANED_SILENT_NS: u64 = 10 * SECOND;
/// A gleaned host is forgotten after this many confirmations that no packet asked for: an hour.
const GLEANED_CONFIRMATIONS: u32 = 120;
/// Hosts learnt from packets: a subscriber who scans a connected network cannot fill more.
pub const GLEANED_MAX: usize = 512;

/// A neighbour: a core port of the configuration, and an address of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    pub port: u16,
    pub address: Ipv4Addr,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask on the wire: to the MAC address known so far, else everybody.
    Ask { hop: Hop, to: Option<Mac> },
    /// Packets for the hop go to this MAC address from now on.
    Resolved { hop: Hop, mac: Mac },
    /// Packets for the hop have nowhere to go.
    Lost { hop: Hop },
    /// A gleaned host is not kept any more.
    Forgotten { hop: Hop },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking { tries: u32 },
    Known { mac: Mac },
    Confirming { mac: Mac, tries: u32 },
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    gleaned: bool,
    /// When something is to be done next.
    due_ns: u64,
    confirmations: u32,
}

/// All neighbours.
#[derive(Debug, Default)]
pub struct Neighbours {
    entries: HashMap<Hop, Entry>,
    gleaned: usize,
    refused: u64,
}

impl Neighbours {
    /// Keeps a configured next hop resolved from now on.
    pub fn keep(&mut self, now_ns: u64, hop: Hop, acts: &mut Vec<Act>) {
        self.begin(now_ns, hop, false, acts);
    }

    /// A next hop that an earlier control had resolved: used as it is, and confirmed at once.
    pub fn keep_known(&mut self, now_ns: u64, hop: Hop, mac: Mac, gleaned: bool) {
        let entry = Entry {
            state: State::Known { mac },
            gleaned,
            due_ns: now_ns,
            confirmations: 0,
        };
        if self.entries.insert(hop, entry).is_none() && gleaned {
            self.gleaned += 1;
        }
    }

    /// A packet wants to reach a connected host.
    pub fn wanted(&mut self, now_ns: u64, hop: Hop, acts: &mut Vec<Act>) {
        if let Some(entry) = self.entries.get_mut(&hop) {
            entry.confirmations = 0;
        } else if self.gleaned >= GLEANED_MAX {
            self.refused += 1;
        } else {
            self.begin(now_ns, hop, true, acts);
        }
    }

    fn begin(&mut self, now_ns: u64, hop: Hop, gleaned: bool, acts: &mut Vec<Act>) {
        let state = State::Asking { tries: 1 };
        let entry = Entry {
            state,
            gleaned,
            due_ns: now_ns + RETRY_NS,
            confirmations: 0,
        };
        if self.entries.insert(hop, entry).is_none() && gleaned {
            self.gleaned += 1;
        }
        acts.push(Act::Ask { hop, to: None });
    }

    /// A neighbour said where it is. Who was not asked about is not learnt: anybody on the wire can say anything.
    pub fn heard(&mut self, now_ns: u64, hop: Hop, mac: Mac, acts: &mut Vec<Act>) {
        let Some(entry) = self.entries.get_mut(&hop) else {
            return;
        };
        let old = match entry.state {
            State::Known { mac } | State::Confirming { mac, .. } => Some(mac),
            State::Asking { .. } | State::Silent => None,
        };
        entry.state = State::Known { mac };
        entry.due_ns = now_ns + CONFIRM_NS;
        if old != Some(mac) {
            acts.push(Act::Resolved { hop, mac });
        }
    }

    /// Where a neighbour is, as far as that is known.
    pub fn mac(&self, hop: Hop) -> Option<Mac> {
        match self.entries.get(&hop)?.state {
            State::Known { mac } | State::Confirming { mac, .. } => Some(mac),
            State::Asking { .. } | State::Silent => None,
        }
    }

    /// Packets that wanted a host when no more could be learnt.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Time has passed. Looks at every entry: there are hundreds, and this is called ten times a second.
    pub fn tick(&mut self, now_ns: u64, acts: &mut Vec<Act>) {
        self.entries.retain(|hop, entry| {
            if entry.due_ns > now_ns {
                return true;
            }
            let kept = entry.due(*hop, now_ns, acts);
            if !kept {
                acts.push(Act::Forgotten { hop: *hop });
            }
            kept
        });
        self.gleaned = self.entries.values().filter(|entry| entry.gleaned).count();
    }
}

impl Entry {
    /// The entry's time has come; `false` when it is over.
    fn due(&mut self, hop: Hop, now_ns: u64, acts: &mut Vec<Act>) -> bool {
        match self.state {
            State::Asking { tries } if tries < TRIES => {
                self.ask(hop, now_ns, State::Asking { tries: tries + 1 }, None, acts);
            }
            State::Asking { .. } => self.fall_silent(now_ns),
            State::Known { .. } if self.gleaned && self.confirmations >= GLEANED_CONFIRMATIONS => {
                acts.push(Act::Lost { hop });
                return false;
            }
            State::Known { mac } => {
                self.confirmations += 1;
                self.ask(hop, now_ns, State::Confirming { mac, tries: 1 }, Some(mac), acts);
            }
            // The last questions go to everybody: the neighbour may have another MAC address now.
            State::Confirming { mac, tries } if tries < 2 * TRIES => {
                let to = (tries < TRIES).then_some(mac);
                self.ask(
                    hop,
                    now_ns,
                    State::Confirming {
                        mac,
                        tries: tries + 1,
                    },
                    to,
                    acts,
                );
            }
            State::Confirming { .. } => {
                acts.push(Act::Lost { hop });
                self.fall_silent(now_ns);
            }
            State::Silent if self.gleaned => return false,
            State::Silent => self.ask(hop, now_ns, State::Asking { tries: 1 }, None, acts),
        }
        true
    }

    fn ask(&mut self, hop: Hop, now_ns: u64, state: State, to: Option<Mac>, acts: &mut Vec<Act>) {
        self.state = state;
        self.due_ns = now_ns + RETRY_NS;
        acts.push(Act::Ask { hop, to });
    }

    fn fall_silent(&mut self, now_ns: u64) {
        self.state = State::Silent;
        self.due_ns = now_ns
            + if self.gleaned {
                GLEANED_SILENT_NS
            } else {
                SILENT_RETRY_NS
            };
    }
}

#[cfg(test)]
mod tests;
