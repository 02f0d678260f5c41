//! The `sluice` command as its users see it: arguments in; output, exit code and requests out.

mod check;
mod gateway;
mod run;
mod show;
mod subscribers;

use std::process::{Command, Output};

/// The command without what the environment would tell it.
fn sluice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command
        .env_remove("SLUICE_SOCKET")
        .env_remove("SLUICE_CONFIG")
        .env("NO_COLOR", "1");
    command
}

/// What came of it.
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Outcome {
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn run(command: &mut Command) -> Outcome {
    command.output().unwrap().into()
}

#[test]
fn wrong_usage_is_exit_code_two() {
    for arguments in [
        &["show", "everything"][..],
        &["activate", "A"],
        &[
            "activate",
            "A",
            "--service-id",
            "S",
            "--pool",
            "p",
            "--download",
            "fast",
            "--upload",
            "1M",
        ],
        &["suspend"],
        &[],
    ] {
        let outcome = run(sluice().args(arguments));
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.err);
    }
}

#[test]
fn exit_codes_are_in_the_help_and_completions_know_the_commands() {
    let help = run(sluice().arg("--help"));
    assert_eq!(help.code, 0);
    assert!(
        help.out.contains("3  the control process cannot be reached"),
        "{}",
        help.out
    );

    let script = run(sluice().args(["completions", "bash"]));
    assert_eq!(script.code, 0);
    assert!(script.out.contains("terminate") && script.out.contains("--circuit-id"));
}
