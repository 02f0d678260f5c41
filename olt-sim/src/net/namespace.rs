//! A network namespace by its `ip netns` name, and running code inside it.
//!
//! A socket or TAP descriptor belongs to the namespace in which it was made, for ever: so a short-lived
//! thread enters the namespace, makes it, and hands it out to whoever will use it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const MOUNTS: &str = "/run/netns";

/// A namespace to work in: the process's own, or one that `ip netns` knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Netns {
    name: Option<String>,
}

impl Netns {
    /// The namespace this process runs in.
    pub fn own() -> Self {
        Self { name: None }
    }

    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
        }
    }

    pub fn from_option(name: Option<&str>) -> Self {
        Self {
            name: name.map(str::to_owned),
        }
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The file that stands for a named namespace.
    pub fn path(&self) -> Option<PathBuf> {
        self.name.as_ref().map(|name| Path::new(MOUNTS).join(name))
    }

    /// Runs `work` inside the namespace and gives its result. Descriptors made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Some(path) = self.path() else {
            return Ok(work());
        };
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new()
                .name("netns".into())
                .spawn_scoped(scope, || {
                    enter(&path)?;
                    Ok(work())
                })?;
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Moves the calling thread, which must be one made for this, into the namespace.
fn enter(path: &Path) -> io::Result<()> {
    let file = File::open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("namespace {}: {error}", path.display())))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("entering namespace {}: {error}", path.display()),
        )
    })
}
