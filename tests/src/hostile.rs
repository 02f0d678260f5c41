//! Frames that must not pass, and what the BNG must count for them.

use olt_sim::lab::world::World;

use crate::{Drops, Scapy};

/// MAC address of the BNG's access port.
pub const BNG_MAC: &str = "02:00:5e:00:01:01";

/// Frames sent against a rule.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// For the message if the BNG counts something else.
    pub what: &'a str,
    /// A scapy expression: a frame or a list of frames.
    pub frames: &'a str,
    /// Exactly what it must count.
    pub drops: &'a [(&'a str, u64)],
}

impl Attempt<'_> {
    /// Sent from the subscriber's interface, through the access node.
    #[track_caller]
    pub fn from_subscriber(&self, world: &World, scapy: &mut Scapy) {
        let before = Drops::read(world.api());
        scapy.exec(&format!("sendp({}, iface='eth0')", self.frames));
        before.expect(world.api(), self.what, self.drops);
    }

    /// Written on the trunk as it stands, with whatever tags it has.
    #[track_caller]
    pub fn on_trunk(&self, world: &World, scapy: &mut Scapy) {
        let before = Drops::read(world.api());
        put_on_trunk(world, scapy, self.frames);
        before.expect(world.api(), self.what, self.drops);
    }
}

/// Writes the frames of a scapy expression on the trunk.
#[track_caller]
pub fn put_on_trunk(world: &World, scapy: &mut Scapy, frames: &str) {
    let frames = scapy.exec(&format!(
        "frames = {frames}\nresult = [list(bytes(frame)) for frame in (frames if isinstance(frames, list) else [frames])]"
    ));
    let frames: Vec<Vec<u8>> = serde_json::from_value(frames).expect("lists of bytes");
    for frame in frames {
        world.olt().send_on_trunk(&frame).expect("the trunk takes it");
    }
}
