//! What can go wrong, and the exit code that says so.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

/// Why the command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Exit code 3.
    #[error("{}: the control process cannot be reached: {cause}{}", socket.display(), advice(.cause))]
    Unreachable { socket: PathBuf, cause: io::Error },
    /// The gateway refused; exit code 1.
    #[error("{0}")]
    Refused(String),
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The configuration is wrong; exit code 1.
    #[error("{}", .0)]
    Config(Box<sluice_config::ConfigError>),
    /// The reason was printed already; exit code 1.
    #[error("")]
    Told,
    /// Ended by a signal, which was told already; exit code 130.
    #[error("")]
    Interrupted,
    /// Nobody reads what is printed (a closed pipe): no failure.
    #[error("")]
    NoReader,
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            " (is sluice-control running? --socket or --config say where)"
        }
        io::ErrorKind::PermissionDenied => " (the socket's group may use it, see rest.socket_group)",
        _ => "",
    }
}

impl CliError {
    pub fn failed(what: impl Into<String>) -> CliError {
        CliError::Failed(what.into())
    }

    /// Of a problem document (RFC 9457): its sentence, with the field where the sentence does not name it.
    pub fn refused(status: u16, problem: &Value) -> CliError {
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        let detail = text("detail").or(text("title")).unwrap_or("no reason given");
        let field = text("field").filter(|field| !detail.contains(field));
        CliError::Refused(match field {
            Some(field) => format!("{field}: {detail} ({status})"),
            None => format!("{detail} ({status})"),
        })
    }

    /// Tells the operator.
    pub fn report(&self) {
        let text = match self {
            CliError::NoReader | CliError::Told | CliError::Interrupted => return,
            CliError::Config(error) => {
                let mut text = String::new();
                match miette::GraphicalReportHandler::new().render_report(&mut text, error.as_ref()) {
                    Ok(()) => text,
                    Err(_) => error.to_string(),
                }
            }
            other => format!("sluice: {other}"),
        };
        // Where nobody reads standard error, the exit code is all that is left to say.
        writeln!(io::stderr(), "{text}").unwrap_or_default();
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            CliError::NoReader => ExitCode::SUCCESS,
            CliError::Unreachable { .. } => ExitCode::from(3),
            CliError::Interrupted => ExitCode::from(130),
            _ => ExitCode::from(1),
        }
    }
}

impl From<sluice_config::ConfigError> for CliError {
    fn from(error: sluice_config::ConfigError) -> CliError {
        CliError::Config(Box::new(error))
    }
}
