//! `sluice demo`: a small provider in network namespaces of its own, and a subscriber's whole life in it.
//!
//! ```text
//!   preflight ─► World (worker, control, access node, homes, core side) ─► scenario: step, step, … ─► closing tables
//!                                                                              │
//!                       events of the gateway ─► story ◄─ expectations ◄───────┘
//! ```
//!
//! Nothing is simulated but the wires: stock DHCP clients behind QinQ lines, the real worker on DPDK ports, the real control process
//! over its REST API. Every claim is an expectation that is checked, where possible at both ends; one that does not hold is printed and
//! makes the exit status 1. Whatever happens, the namespaces, devices and processes made here are gone afterwards.

mod activation;
mod cast;
mod closing;
mod connect;
mod error;
mod feed;
mod gateway;
mod interrupt;
mod lifecycle;
mod no_bounce;
mod preflight;
mod probing;
mod result;
mod setup;
mod story;
mod suspension;
mod tables;
mod traffic;

use clap::{Args as ClapArgs, ValueEnum};

use crate::error::CliError;
use crate::output::{self, Format};
use cast::Plan;
use closing::Closing;
use error::{DemoError, While};
use interrupt::Interrupt;
use olt_sim::lab::Lab;
use preflight::Preflight;
use result::DemoResult;
use story::Story;

/// Each home is a namespace with a process and some threads.
const SUBSCRIBERS_MAX: i64 = 500;

#[derive(Debug, ClapArgs)]
pub struct Demo {
    /// What to show.
    #[arg(long, value_enum, default_value_t = Scenario::FullLifecycle)]
    pub scenario: Scenario,
    /// Homes with an ONT and a DHCP client; seven of ten are activated.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SUBSCRIBERS_MAX))]
    pub subscribers: u16,
    /// In about 15 seconds instead of 60.
    #[arg(long)]
    pub fast: bool,
    /// Huge pages, or an error where there are too few; otherwise they are used where there are enough.
    #[arg(long, overrides_with = "no_huge_pages")]
    pub huge_pages: bool,
    /// Ordinary pages.
    #[arg(long, overrides_with = "huge_pages")]
    pub no_huge_pages: bool,
    /// Keep logs and configuration, and say where they are.
    #[arg(long)]
    pub keep: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Connect, walled garden, activation with a bounce of the line, traffic, suspension.
    FullLifecycle,
    /// Activation without a bounce: the client moves at its own renewal.
    NoBounce,
}

impl Scenario {
    pub fn label(self) -> &'static str {
        match self {
            Scenario::FullLifecycle => "full-lifecycle",
            Scenario::NoBounce => "no-bounce",
        }
    }
}

/// Runs the scenario; `Err` if it could not be run or an expectation did not hold.
pub fn demo(demo: &Demo, format: Format) -> Result<(), CliError> {
    let interrupt =
        Interrupt::install().map_err(|cause| CliError::failed(format!("signal handlers: {cause}")))?;
    let story = Story::new(format);
    match run(demo, &story, &interrupt) {
        Ok(result) => tell(&result, format),
        Err(DemoError::Interrupted) => {
            story.line("interrupted: everything that was made is removed");
            Err(CliError::Interrupted)
        }
        Err(error) => Err(CliError::failed(format!("demo: {error}"))),
    }
}

fn run(demo: &Demo, story: &Story, interrupt: &Interrupt) -> Result<DemoResult, DemoError> {
    let preflight = Preflight::check(demo)?;
    let lab = Lab::new().during("making the lab")?;
    let played = play(demo, &preflight, &lab, story, interrupt);
    let failed = match &played {
        Ok(_) => story.failures() > 0,
        Err(error) => !matches!(error, DemoError::Interrupted),
    };
    let kept = demo.keep || failed;
    if kept {
        lab.keep().during("keeping the logs")?;
        story.line(format!("logs and configuration: {}", lab.directory().display()));
    }
    let directory = kept.then(|| lab.directory().display().to_string());
    Ok(DemoResult::new(demo, story, played?, directory))
}

/// All that was made is gone when this returns, but for the lab's directory.
fn play(
    demo: &Demo,
    preflight: &Preflight,
    lab: &Lab,
    story: &Story,
    interrupt: &Interrupt,
) -> Result<Closing, DemoError> {
    let mut cast = setup::set_up(demo, preflight, Plan::of(demo), lab, story, interrupt)?;
    let expected = match demo.scenario {
        Scenario::FullLifecycle => lifecycle::play(&mut cast),
        Scenario::NoBounce => no_bounce::play(&mut cast),
    }?;
    let closing = closing::close(&mut cast, &expected)?;
    cast.leave();
    Ok(closing)
}

fn tell(result: &DemoResult, format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let json = serde_json::to_value(result)
                .map_err(|error| CliError::failed(format!("the result is no JSON: {error}")))?;
            output::print_json(&json)?;
        }
        Format::Table => output::print(&tables::render(result))?,
    }
    if result.ok { Ok(()) } else { Err(CliError::Told) }
}
