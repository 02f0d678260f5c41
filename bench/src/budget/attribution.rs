//! Whose an instruction is: the stage it runs for, and the file of ours that it was written in, or written for.
//!
//! Most of the pipeline is inlined into a few functions, and much of what runs is the standard library's or a crate's. The
//! debug information knows the chain of calls that was inlined at each address:
//!
//! ```text
//!  core/src/num/mod.rs             wrapping_add
//!  shm-bridge/src/policer.rs       conform        ◄── the file: the innermost that is the project's
//!  worker/src/express/rate.rs      charge
//!  worker/src/express/upstream.rs  go             ◄── the stage: the outermost function where stages are
//!  worker/src/pipeline.rs          run
//! ```
//!
//! What is not inlined into a stage is under the name of the function that it stands in: the pipeline's own, or a helper that
//! several stages call.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::Context;

use super::callgrind::Cost;

/// Where stages are.
const STAGES: [&str; 2] = ["worker/src/stages/", "worker/src/express/"];

/// A program with its debug information.
pub struct Program {
    path: PathBuf,
    root: PathBuf,
    symbols: Loader,
    known: HashMap<u64, Option<Owner>>,
}

/// Whose an instruction is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// File and function, or where neither is the project's, the function alone.
    pub stage: String,
    /// By its path from the project's root.
    pub file: String,
}

impl fmt::Debug for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Program")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A function in a chain of inlined ones.
struct Frame {
    /// By its path from the project's root; `None` where it is not the project's.
    file: Option<String>,
    function: String,
}

impl Program {
    /// Reads the debug information of the program in `path`, built from the project in `root`.
    pub fn open(path: &Path, root: &Path) -> anyhow::Result<Program> {
        let symbols = Loader::new(path)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("{}: no program with debug information", path.display()))?;
        Ok(Program {
            path: path.to_owned(),
            root: root.to_owned(),
            symbols,
            known: HashMap::new(),
        })
    }

    /// The compiler that made it, as it says itself.
    pub fn compiler(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.path).with_context(|| self.path.display().to_string())?;
        let object = object::File::parse(&*bytes).with_context(|| self.path.display().to_string())?;
        object::Object::section_by_name(&object, ".comment")
            .and_then(|section| object::ObjectSection::data(&section).ok())
            .and_then(|data| {
                let mut notes = data.split(|byte| *byte == 0);
                notes.find(|note| note.starts_with(b"rustc"))
            })
            .map(|note| String::from_utf8_lossy(note).into_owned())
            .with_context(|| format!("{}: does not say which rustc made it", self.path.display()))
    }

    /// Whose this cost is.
    pub fn owner(&mut self, cost: &Cost) -> Owner {
        let foreign = || Owner {
            stage: cost.function.clone(),
            file: cost.object.clone(),
        };
        if Path::new(&cost.object) != self.path {
            return foreign();
        }
        if let Some(known) = self.known.get(&cost.address) {
            return known.clone().unwrap_or_else(foreign);
        }
        let owner = self.resolve(cost.address);
        self.known.insert(cost.address, owner.clone());
        owner.unwrap_or_else(foreign)
    }

    fn resolve(&self, address: u64) -> Option<Owner> {
        let function = self.symbols.find_symbol_info(address)?;
        owner_of(&self.frames(address), &self.frames(function.address()))
    }

    /// The chain at an address, from the inside.
    fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        let Ok(mut found) = self.symbols.find_frames(address) else {
            return frames;
        };
        // What cannot be read ends the chain.
        while let Ok(Some(frame)) = found.next() {
            let file = frame.location.and_then(|location| location.file);
            let function = frame
                .function
                .and_then(|name| Some(name.demangle().ok()?.into_owned()));
            frames.push(Frame {
                file: file
                    .and_then(|file| Path::new(file).strip_prefix(&self.root).ok())
                    .map(|file| file.display().to_string()),
                function: plain(function.as_deref().unwrap_or("?")).to_owned(),
            });
        }
        frames
    }
}

/// `frames` is the chain at an instruction, `begin` that at the beginning of the function it stands in: some instructions have no
/// line, or another's that they were merged with. `None` where nothing there is the project's.
fn owner_of(frames: &[Frame], begin: &[Frame]) -> Option<Owner> {
    let outermost = || begin.iter().rev().find(|frame| frame.file.is_some());
    let stage = stage_of(frames).or_else(|| stage_of(begin)).or_else(outermost)?;
    let innermost = frames.iter().find(|frame| frame.file.is_some());
    Some(Owner {
        stage: format!("{} {}", stage.file.as_deref()?, stage.function),
        file: innermost.unwrap_or(stage).file.clone()?,
    })
}

/// The outermost function of the chain that stands where stages are.
fn stage_of(frames: &[Frame]) -> Option<&Frame> {
    let in_stage = |frame: &&Frame| {
        let file = frame.file.as_deref().unwrap_or_default();
        STAGES.iter().any(|folder| file.starts_with(folder))
    };
    frames.iter().rev().find(in_stage)
}

/// `look` of `sluice_worker::express::upstream::look<Lane>`: what it is generic over and where it is do not name a stage.
fn plain(function: &str) -> &str {
    let name = function.split('<').next().unwrap_or_default();
    let name = name.trim_end_matches("::");
    let name = name.rsplit("::").next().unwrap_or_default();
    if name.is_empty() { function } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(frames: &[(&str, &str)]) -> Vec<Frame> {
        let frame = |(file, function): &(&str, &str)| Frame {
            file: (!file.is_empty()).then(|| (*file).to_owned()),
            function: (*function).to_owned(),
        };
        frames.iter().map(frame).collect()
    }

    fn owner(stage: &str, file: &str) -> Option<Owner> {
        Some(Owner {
            stage: stage.to_owned(),
            file: file.to_owned(),
        })
    }

    const PIPELINE: (&str, &str) = ("worker/src/pipeline.rs", "run");

    #[test]
    fn an_instruction_is_of_the_outermost_stage_and_the_innermost_file() {
        let inlined = chain(&[
            ("", "wrapping_add"),
            ("shm-bridge/src/policer.rs", "conform"),
            ("worker/src/express/rate.rs", "charge"),
            ("worker/src/express/upstream.rs", "go"),
        ]);
        let in_pipeline = chain(&[
            ("", "get"),
            ("worker/src/frame.rs", "bytes"),
            ("worker/src/stages/parse.rs", "run"),
            PIPELINE,
        ]);

        assert_eq!(
            owner_of(&inlined, &chain(&[("worker/src/express/upstream.rs", "go")])),
            owner("worker/src/express/upstream.rs go", "shm-bridge/src/policer.rs")
        );
        assert_eq!(
            owner_of(&in_pipeline, &chain(&[PIPELINE])),
            owner("worker/src/stages/parse.rs run", "worker/src/frame.rs")
        );
    }

    #[test]
    fn what_is_in_no_stage_is_of_the_function_it_stands_in() {
        let helper = chain(&[("worker/src/burst.rs", "forward"), PIPELINE]);
        let called = chain(&[
            ("shm-bridge/src/session.rs", "get"),
            ("worker/src/line.rs", "lookup"),
        ]);

        assert_eq!(
            owner_of(&helper, &chain(&[PIPELINE])),
            owner("worker/src/pipeline.rs run", "worker/src/burst.rs")
        );
        assert_eq!(
            owner_of(&called, &chain(&[("", "get"), ("worker/src/line.rs", "lookup")])),
            owner("worker/src/line.rs lookup", "shm-bridge/src/session.rs")
        );
    }

    #[test]
    fn an_instruction_without_a_line_or_with_anothers_is_of_the_function_it_stands_in() {
        let begin = chain(&[("worker/src/express/upstream.rs", "look")]);
        let without = chain(&[("", "look")]);
        let merged = chain(&[("shm-bridge/src/fib.rs", "look")]);

        let stage = "worker/src/express/upstream.rs look";
        assert_eq!(
            owner_of(&without, &begin),
            owner(stage, "worker/src/express/upstream.rs")
        );
        assert_eq!(owner_of(&merged, &begin), owner(stage, "shm-bridge/src/fib.rs"));
    }

    #[test]
    fn a_library_is_nobodys() {
        let library = chain(&[("", "memcpy")]);

        assert_eq!(owner_of(&library, &library), None);
    }

    #[test]
    fn a_function_is_named_without_what_it_is_generic_over() {
        for (full, name) in [
            ("look<sluice_worker::burst::Lane, 8>", "look"),
            ("sluice_worker::express::upstream::look::<Lane>", "look"),
            ("judge", "judge"),
            ("{closure#0}", "{closure#0}"),
            ("<Lane as Packet>::head", "<Lane as Packet>::head"),
        ] {
            assert_eq!(plain(full), name);
        }
    }
}
