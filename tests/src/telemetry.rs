//! The worker's telemetry socket: DPDK's protocol, one JSON answer a question.

use std::collections::BTreeMap;
use std::path::Path;

use olt_sim::lab::world::World;
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use serde_json::Value;

/// As much as DPDK ever sends.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub struct Telemetry {
    peer: OwnedFd,
}

impl Telemetry {
    /// Of the world's worker.
    #[track_caller]
    pub fn of(world: &World) -> Telemetry {
        let ground = world.ground();
        let directory = ground.run_directory().join("dpdk").join(ground.lab.prefix());
        Telemetry::at(&directory.join("dpdk_telemetry.v2"))
    }

    #[track_caller]
    pub fn at(path: &Path) -> Telemetry {
        let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        let address = SocketAddrUnix::new(path).expect("a path that fits a socket's address");
        connect(&peer, &address).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let telemetry = Telemetry { peer };
        let greeting = telemetry.receive();
        assert!(greeting["version"].is_string(), "{greeting}");
        telemetry
    }

    /// One question, such as `/ethdev/stats,0`.
    #[track_caller]
    pub fn ask(&self, question: &str) -> Value {
        send(&self.peer, question.as_bytes(), SendFlags::empty()).expect("a question");
        let command = question.split(',').next().unwrap_or(question);
        self.receive()[command].take()
    }

    /// Packets that were handed over, by `<port>/<receiving lcore>` and `<port>/<lcore>/half_way`.
    #[track_caller]
    pub fn handoffs(&self) -> BTreeMap<String, u64> {
        let answer = self.ask("/sluice/handoffs");
        let counts = answer
            .as_object()
            .unwrap_or_else(|| panic!("no counts: {answer}"));
        counts
            .iter()
            .map(|(key, packets)| (key.clone(), packets.as_u64().expect("a count")))
            .collect()
    }

    fn receive(&self) -> Value {
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        let (_, len) = recv(&self.peer, &mut buffer[..], RecvFlags::empty()).expect("an answer");
        serde_json::from_slice(&buffer[..len]).expect("an answer in JSON")
    }
}
