//! Who plays, and by which plan: the provider, the gateway's voice, the story, and how many of whom.

use std::time::{Duration, Instant};

use olt_sim::lab::world::{Subscriber, World};

use super::error::{DemoError, While};
use super::feed::Feed;
use super::gateway::{Gateway, Service, Session};
use super::interrupt::Interrupt;
use super::story::Story;
use super::{Demo, Scenario};

/// What activated subscribers get.
pub const SERVICE: Service = Service {
    pool: "isp-residential",
    download_bps: 100_000_000,
    upload_bps: 20_000_000,
};
pub const GARDEN_POOL: &str = "wgar";
/// Above this, subscribers are told of together.
const TOLD_EACH_MAX: usize = 20;
/// Of ten subscribers.
const ACTIVATED_OF_TEN: usize = 7;
/// Client lease where nobody is to renew during the story, and where everybody is: udhcpc renews after half of it, but never
/// before 16 s, and a lease that has run out by then has ended the session.
const LONG_LEASE_SECONDS: u32 = 600;
const SHORT_LEASE_SECONDS: u32 = 32;

/// Counts and times of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub subscribers: usize,
    pub activated: usize,
    pub lease_seconds: u32,
    /// Over this time the ONTs connect.
    pub connecting: Duration,
    /// Between two activations.
    pub activation_gap: Duration,
    /// How long a refused attempt waits for an answer.
    pub silence: Duration,
    /// How long the suspended subscriber's flow runs before.
    pub established: Duration,
    /// Subscribers with traffic at a time.
    pub at_a_time: usize,
    /// Since the beginning: when steps begin at the earliest.
    pub traffic_at: Duration,
    pub suspension_at: Duration,
    pub end_at: Duration,
}

impl Plan {
    pub fn of(demo: &Demo) -> Plan {
        let subscribers = usize::from(demo.subscribers);
        let seconds = Duration::from_secs;
        let common = Plan {
            subscribers,
            activated: (subscribers * ACTIVATED_OF_TEN / 10).max(1),
            lease_seconds: match demo.scenario {
                Scenario::FullLifecycle => LONG_LEASE_SECONDS,
                Scenario::NoBounce => SHORT_LEASE_SECONDS,
            },
            connecting: seconds(15),
            activation_gap: seconds(1),
            silence: Duration::from_millis(800),
            established: seconds(2),
            at_a_time: 1,
            traffic_at: seconds(32),
            suspension_at: seconds(48),
            end_at: seconds(60),
        };
        if !demo.fast {
            return common;
        }
        Plan {
            connecting: seconds(2),
            activation_gap: Duration::ZERO,
            silence: Duration::from_millis(400),
            established: Duration::from_millis(400),
            at_a_time: 2,
            traffic_at: Duration::ZERO,
            suspension_at: Duration::ZERO,
            end_at: Duration::ZERO,
            ..common
        }
    }
}

impl Plan {
    /// Too many for a line of the story each.
    pub fn is_crowded(&self) -> bool {
        self.subscribers > TOLD_EACH_MAX
    }
}

#[derive(Debug)]
pub struct Cast {
    // Before the world, so that nobody is told of its end.
    pub feed: Feed,
    pub world: World,
    pub gateway: Gateway,
    pub story: Story,
    pub interrupt: Interrupt,
    pub plan: Plan,
    /// The REST API's answers to commands: how long each took.
    pub answer_times: Vec<Duration>,
}

impl Cast {
    pub fn subscriber(&self, index: usize) -> &Subscriber {
        self.world.subscriber(index)
    }

    pub fn serial(&self, index: usize) -> &str {
        self.subscriber(index).serial()
    }

    /// The session as the gateway shows it.
    pub fn session(&self, index: usize) -> Result<Session, DemoError> {
        let serial = self.serial(index);
        self.gateway
            .session(serial)
            .during(format!("asking for the session of {serial}"))
    }

    /// Waits for a moment of the plan, measured from the beginning of the story.
    pub fn until(&self, moment: Duration) -> Result<(), DemoError> {
        self.interrupt.sleep_until(self.story.begun() + moment)
    }

    pub fn sleep_until(&self, moment: Instant) -> Result<(), DemoError> {
        self.interrupt.sleep_until(moment)
    }

    /// Takes everything down in order; a process that does not end well is a failed expectation.
    pub fn leave(self) {
        let Cast {
            feed, world, story, ..
        } = self;
        story.expect(
            "the gateway's event stream",
            !feed.has_ended(),
            "to stay open",
            || "its end",
        );
        drop(feed);
        let stopped = world.stop();
        story.expect(
            "worker and control",
            stopped.is_ok(),
            "to end well when told to",
            || {
                stopped
                    .as_ref()
                    .err()
                    .map_or_else(String::new, ToString::to_string)
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(subscribers: u16) -> Plan {
        Plan::of(&Demo {
            scenario: Scenario::FullLifecycle,
            subscribers,
            fast: false,
            huge_pages: false,
            no_huge_pages: false,
            keep: false,
        })
    }

    #[test]
    fn seven_of_ten_are_activated() {
        let activated: Vec<_> = [1, 2, 10, 15, 100].map(|count| plan(count).activated).into();
        assert_eq!(activated, [1, 1, 7, 10, 70]);
    }
}
