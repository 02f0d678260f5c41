//! `sluice check`.

use std::fs;

use serde_json::Value;

use crate::{run, sluice};

pub const CONFIG: &str = r#"
[[ports]]
name = "access0"
role = "access"
device = "net_tap0"
mac = "02:00:5e:00:01:01"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]

[[ports]]
name = "core0"
role = "core"
device = "net_tap1"
mac = "02:00:5e:00:02:01"
address = "192.0.2.2/24"
gateway = "192.0.2.1"

[pools.wgar]
network = "10.255.0.0/16"
"#;

#[test]
fn a_right_file_is_told_to_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    fs::write(&file, CONFIG).unwrap();

    let outcome = run(sluice().arg("check").arg(&file));

    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(
        outcome.out.contains("sluice.toml: is right: 2 ports, 1 pools"),
        "{}",
        outcome.out
    );
}

#[test]
fn a_wrong_file_is_refused_with_line_key_and_what_would_be_right() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    fs::write(&file, CONFIG.replace("network =", "netwrok =")).unwrap();

    let people = run(sluice().arg("check").arg(&file));
    let programs = run(sluice().args(["--json", "check"]).arg(&file));

    assert_eq!((people.code, people.out.as_str()), (1, ""));
    assert!(people.err.contains("sluice.toml:18"), "{}", people.err);
    assert!(people.err.contains("did you mean `network`?"), "{}", people.err);
    assert_eq!(programs.code, 1);
    let json: Value = serde_json::from_str(&programs.out).unwrap();
    assert_eq!(json["valid"], false);
    let problems = json["problems"].as_array().unwrap();
    let slip = problems
        .iter()
        .find(|problem| problem["key"] == "pools.wgar.netwrok")
        .unwrap();
    assert_eq!(slip["line"], 18);
}

#[test]
fn the_subscribers_file_is_checked_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sluice.toml");
    fs::write(
        &file,
        format!("{CONFIG}\n[aaa.local]\nfile = \"subscribers.toml\"\n"),
    )
    .unwrap();

    let missing = run(sluice().arg("check").arg(&file));
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("subscribers.toml"), "{}", missing.err);

    let subscriber = "[[subscriber]]\nont_serial = \"ADTN00000001\"\npool = \"gold\"\n";
    fs::write(dir.path().join("subscribers.toml"), subscriber).unwrap();
    let wrong = run(sluice().arg("check").arg(&file));
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("gold"), "{}", wrong.err);

    fs::write(
        dir.path().join("subscribers.toml"),
        subscriber.replace("gold", "wgar"),
    )
    .unwrap();
    let right = run(sluice().arg("check").arg(&file));
    assert_eq!(right.code, 0, "{}", right.err);
    assert!(right.out.contains("1 subscribers and 0 rules"), "{}", right.out);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let outcome = run(sluice().args(["check", "/nonexistent/sluice.toml"]));

    assert_eq!(outcome.code, 1);
    assert!(
        outcome.err.contains("/nonexistent/sluice.toml"),
        "{}",
        outcome.err
    );
}
