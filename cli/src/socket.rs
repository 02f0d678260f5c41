//! Which socket to ask.

use std::path::{Path, PathBuf};

use sluice_config::{Config, NodeConfig};

use crate::error::CliError;

/// Where the configuration is if nobody says.
pub const CONFIG: &str = "/etc/sluice/sluice.toml";

/// The socket that is named, else that of the configuration that is named, else that of the usual configuration if there is one,
/// else the usual socket.
pub fn find(socket: Option<&Path>, config: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(socket) = socket {
        return Ok(socket.to_owned());
    }
    let usual = Path::new(CONFIG);
    match config {
        Some(file) => Ok(Config::load(file)?.node.control_socket()),
        None if usual.exists() => Ok(Config::load(usual)?.node.control_socket()),
        None => Ok(NodeConfig::default().control_socket()),
    }
}
