//! The access node's API, its events, and the program around it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hyper::Method;
use olt_sim::lab::namespace::{can_run, wait_until};
use olt_sim::lab::{Lab, Process};
use olt_sim::unix_http::request_blocking;
use olt_sim::{Olt, OltConfig, Tagging, TrunkConfig};
use serde_json::{Value, json};

use crate::bng::Trunk;

const PATIENCE: Duration = Duration::from_secs(10);

/// A stand-in for the control process that keeps what it is told.
struct Control {
    heard: Arc<Mutex<Vec<Value>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Control {
    fn start(socket: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let router = axum::Router::new()
            .route("/api/v1/olt/events", post(hear))
            .with_state(heard.clone());
        let guard = runtime.enter();
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        drop(guard);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            heard,
            _runtime: runtime,
        }
    }

    fn wait_for(&self, count: usize) -> Vec<Value> {
        wait_until(PATIENCE, || {
            (self.heard.lock().unwrap().len() >= count).then_some(())
        });
        self.heard.lock().unwrap().clone()
    }
}

async fn hear(State(heard): State<Arc<Mutex<Vec<Value>>>>, Json(event): Json<Value>) -> StatusCode {
    // What control does not understand it refuses, and the queue behind must not wait for that.
    if event["ont_serial"] == "REFUSED" {
        return StatusCode::UNPROCESSABLE_ENTITY;
    }
    heard.lock().unwrap().push(event);
    StatusCode::ACCEPTED
}

fn types(events: &[Value]) -> Vec<(&str, &str)> {
    events
        .iter()
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["ont_serial"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn an_ont_is_managed_over_the_socket_and_control_hears_of_it() {
    if !can_run("an_ont_is_managed_over_the_socket_and_control_hears_of_it") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let _trunk = Trunk::make(&bng);
    let (socket, control_socket) = (
        lab.directory().join("olt.sock"),
        lab.directory().join("control.sock"),
    );
    let control = Control::start(&control_socket);
    let mut config = OltConfig::new(
        "agg-01",
        TrunkConfig::new("trunk0", Some(bng.name()), Tagging::Qinq),
    );
    config.socket = Some(socket.clone());
    config.control = Some(control_socket);
    let olt = Olt::start(config.clone()).unwrap();
    let ask = |method: Method, path: &str, body: Option<Value>| {
        let answer = request_blocking(&socket, method, path, body.as_ref()).unwrap();
        (answer.status.as_u16(), answer.json())
    };
    let wish = |serial: &str, c_vlan: u16, interface: &str| {
        let port = format!("1/1/{c_vlan}");
        Some(
            json!({"serial": serial, "port": port, "s_vlan": 100, "c_vlan": c_vlan,
                    "namespace": home.name(), "interface": interface}),
        )
    };

    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o660
    );
    let (status, ont) = ask(Method::POST, "/v1/onts", wish("ADTN00000003", 3, "eth0"));
    assert_eq!((status, &ont["circuit_id"]), (201, &json!("agg-01|1/1/3")));
    assert_eq!(
        ask(Method::POST, "/v1/onts", wish("ADTN00000003", 4, "eth1")).0,
        409
    );
    assert_eq!(ask(Method::POST, "/v1/onts", wish("OTHER", 3, "eth1")).0, 409);
    assert_eq!(ask(Method::POST, "/v1/onts", wish("REFUSED", 9, "eth2")).0, 201);

    let reconfigure = "/v1/onts/ADTN00000003/reconfigure";
    let change = json!({"pool": "isp-residential", "qos_download_bps": 100_000_000, "qos_upload_bps": 20_000_000,
                        "s_vlan": null, "c_vlan": 5, "bounce": true});
    let (status, answer) = ask(Method::POST, reconfigure, Some(change));
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"ont_serial": "ADTN00000003", "s_vlan": 100, "c_vlan": 5})
        )
    );
    let (status, problem) = ask(Method::POST, reconfigure, Some(json!({"c_vlan": 9})));
    assert_eq!(status, 409);
    assert!(
        problem["detail"].as_str().unwrap().contains("REFUSED"),
        "{problem}"
    );
    assert_eq!(
        ask(Method::POST, reconfigure, Some(json!({"c_vlan": 4095}))).0,
        422
    );
    assert_eq!(
        ask(Method::POST, "/v1/onts/NOBODY/reconfigure", Some(json!({}))).0,
        404
    );
    let (_, shown) = ask(Method::GET, "/v1/onts/ADTN00000003", None);
    assert_eq!(shown["profile"]["pool"], "isp-residential");
    assert_eq!(ask(Method::POST, "/v1/onts/ADTN00000003/bounce", None).0, 202);
    assert_eq!(
        ask(Method::PUT, "/v1/filter", Some(json!({"enabled": false}))).0,
        200
    );
    assert_eq!(ask(Method::GET, "/v1/filter", None).1, json!({"enabled": false}));
    assert_eq!(ask(Method::GET, "/v1/onts", None).1.as_array().unwrap().len(), 2);
    assert_eq!(ask(Method::DELETE, "/v1/onts/ADTN00000003", None).0, 204);
    assert_eq!(ask(Method::DELETE, "/v1/onts/ADTN00000003", None).0, 404);

    let serial = "ADTN00000003";
    let heard = control.wait_for(4);
    assert_eq!(
        types(&heard),
        [
            ("NewONTDetected", serial),
            ("ONTProvisioned", serial),
            ("ONTReconfigured", serial),
            ("ONTDisconnected", serial)
        ]
    );
    assert_eq!(
        (&heard[2]["c_vlan"], &heard[2]["bng_port"]),
        (&json!(5), &json!("access0"))
    );
    assert!(Olt::start(config).is_err(), "two nodes on one socket");
    drop(olt);
    assert!(!socket.exists());
}

#[test]
fn control_that_was_away_gets_the_newest_event_of_each_ont() {
    if !can_run("control_that_was_away_gets_the_newest_event_of_each_ont") {
        return;
    }
    let lab = Lab::new().unwrap();
    let home = lab.namespace("cpe1").unwrap();
    let control_socket = lab.directory().join("control.sock");
    let mut config = OltConfig::new(
        "agg-01",
        TrunkConfig::new("trunk0", Some(home.name()), Tagging::Qinq),
    );
    config.control = Some(control_socket.clone());
    let olt = Olt::start(config).unwrap();
    let vlan = |id: u16| olt_sim::wire::VlanId::new(id).unwrap();
    for number in 1..=3 {
        let serial = format!("ADTN{number:08}");
        let mut ont = olt_sim::OntConfig::qinq(&serial, "1/1/1", vlan(100), vlan(number), home.name());
        ont.interface = format!("eth{number}");
        olt.connect(ont).unwrap();
    }
    olt.disconnect("ADTN00000002").unwrap();
    let coalesced = wait_until(PATIENCE, || (olt.stats().events.waiting == 3).then_some(()));
    assert!(coalesced.is_some(), "{:?}", olt.stats().events);

    let control = Control::start(&control_socket);

    let heard = control.wait_for(3);
    assert_eq!(
        types(&heard),
        [
            ("ONTProvisioned", "ADTN00000001"),
            ("ONTProvisioned", "ADTN00000003"),
            ("ONTDisconnected", "ADTN00000002")
        ]
    );
    let empty = wait_until(PATIENCE, || (olt.stats().events.waiting == 0).then_some(()));
    assert!(empty.is_some());
    assert_eq!(olt.stats().events.delivered, 3);
}

#[test]
fn the_program_runs_from_a_file_and_ends_on_a_signal() {
    if !can_run("the_program_runs_from_a_file_and_ends_on_a_signal") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let _trunk = Trunk::make(&bng);
    let file = lab.directory().join("olt.toml");
    let socket = lab.directory().join("olt.sock");
    let text = format!(
        "access_node = \"agg-01\"\nsocket = \"{}\"\n[trunk]\ninterface = \"trunk0\"\nnamespace = \"{}\"\n\
         [[onts]]\nserial = \"ADTN00000001\"\nport = \"1/1/1\"\ns_vlan = 100\nc_vlan = 1\nnamespace = \"{}\"\n",
        socket.display(),
        bng.name(),
        home.name()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-olt"));
    command.arg("--config").arg(&file);
    command.args([
        "--ont",
        &format!("ADTN00000002:1/1/2:100.2/n:{}", bng.name()),
        "--no-filter",
    ]);

    let olt = Process::start(
        "sluice-olt",
        command,
        &olt_sim::net::Netns::own(),
        &lab.directory().join("log"),
    )
    .unwrap();
    olt.wait_ready(PATIENCE, |process| process.has_said("ready"))
        .unwrap();

    let onts = request_blocking(&socket, Method::GET, "/v1/onts", None)
        .unwrap()
        .json();
    assert_eq!(
        (&onts[0]["port"], &onts[1]["model"]),
        (&json!("1/1/1"), &json!("n:1"))
    );
    let stats = request_blocking(&socket, Method::GET, "/v1/stats", None)
        .unwrap()
        .json();
    assert_eq!((&stats["trunk_up"], &stats["onts"]), (&json!(true), &json!(2)));
    assert!(home.ip(&["link", "show", "eth0"]).unwrap().contains("LOWER_UP"));
    assert!(olt.stop().unwrap().success(), "{}", olt.log());
    assert!(!socket.exists());
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let command = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sluice-olt"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(command(&["--config", "/nowhere/olt.toml"]).contains("/nowhere/olt.toml"));
    assert!(command(&["--trunk", "t0", "--ont", "A:1/1/1:100.4095:cpe1"]).contains("4095 is not a VLAN"));
    assert!(command(&[]).contains("--trunk"));
}
