//! How errors read: in a log, one line each, and on a terminal, with the text underlined.

use miette::{GraphicalReportHandler, GraphicalTheme};
use sluice_config::{Config, ConfigError};
use std::path::Path;

const WRONG: &str = r#"[node]
id = "bng 01"

[worker]
burst = 1024
idel = "poll"

[[ports]]
name = "access0"
role = "access"
device = "net_tap0"
mac = "02:00:5e:00:01"
lines = [{ s_vlans = "100", c_vlans = "0-4094" }]

[pools.wgar]
network = "10.255.0.0/16"
lease_seconds = 0
"#;

fn error() -> ConfigError {
    Config::parse("sluice.toml", WRONG).unwrap_err()
}

#[test]
fn all_problems_of_a_file_are_found_at_once_in_its_order() {
    let expected = [
        "sluice.toml:2: node.id contains ' '; allowed are letters, digits, '.', '_' and '-', beginning with a letter or digit",
        "sluice.toml:5: worker.burst is 1024, outside 4..=256 packets",
        "sluice.toml:6: worker.idel is no key of this table; did you mean `idle`?",
        "sluice.toml:12: ports[0].mac is no Ethernet address; six hexadecimal octets are, such as 02:00:5e:00:01:01",
        "sluice.toml:13: ports[0].lines[0].c_vlans VLAN id 0 is outside 1..=4094",
        "sluice.toml:17: pools.wgar.lease_seconds is 0, outside 1..=315360000 seconds",
    ];

    assert_eq!(error().to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_problem_knows_its_column_and_the_bytes_it_is_about() {
    let text =
        "ports = []\r\npools = {}\r\n[node]\r\nid = \"ü\" # no umlaut\r\n[worker]\r\nspread = \"hardware\"";
    let problems = Config::parse("sluice.toml", text)
        .unwrap_err()
        .problems()
        .to_vec();

    let places: Vec<_> = problems
        .iter()
        .map(|p| (p.line, p.column, &text[p.span.clone()]))
        .collect();
    assert_eq!(places[1], (4, 6, "\"ü\""));
    assert_eq!(places[2], (6, 10, "\"hardware\""));
}

#[test]
fn a_terminal_shows_the_wrong_text_underlined() {
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(160);
    handler.render_report(&mut shown, &error()).unwrap();

    assert!(shown.contains("sluice::config::unknown_key"), "{shown}");
    assert!(shown.contains("[sluice.toml:6:1]"), "{shown}");
    assert!(shown.contains("idel = \"poll\""), "{shown}");
    assert!(shown.contains("help: did you mean `idle`?"), "{shown}");
    assert_eq!(shown.matches("╭─").count(), 6, "{shown}");
}

#[test]
fn syntax_errors_are_all_reported_too() {
    let error = Config::parse("sluice.toml", "[node]\nid = \n[worker]\nburst = = 3\n").unwrap_err();

    let lines: Vec<usize> = error.problems().iter().map(|problem| problem.line).collect();
    assert!(lines.contains(&2) && lines.contains(&4), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Path::new("/nonexistent/sluice.toml")).unwrap_err();

    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/sluice.toml: No such file"),
        "{error}"
    );
    assert!(error.problems().is_empty());
}

#[test]
fn a_file_full_of_mistakes_is_summed_up() {
    let text: String = (0..5000).map(|at| format!("wrong{at} = 1\n")).collect();
    let error = Config::parse("sluice.toml", &text).unwrap_err();

    assert_eq!(error.problems().len(), 1000);
    // 5000 keys, and the ports and pools that are missing.
    assert!(
        error.to_string().ends_with("sluice.toml: and 4002 problems more"),
        "{error}"
    );
}
