//! `[node]`: who this gateway is and where it keeps its files.

use crate::names::NodeId;
use crate::problem::ProblemKind;
use crate::reader::Section;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket: `sockaddr_un.sun_path` has 108 bytes with the closing NUL (unix(7)).
pub const SOCKET_PATH_MAX: usize = 107;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Also the shared-memory segment's name.
    pub id: NodeId,
    /// What lives as long as the processes: locks, sockets, and the segment when there are no hugepages.
    pub run_dir: PathBuf,
    /// What outlives a reboot: the store.
    pub state_dir: PathBuf,
    pub hugetlbfs: Hugetlbfs,
}

/// Where the segment's pages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hugetlbfs {
    /// The first hugetlbfs mount found; ordinary pages with a warning where there is none.
    Auto,
    /// This mount, or an error.
    Mount(PathBuf),
    /// Ordinary pages in the run directory.
    None,
}

impl NodeConfig {
    /// The Unix socket of the REST API, which the CLI uses.
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The lock file that decides who creates the segment.
    pub fn segment_lock(&self) -> PathBuf {
        self.run_dir.join("segment.lock")
    }

    /// The durable store.
    pub fn store_file(&self) -> PathBuf {
        self.state_dir.join("store.redb")
    }

    pub(crate) fn read(section: &Section<'_>) -> NodeConfig {
        let default = NodeConfig::default();
        let node = NodeConfig {
            id: section.get_or("id", default.id),
            run_dir: section.file_path("run_dir").unwrap_or(default.run_dir),
            state_dir: section.file_path("state_dir").unwrap_or(default.state_dir),
            hugetlbfs: match section.get::<String>("hugetlbfs").as_deref() {
                None | Some("auto") => Hugetlbfs::Auto,
                Some("none") => Hugetlbfs::None,
                Some(mount) if Path::new(mount).is_absolute() => Hugetlbfs::Mount(mount.into()),
                Some(found) => {
                    section.wrong(
                        "hugetlbfs",
                        ProblemKind::NotAMount {
                            found: found.to_owned(),
                        },
                    );
                    Hugetlbfs::Auto
                }
            },
        };
        check_socket_path(section, "run_dir", &node.control_socket());
        section.finish();
        node
    }
}

/// A longer path would fail at bind(2), when the gateway is already half started.
pub(crate) fn check_socket_path(section: &Section<'_>, key: &'static str, path: &Path) {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        section.wrong(
            key,
            ProblemKind::SocketPathTooLong {
                path: path.to_owned(),
                length,
            },
        );
    }
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            id: NodeId::default(),
            run_dir: "/run/sluice".into(),
            state_dir: "/var/lib/sluice".into(),
            hugetlbfs: Hugetlbfs::Auto,
        }
    }
}
