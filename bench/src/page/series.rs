//! How a program looks on every plot: the same colour and shape everywhere.

use super::svg::{Shape, escape};
use crate::peers::Lookup;
use crate::program::Program;

#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub colour: &'static str,
    pub shape: Shape,
}

pub fn look(program: Program) -> Look {
    let (colour, shape) = match program {
        Program::Ours(_) => ("ours", Shape::Circle),
        Program::Io(_) => ("io", Shape::Square),
        Program::L3fwd(Lookup::Lpm) => ("lpm", Shape::Triangle),
        Program::L3fwd(Lookup::LpmCounters) => ("counters", Shape::Down),
        Program::L3fwd(Lookup::Em) => ("em", Shape::Diamond),
    };
    Look { colour, shape }
}

/// What people call it.
pub fn title(program: Program) -> &'static str {
    match program {
        Program::Ours(_) => "sluice, everything on",
        Program::Io(_) => "testpmd io, no work",
        Program::L3fwd(Lookup::Lpm) => "l3fwd lpm",
        Program::L3fwd(Lookup::LpmCounters) => "l3fwd lpm, counters",
        Program::L3fwd(Lookup::Em) => "l3fwd em",
    }
}

/// Looks with their names, as a list.
pub fn legend(entries: &[(Look, &str)]) -> String {
    let items: String = entries
        .iter()
        .map(|(look, name)| {
            format!(
                "<li><svg viewBox=\"0 0 14 14\" aria-hidden=\"true\"><path d=\"{}\" style=\"fill:var(--{})\"/></svg>{}</li>",
                look.shape.outline(7.0, 7.0),
                look.colour,
                escape(name)
            )
        })
        .collect();
    format!("<ul class=\"legend\">{items}</ul>")
}
