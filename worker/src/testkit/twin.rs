//! Two worlds that differ only in whether the express way is taken: whatever comes, both must end alike.

use shm_bridge::Direction;
use shm_bridge::session::Policy;

use super::recipe::{self, Arriving};
use super::{Subscriber, Summary, World};
use crate::burst::LANES;
use crate::owner::Owners;
use crate::verdict::Way;

/// The optimised way and its oracle.
#[derive(Debug)]
pub struct Twin {
    pub express: World,
    pub stages: World,
    pub lines: Vec<Subscriber>,
}

impl Default for Twin {
    fn default() -> Self {
        Twin::new()
    }
}

impl Twin {
    /// Subscribers of every kind, on both sides.
    pub fn new() -> Twin {
        let (mut express, mut stages) = (World::new(), World::new());
        stages.express = false;
        let lines = recipe::populate(&mut express);
        recipe::populate(&mut stages);
        Twin {
            express,
            stages,
            lines,
        }
    }

    /// Adds a subscriber to both.
    pub fn subscribe(&mut self, subscriber: Subscriber) -> Subscriber {
        let subscriber = self.express.subscribe(subscriber);
        self.stages.subscribe(subscriber);
        self.lines.push(subscriber);
        subscriber
    }

    /// Sends a frame through both; returns what came of it.
    pub fn send(&mut self, arriving: &Arriving) -> Summary {
        self.burst(arriving.port, std::slice::from_ref(arriving))
    }

    /// Sends up to 32 frames of one port, in one burst, through both.
    pub fn burst(&mut self, port: u8, frames: &[Arriving]) -> Summary {
        let frames: Vec<_> = frames
            .iter()
            .map(|arriving| (arriving.frame.as_slice(), arriving.stripped))
            .collect();
        let fast = self.express.burst(port, Way::Whole, &frames);
        let slow = self.stages.burst(port, Way::Whole, &frames);
        for (lane, (fast, slow)) in fast.outs.iter().zip(&slow.outs).enumerate() {
            assert_eq!(fast, slow, "port {port} lane {lane}: {:02x?}", frames[lane]);
        }
        assert_eq!(fast, slow, "port {port}: {frames:02x?}");
        fast
    }

    /// Sends frames in the order they came, with as many in a burst as come to one port one after the other.
    pub fn bursts(&mut self, arrivals: &[Arriving]) -> Vec<Summary> {
        arrivals
            .chunk_by(|a, b| a.port == b.port)
            .flat_map(|of_port| of_port.chunks(LANES))
            .map(|frames| self.burst(frames[0].port, frames))
            .collect()
    }

    /// Lets time pass.
    pub fn wait(&mut self, nanoseconds: u64) {
        self.express.now_ns += nanoseconds;
        self.stages.now_ns += nanoseconds;
    }

    pub fn set_policy(&mut self, line: &Subscriber, policy: Policy) {
        self.express.set_policy(line, policy);
        self.stages.set_policy(line, policy);
    }

    pub fn own(&mut self, owners: &Owners) {
        self.express.own(owners.clone());
        self.stages.own(owners.clone());
    }

    /// Fails where a session's state is not the same on both sides.
    #[track_caller]
    pub fn compare_states(&self) {
        for line in &self.lines {
            for direction in Direction::ALL {
                assert_eq!(
                    self.express.traffic(line, direction),
                    self.stages.traffic(line, direction),
                    "{line:?} {direction:?}"
                );
                let arrival = |world: &World| {
                    let states = &world.worker.tables.states;
                    states
                        .get(line.session)
                        .map(|state| state.direction(direction).arrival())
                };
                assert_eq!(
                    arrival(&self.express),
                    arrival(&self.stages),
                    "{line:?} {direction:?}"
                );
            }
        }
    }
}
