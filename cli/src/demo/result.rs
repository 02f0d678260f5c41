//! The machine-readable result, which `--json` prints.

use serde::Serialize;

use super::Demo;
use super::closing::Closing;
use super::story::{Failure, Step, Story};

#[derive(Clone, Debug, Serialize)]
pub struct DemoResult {
    /// Every expectation held.
    pub ok: bool,
    pub scenario: &'static str,
    pub subscribers: u16,
    pub expectations_held: u64,
    pub failures: Vec<Failure>,
    pub steps: Vec<Step>,
    #[serde(flatten)]
    pub closing: Closing,
    /// Logs and configuration, where they were kept.
    pub directory: Option<String>,
}

impl DemoResult {
    pub fn new(demo: &Demo, story: &Story, closing: Closing, directory: Option<String>) -> DemoResult {
        DemoResult {
            ok: story.failures() == 0,
            scenario: demo.scenario.label(),
            subscribers: demo.subscribers,
            expectations_held: story.held(),
            failures: story.failed(),
            steps: story.steps(),
            closing,
            directory,
        }
    }
}
