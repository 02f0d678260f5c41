//! Why a scenario could not be played to its end.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("interrupted")]
    Interrupted,
    /// Something is missing that the user can provide.
    #[error("{0}")]
    Unprepared(String),
    #[error("{what}: {cause}")]
    Failed { what: String, cause: io::Error },
}

/// Says what was being done when it failed.
pub trait While<T> {
    fn during(self, what: impl Into<String>) -> Result<T, DemoError>;
}

impl<T> While<T> for io::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T, DemoError> {
        self.map_err(|cause| DemoError::Failed {
            what: what.into(),
            cause,
        })
    }
}
