//! Harnesses on one machine take turns: while one has a program running, the others wait. Two at once measure each other.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

const LOCK: &str = "/run/lock/sluice-bench";

/// Held while a program is measured; the kernel takes it from a harness that dies.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    pub fn take() -> anyhow::Result<Turn> {
        Turn::take_at(Path::new(LOCK))
    }

    fn take_at(path: &Path) -> anyhow::Result<Turn> {
        let lock = File::create(path).with_context(|| path.display().to_string())?;
        flock(&lock, FlockOperation::LockExclusive).with_context(|| path.display().to_string())?;
        Ok(Turn { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    #[test]
    fn the_second_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (sender, receiver) = channel();
        let first = Turn::take_at(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| sender.send(Turn::take_at(&path).is_ok()).unwrap());
            let early = receiver.recv_timeout(Duration::from_millis(50));
            assert_eq!(early, Err(RecvTimeoutError::Timeout));
            drop(first);
            assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(true));
        });
    }
}
