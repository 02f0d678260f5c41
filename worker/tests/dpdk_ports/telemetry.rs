//! Our commands on DPDK's telemetry socket.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};

use crate::story::{in_own_process, start_with};

#[test]
fn a_command_of_ours_is_answered() {
    in_own_process("telemetry::a_command_of_ours_is_answered", || {
        let prefix = format!("sluice-test-{}", std::process::id());
        let eal = start_with(&["--file-prefix", &prefix], &[]);
        eal.add_telemetry(
            "/sluice/info",
            "Says what runs. Takes a word.",
            |parameters, reply| {
                reply.text("node", "bng-01");
                reply.text("asked", parameters);
                reply.number("lcores", 2);
            },
        )
        .expect("a command");
        eal.add_telemetry("/sluice/broken", "Panics.", |_, _| panic!("on purpose"))
            .expect("a command");
        let twice = eal
            .add_telemetry("/sluice/info", "Again.", |_, _| ())
            .expect_err("a refusal")
            .to_string();
        let nul = eal
            .add_telemetry("/sluice/\0", "", |_, _| ())
            .expect_err("a refusal")
            .to_string();

        let directory = eal.runtime_dir();
        let peer = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        let address = SocketAddrUnix::new(directory.join("dpdk_telemetry.v2")).expect("an address");
        connect(&peer, &address).expect("the telemetry socket");
        let mut buffer = vec![0; 16 * 1024];
        let mut next = || {
            let (_, len) = recv(&peer, &mut buffer[..], RecvFlags::empty()).expect("an answer");
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        let greeting = next();
        send(&peer, b"/sluice/info,word", SendFlags::empty()).expect("a request");
        let answer = next();
        send(&peer, b"/sluice/broken", SendFlags::empty()).expect("a request");
        let broken = next();

        assert!(greeting.contains("22.11"), "{greeting}");
        assert_eq!(
            answer,
            r#"{"/sluice/info":{"node":"bng-01","asked":"word","lcores":2}}"#
        );
        assert_eq!(broken, r#"{"/sluice/broken":null}"#);
        assert_eq!(twice, "telemetry command /sluice/info exists");
        assert!(nul.contains("NUL"), "{nul}");
        drop(eal);
        std::fs::remove_dir_all(&directory).expect("remove what EAL leaves");
    });
}
