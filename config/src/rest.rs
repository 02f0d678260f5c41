//! `[rest]`: who may reach the REST API. The Unix socket `control.sock` is always there; TCP can be switched off.

use crate::names::{GroupName, HostName};
use crate::problem::ProblemKind;
use crate::reader::Section;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestConfig {
    /// Loopback only, since the API has no TLS; `None` is the Unix socket alone.
    pub listen: Option<SocketAddr>,
    /// The bearer token of TCP clients.
    pub token_file: PathBuf,
    /// Accepted Host headers, without port: a page from elsewhere cannot rebind its name to us.
    pub hosts: Vec<HostName>,
    /// Group of the Unix socket; `None` leaves it to the process's own.
    pub socket_group: Option<GroupName>,
}

impl RestConfig {
    pub(crate) fn read(section: &Section<'_>) -> RestConfig {
        let default = RestConfig::default();
        let rest = RestConfig {
            listen: match section.get::<String>("listen").as_deref() {
                None => default.listen,
                Some("") => None,
                Some(_) => section.get::<SocketAddr>("listen"),
            },
            token_file: section.file_path("token_file").unwrap_or(default.token_file),
            hosts: section.list("hosts").unwrap_or(default.hosts),
            socket_group: match section.get::<String>("socket_group").as_deref() {
                None | Some("") => None,
                Some(_) => section.get("socket_group"),
            },
        };
        if let Some(listen) = rest.listen.filter(|listen| !listen.ip().is_loopback()) {
            section.wrong("listen", ProblemKind::ListenNotLoopback { found: listen });
        }
        if rest.listen.is_some() && section.has("hosts") && rest.hosts.is_empty() {
            section.wrong("hosts", ProblemKind::NoHosts);
        }
        section.finish();
        rest
    }
}

impl Default for RestConfig {
    fn default() -> RestConfig {
        RestConfig {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            token_file: "/etc/sluice/rest.token".into(),
            hosts: ["localhost", "127.0.0.1"]
                .iter()
                .filter_map(|host| HostName::new(host).ok())
                .collect(),
            socket_group: None,
        }
    }
}
