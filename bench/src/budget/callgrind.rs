//! What callgrind wrote: the instructions at each address, themselves, without those they called.
//!
//! The format is callgrind's own (its manual, "Callgrind Format Specification"), as `--dump-instr=yes --compress-strings=no
//! --compress-pos=no` write it:
//!
//! ```text
//! events: Ir
//! ob=/home/me/sluice/target/budget/sluice-instructions     the object that follows
//! fn=sluice_worker::express::upstream::look      the function
//! 0x3fa10 97 64                                  address, line, instructions
//! calls=64 0x44470 33                            the next line is what the callee cost: not counted here
//! 0x224e0 264 747840
//! ```

use std::str::FromStr;

/// Instructions executed at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Path of the program or library.
    pub object: String,
    /// The function as the linker knows it.
    pub function: String,
    /// In the object's own numbering.
    pub address: u64,
    pub instructions: u64,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("line {line}: no address, line and count: {text}")]
    NoCost { line: usize, text: String },
    #[error("events are not `Ir` alone: {0}")]
    OtherEvents(String),
    #[error("positions are not `instr line`: run callgrind with --dump-instr=yes: {0}")]
    OtherPositions(String),
}

/// Reads one file.
pub fn parse(text: &str) -> Result<Vec<Cost>, ParseError> {
    let mut costs = Vec::new();
    let (mut object, mut function) = (String::new(), String::new());
    let mut callee = false;
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with("0x") {
            let (address, instructions) = cost(text).ok_or_else(|| ParseError::NoCost {
                line,
                text: text.to_owned(),
            })?;
            if !std::mem::take(&mut callee) {
                costs.push(Cost {
                    object: object.clone(),
                    function: function.clone(),
                    address,
                    instructions,
                });
            }
        } else if let Some(name) = text.strip_prefix("ob=") {
            name.clone_into(&mut object);
        } else if let Some(name) = text.strip_prefix("fn=") {
            name.clone_into(&mut function);
        } else if text.starts_with("calls=") {
            callee = true;
        } else if let Some(events) = text.strip_prefix("events:") {
            if events.trim() != "Ir" {
                return Err(ParseError::OtherEvents(text.to_owned()));
            }
        } else if let Some(positions) = text.strip_prefix("positions:")
            && positions.trim() != "instr line"
        {
            return Err(ParseError::OtherPositions(text.to_owned()));
        }
    }
    Ok(costs)
}

fn cost(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let _line = words.next()?;
    // A count of 0 is left out.
    let instructions = words.next().map_or(Ok(0), u64::from_str).ok()?;
    Some((address, instructions))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
cmd:  target/budget/sluice-instructions
positions: instr line
events: Ir
summary: 1200

ob=/lib/libc.so.6
fl=???
fn=memcpy
0x10 0 100

ob=/program
fl=/src/pipeline.rs
fn=pipeline::run
0x40 33 64
fi=/rustc/library/core/src/hint.rs
0x42 491 64
fe=/src/pipeline.rs
cob=/lib/libc.so.6
cfi=???
cfn=memcpy
calls=64 0x10 0
0x44 34 100
0x48 35 65
jcnd=32/64 0x40 33
0x4c 36
totals: 1200
";

    #[test]
    fn an_instruction_counts_where_it_stands_and_not_in_who_called_it() {
        let costs = parse(FILE).unwrap();

        let at = |object: &str, function: &str, address, instructions| Cost {
            object: object.to_owned(),
            function: function.to_owned(),
            address,
            instructions,
        };
        assert_eq!(
            costs,
            [
                at("/lib/libc.so.6", "memcpy", 0x10, 100),
                at("/program", "pipeline::run", 0x40, 64),
                at("/program", "pipeline::run", 0x42, 64),
                at("/program", "pipeline::run", 0x48, 65),
                at("/program", "pipeline::run", 0x4c, 0),
            ]
        );
    }

    #[test]
    fn another_format_is_an_error_that_says_what_is_wrong() {
        let wrong = |from, to| parse(&FILE.replace(from, to)).unwrap_err().to_string();

        assert_eq!(
            wrong("positions: instr line", "positions: line"),
            "positions are not `instr line`: run callgrind with --dump-instr=yes: positions: line"
        );
        assert_eq!(
            wrong("events: Ir", "events: Ir Bc"),
            "events are not `Ir` alone: events: Ir Bc"
        );
        assert_eq!(
            wrong("0x48 35 65", "0x48 35 many"),
            "line 26: no address, line and count: 0x48 35 many"
        );
    }
}
