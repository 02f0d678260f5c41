//! The garden as one reads it: every rule is tried. What the index must equal; for tests and measurements.

use super::{Flow, Judgement, Rule, mask};

/// Judges by the rules of one profile.
pub fn judge(rules: &[Rule], flow: &Flow) -> Judgement {
    match rules {
        [] => Judgement::Missing,
        rules if rules.iter().any(|rule| permits(rule, flow)) => Judgement::Permitted,
        _ => Judgement::Refused,
    }
}

fn permits(rule: &Rule, flow: &Flow) -> bool {
    let in_network = (flow.far_address ^ u32::from(rule.network)) & mask(rule.prefix_len) == 0;
    let is_protocol = rule.protocol.is_none_or(|protocol| protocol == flow.protocol);
    let is_port = match (rule.ports, flow.far_port) {
        (None, _) => true,
        (Some((low, high)), Some(port)) => (low..=high).contains(&port),
        (Some(_), None) => false,
    };
    in_network && is_protocol && is_port
}
