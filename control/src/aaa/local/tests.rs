//! Who is known, and what happens when the file changes.

use std::sync::Mutex;

use super::*;
use crate::engine::Ticket;
use crate::session::{Access, Identity, Line, Mac};

const FILE: &str = r#"
[[subscriber]]
ont_serial = "ADTN00000001"
pool = "isp"
service_id = "SVC-001"
qos_download_bps = 100000000
qos_upload_bps = 20000000

[[subscriber]]
circuit_id = "agg-01|1/1/2"
pool = "business"
state = "suspended"

[[rule]]
name = "block"
port = "access0"
s_vlans = "101-102"
c_vlans = "1-100"
pool = "isp"
service_id = "BLOCK"

[[rule]]
name = "node"
circuit_id_prefix = "agg-02|"
pool = "isp"
state = "wgar"
"#;

fn config() -> Arc<Config> {
    Arc::new(Config::parse("sluice.toml", crate::engine::testing::CONFIG).unwrap())
}

fn local(text: &str) -> Local {
    let config = config();
    let subscribers = Subscribers::parse("subscribers.toml", text, &config).unwrap();
    Local::new(config, subscribers)
}

fn request(line: Option<(u16, u16, u16)>, serial: Option<&str>, circuit: Option<&str>) -> AaaRequest {
    AaaRequest {
        ticket: Ticket(1),
        identity: Identity("x".into()),
        access: Access {
            ont_serial: serial.map(str::to_owned),
            circuit_id: circuit.map(str::to_owned),
            ..Access::default()
        },
        line: line.map(|(port, s_vlan, c_vlan)| Line { port, s_vlan, c_vlan }),
        mac: Mac([2, 0, 0, 0, 0, 1]),
    }
}

fn answer(local: &Local, request: &AaaRequest) -> Option<(String, Option<String>, Standing)> {
    match local.look_up(request) {
        AaaAnswer::Accept(service, standing) => Some((service.pool, service.service_id, standing)),
        AaaAnswer::Unknown => None,
        AaaAnswer::Failed(e) => panic!("{e}"),
    }
}

#[test]
fn serial_then_circuit_then_rules_in_order() {
    let local = local(FILE);
    let found = |pool: &str, service: Option<&str>, standing| {
        Some((pool.to_owned(), service.map(str::to_owned), standing))
    };

    let serial = request(Some((0, 101, 1)), Some("ADTN00000001"), Some("agg-01|1/1/2"));
    assert_eq!(
        answer(&local, &serial),
        found("isp", Some("SVC-001"), Standing::Active)
    );
    let circuit = request(Some((0, 101, 1)), Some("other"), Some("agg-01|1/1/2"));
    assert_eq!(
        answer(&local, &circuit),
        found("business", None, Standing::Suspended)
    );
    let rule = request(Some((0, 102, 100)), None, None);
    assert_eq!(
        answer(&local, &rule),
        found("isp", Some("BLOCK"), Standing::Active)
    );
    let prefix = request(Some((0, 103, 1)), None, Some("agg-02|7"));
    assert_eq!(answer(&local, &prefix), found("isp", None, Standing::Wgar));
    for unknown in [
        request(Some((0, 102, 101)), None, None),
        request(Some((1, 101, 1)), None, None),
        request(None, None, Some("agg-01|9")),
        request(Some((77, 101, 1)), None, None),
    ] {
        assert_eq!(answer(&local, &unknown), None, "{unknown:?}");
    }
}

#[test]
fn rates_that_are_not_written_are_unlimited() {
    let local = local(FILE);

    let AaaAnswer::Accept(service, _) = local.look_up(&request(Some((0, 101, 1)), None, None)) else {
        panic!("unknown")
    };

    assert_eq!(service.qos, Qos::default());
}

#[test]
fn a_file_that_changed_is_read_again_and_a_wrong_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (sluice, subscribers) = (
        directory.path().join("sluice.toml"),
        directory.path().join("subscribers.toml"),
    );
    let text = crate::engine::testing::CONFIG;
    std::fs::write(
        &sluice,
        format!("{text}\n[aaa.local]\nfile = \"subscribers.toml\"\n"),
    )
    .unwrap();
    std::fs::write(&subscribers, FILE).unwrap();
    let local = Local::load(Arc::new(Config::load(&sluice).unwrap())).unwrap();
    let him = request(None, Some("ADTN00000001"), None);
    assert_eq!(answer(&local, &him).unwrap().0, "isp");

    std::fs::write(&subscribers, FILE.replacen("\"isp\"", "\"business\"", 1)).unwrap();
    assert_eq!(local.reload().unwrap(), (2, 2));
    assert_eq!(answer(&local, &him).unwrap().0, "business");

    std::fs::write(&subscribers, "[[subscriber]]\npool = 7").unwrap();
    assert!(local.reload().is_err());
    assert_eq!(answer(&local, &him).unwrap().0, "business");
}

#[test]
fn a_backend_answers_through_what_it_was_given_and_cannot_forget_to() {
    let heard: Arc<Mutex<Vec<(Ticket, AaaAnswer)>>> = Arc::default();
    let sink: crate::aaa::Sink = {
        let heard = heard.clone();
        Arc::new(move |ticket, answer| heard.lock().unwrap().push((ticket, answer)))
    };
    let local = local(FILE);

    local.authorize(request(None, None, None), Answer::new(Ticket(5), sink.clone()));
    drop(Answer::new(Ticket(6), sink));

    let heard = heard.lock().unwrap();
    assert_eq!(heard[0], (Ticket(5), AaaAnswer::Unknown));
    assert_eq!(heard[1].0, Ticket(6));
    assert!(matches!(heard[1].1, AaaAnswer::Failed(_)));
}
