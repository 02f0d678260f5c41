//! Every transition, and every one that is not there.

use std::collections::HashSet;

use super::*;

#[test]
fn every_transition_of_the_table_is_made() {
    for (from, by, to) in TRANSITIONS {
        assert_eq!(from.after(*by), Ok(*to), "{from} {}", by.label());
    }
}

#[test]
fn every_other_pair_is_an_error_that_names_the_state_and_the_event() {
    let legal: HashSet<(State, Trigger)> = TRANSITIONS.iter().map(|(from, by, _)| (*from, *by)).collect();
    let mut illegal = 0;
    for from in State::ALL {
        for trigger in Trigger::ALL {
            if legal.contains(&(from, trigger)) {
                continue;
            }
            illegal += 1;
            let error = from.after(trigger).unwrap_err();
            assert_eq!(error, IllegalTransition { from, trigger });
            assert_eq!(
                error.to_string(),
                format!("a session that is {from} cannot be moved by {}", trigger.label())
            );
        }
    }
    assert_eq!(
        illegal,
        State::ALL.len() * Trigger::ALL.len() - TRANSITIONS.len(),
        "a pair stands in the table twice"
    );
}

#[test]
fn nothing_leads_out_of_terminated_and_everything_else_into_it() {
    for state in State::ALL {
        let end = state.after(Trigger::Terminated);
        assert_eq!(end.is_ok(), state != State::Terminated, "{state}");
        assert!(TRANSITIONS.iter().all(|(from, _, _)| *from != State::Terminated));
    }
}

#[test]
fn an_event_leads_to_one_state_wherever_it_comes_from() {
    for trigger in Trigger::ALL {
        let ends: HashSet<State> = TRANSITIONS
            .iter()
            .filter(|(_, by, _)| *by == trigger)
            .map(|(_, _, to)| *to)
            .collect();
        assert_eq!(ends.len(), 1, "{}", trigger.label());
    }
}

/// `SLUICE_WRITE_DOCS=1 cargo test -p sluice-control session_states` writes the page anew.
#[test]
fn docs_session_states_is_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/session-states.md");
    if std::env::var_os("SLUICE_WRITE_DOCS").is_some() {
        std::fs::write(&path, table_as_markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).expect("docs/session-states.md");
    assert_eq!(
        page,
        table_as_markdown(),
        "run this test with SLUICE_WRITE_DOCS=1"
    );
}
