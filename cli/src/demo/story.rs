//! What is told while it happens, and what was expected.
//!
//! ```text
//!   16.012 s  ── each reaches the portal and the resolver, and nothing else
//!   16.430 s     ADTN00000001  wgar → active  10.0.0.2
//!   16.501 s     FAILED  ADTN00000003 pings 203.0.113.10: expected silence, saw a reply
//!   17.020 s     90 expectations held
//! ```
//!
//! With `--json` the story goes to standard error, and the result alone to standard output.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::output::{Format, printable};

/// Cheap to clone; all clones tell the same story.
#[derive(Clone, Debug)]
pub struct Story {
    told: Arc<Mutex<Told>>,
    format: Format,
}

#[derive(Debug)]
struct Told {
    begun: Instant,
    steps: Vec<Step>,
    held: u64,
    held_in_step: u64,
    failed: Vec<Failure>,
}

/// A part of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub name: String,
    pub began_at_seconds: f64,
    pub held: u64,
    pub failed: u64,
}

/// An expectation that did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub at_seconds: f64,
    pub what: String,
    pub expected: String,
    pub seen: String,
}

impl Story {
    pub fn new(format: Format) -> Story {
        let told = Told {
            begun: Instant::now(),
            steps: Vec::new(),
            held: 0,
            held_in_step: 0,
            failed: Vec::new(),
        };
        Story {
            told: Arc::new(Mutex::new(told)),
            format,
        }
    }

    /// The set-up is over: times count from now.
    pub fn begin(&self) {
        self.told().begun = Instant::now();
    }

    pub fn begun(&self) -> Instant {
        self.told().begun
    }

    pub fn elapsed(&self) -> Duration {
        self.begun().elapsed()
    }

    /// Begins a step; the one before is summed up.
    pub fn step(&self, name: impl Into<String>) {
        self.end_step();
        let name = name.into();
        let mut told = self.told();
        let began_at_seconds = told.begun.elapsed().as_secs_f64();
        self.print(&told, &format!("── {name}"));
        told.steps.push(Step {
            name,
            began_at_seconds,
            held: 0,
            failed: 0,
        });
    }

    pub fn end_step(&self) {
        let mut told = self.told();
        let held = std::mem::take(&mut told.held_in_step);
        let Some(step) = told.steps.last_mut() else { return };
        step.held += held;
        if held > 0 {
            let plural = if held == 1 { "" } else { "s" };
            self.print(&told, &format!("   {held} expectation{plural} held"));
        }
    }

    /// A line with the time.
    pub fn line(&self, text: impl AsRef<str>) {
        self.print(&self.told(), &format!("   {}", text.as_ref()));
    }

    /// A line about one subscriber.
    pub fn about(&self, who: &str, text: impl Display) {
        self.line(format!("{who}  {text}"));
    }

    /// Checks that something is so; `seen` is asked for only if it is not.
    pub fn expect<S: Display>(
        &self,
        what: impl Display,
        holds: bool,
        expected: impl Display,
        seen: impl FnOnce() -> S,
    ) -> bool {
        let mut told = self.told();
        if holds {
            told.held += 1;
            told.held_in_step += 1;
            return true;
        }
        let failure = Failure {
            at_seconds: told.begun.elapsed().as_secs_f64(),
            what: what.to_string(),
            expected: expected.to_string(),
            seen: seen().to_string(),
        };
        let text = format!(
            "   FAILED  {}: expected {}, saw {}",
            failure.what, failure.expected, failure.seen
        );
        self.print(&told, &text);
        told.failed.push(failure);
        if let Some(step) = told.steps.last_mut() {
            step.failed += 1;
        }
        false
    }

    pub fn expect_equal<T: PartialEq + Display>(&self, what: impl Display, expected: T, seen: T) -> bool {
        let holds = expected == seen;
        self.expect(what, holds, expected, || seen)
    }

    pub fn held(&self) -> u64 {
        self.told().held
    }

    pub fn failures(&self) -> usize {
        self.told().failed.len()
    }

    pub fn failed(&self) -> Vec<Failure> {
        self.told().failed.clone()
    }

    pub fn steps(&self) -> Vec<Step> {
        self.told().steps.clone()
    }

    /// Holding the lock keeps lines of several threads apart.
    fn print(&self, told: &MutexGuard<'_, Told>, text: &str) {
        let line = format!(
            "{:>8.3} s  {}\n",
            told.begun.elapsed().as_secs_f64(),
            printable(text)
        );
        // A reader who has gone must not end the scenario half way.
        let _ = match self.format {
            Format::Table => std::io::stdout().write_all(line.as_bytes()),
            Format::Json => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_and_what_failed_is_counted_by_step() {
        let story = Story::new(Format::Json);

        story.step("first");
        assert!(story.expect_equal("one is one", 1, 1));
        story.step("second");
        assert!(story.expect("so it is", true, "truth", || "a lie"));
        assert!(!story.expect_equal("one is two", 1, 2));
        story.end_step();

        assert_eq!((story.held(), story.failures()), (2, 1));
        let steps: Vec<_> = story
            .steps()
            .iter()
            .map(|step| (step.held, step.failed))
            .collect();
        assert_eq!(steps, [(1, 0), (1, 1)]);
        let failure = &story.failed()[0];
        assert_eq!((failure.expected.as_str(), failure.seen.as_str()), ("1", "2"));
    }
}
