//! Making the provider, with something to see meanwhile.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use olt_sim::lab::Lab;
use olt_sim::lab::world::{Memory, Settings, Steps, World, WorldSpec};

use super::Demo;
use super::cast::{Cast, Plan};
use super::error::{DemoError, While};
use super::feed::{Feed, Telling};
use super::gateway::Gateway;
use super::interrupt::Interrupt;
use super::preflight::Preflight;
use super::story::Story;

const TICK: Duration = Duration::from_millis(100);

pub fn set_up(
    demo: &Demo,
    preflight: &Preflight,
    plan: Plan,
    lab: &Lab,
    story: &Story,
    interrupt: &Interrupt,
) -> Result<Cast, DemoError> {
    let started = Instant::now();
    let progress = Progress::begin(story);
    let told = (progress.clone(), interrupt.clone());
    let steps = Steps::tell(move |what| {
        let (progress, interrupt) = &told;
        interrupt
            .check()
            .map_err(|error| io::Error::new(io::ErrorKind::Interrupted, error))?;
        progress.step(what);
        Ok(())
    });
    let world = World::start(WorldSpec {
        lab: Some(lab.clone()),
        steps,
        ..spec(demo, preflight, plan)
    });
    progress.end();
    interrupt.check()?;
    let world = world.during("setting up")?;
    let pages = match preflight.memory {
        Memory::OrdinaryMegabytes(_) => "ordinary pages",
        Memory::HugeMegabytes(_) => "huge pages",
    };
    story.line(format!(
        "set up in {:.1} s: {} homes, access node, sluice-worker on {pages}, sluice-control, core side",
        started.elapsed().as_secs_f64(),
        plan.subscribers,
    ));

    let gateway = Gateway::new(world.api().clone());
    let telling = if plan.is_crowded() {
        Telling::Nothing
    } else {
        Telling::Each
    };
    story.begin();
    let feed =
        Feed::follow(gateway.socket(), story.clone(), telling).during("following the gateway's events")?;
    Ok(Cast {
        feed,
        world,
        gateway,
        story: story.clone(),
        interrupt: interrupt.clone(),
        plan,
        answer_times: Vec::new(),
    })
}

/// A spinner where somebody watches, else lines.
#[derive(Clone)]
struct Progress {
    story: Story,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn begin(story: &Story) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} setting up: {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Progress {
            story: story.clone(),
            bar,
        }
    }

    fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.story.line(format!("setting up: {what}")),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spec(demo: &Demo, preflight: &Preflight, plan: Plan) -> WorldSpec {
    let settings = Settings {
        lease_seconds: plan.lease_seconds,
        hugetlbfs: preflight.hugetlbfs.clone(),
        ..Settings::default()
    };
    WorldSpec {
        subscribers: demo.subscribers,
        settings,
        memory: preflight.memory,
        worker: Some(preflight.worker.clone()),
        control: Some(preflight.control.clone()),
        ..WorldSpec::default()
    }
}
