//! `[olt]`: where the access nodes' management answers, so that an activation can reconfigure an ONT.

use crate::node::{NodeConfig, check_socket_path};
use crate::reader::Section;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OltConfig {
    /// A Unix socket; `None` when there is none: activation then only changes state and waits for the client.
    pub socket: Option<PathBuf>,
}

impl OltConfig {
    pub(crate) fn read(section: &Section<'_>, node: &NodeConfig) -> OltConfig {
        let socket = match section.get::<String>("socket").as_deref() {
            None => Some(node.run_dir.join("olt.sock")),
            Some("") => None,
            Some(_) => section.file_path("socket"),
        };
        if let Some(path) = &socket {
            check_socket_path(section, "socket", path);
        }
        section.finish();
        OltConfig { socket }
    }
}
