//! What can be wrong with a file, said so that it can be put right: file, line, key, what was found and what would do.
//!
//! A file is read to its end: a [`ConfigError`] holds every [`Problem`] found, in the order of the lines. `Display` gives one
//! line a problem for logs; with miette's `Report` the same value shows the offending text underlined.

use crate::key_path::KeyPath;
use crate::mac::MacError;
use crate::names::NameError;
use crate::vlan::VlanError;
use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::problem::ProblemKind;

/// A file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    /// The file says things that cannot be; at least one problem.
    #[error(transparent)]
    Invalid(Problems),
}

impl ConfigError {
    /// What is wrong in the file; empty when it could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Read { .. } => &[],
            ConfigError::Invalid(problems) => &problems.list,
        }
    }
}

/// Every problem of one file, in the order of its lines. Displayed as one line each.
#[derive(Debug, Clone)]
pub struct Problems {
    pub file: String,
    pub list: Vec<Problem>,
    /// How many more there are than [`PROBLEMS_MAX`].
    pub omitted: usize,
}

/// Problems described in full: nobody reads more, and a list of subscribers can have a million.
pub const PROBLEMS_MAX: usize = 1000;

/// One thing that is wrong, and where.
#[derive(Debug, Clone)]
pub struct Problem {
    source: NamedSource<Arc<str>>,
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The key with its tables, `pools.wgar.network` or `ports[1].routes[0].via`; empty for a syntax error.
    pub key: String,
    /// The bytes of the file that the problem is about.
    pub span: Range<usize>,
    pub kind: ProblemKind,
}

/// A problem whose place in a file is not known yet: what the checks between values produce.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub at: KeyPath,
    pub kind: ProblemKind,
}

/// The text of a file with the beginnings of its lines: a file of a million subscribers is not counted through for each problem.
pub(crate) struct SourceText {
    named: NamedSource<Arc<str>>,
    line_starts: Vec<usize>,
}

impl SourceText {
    pub(crate) fn new(name: &str, text: &str) -> SourceText {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        SourceText {
            named: NamedSource::new(name, Arc::from(text)),
            line_starts,
        }
    }

    pub(crate) fn problem(&self, key: String, span: Range<usize>, kind: ProblemKind) -> Problem {
        let text = self.named.inner();
        let start = floor_char_boundary(text, span.start);
        let line = self
            .line_starts
            .partition_point(|line_start| *line_start <= start);
        let line_start = line.checked_sub(1).and_then(|at| self.line_starts.get(at));
        let before = text.get(line_start.copied().unwrap_or(0)..start).unwrap_or("");
        Problem {
            source: self.named.clone(),
            file: self.named.name().to_owned(),
            line,
            column: before.chars().count() + 1,
            key,
            span: start..floor_char_boundary(text, span.end).max(start),
            kind,
        }
    }
}

/// Spans come from the parser; a span that missed a character's edge must not become a panic.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        write!(f, "{}", self.kind)?;
        match self.kind.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.kind)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\n{}: and {omitted} problems more", self.file),
        }
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problem {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("sluice::config::{}", self.kind.code())))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.kind
            .advice()
            .map(|advice| Box::new(advice) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let length = self.span.end - self.span.start;
        let label = LabeledSpan::new(Some(self.kind.to_string()), self.span.start, length);
        Some(Box::new(std::iter::once(label)))
    }
}

impl Diagnostic for ConfigError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        match self {
            ConfigError::Read { .. } => None,
            ConfigError::Invalid(problems) => Some(Box::new(
                problems.list.iter().map(|problem| problem as &dyn Diagnostic),
            )),
        }
    }
}

impl From<NameError> for ProblemKind {
    fn from(error: NameError) -> ProblemKind {
        ProblemKind::Name(error)
    }
}

impl From<VlanError> for ProblemKind {
    fn from(error: VlanError) -> ProblemKind {
        ProblemKind::Vlan(error)
    }
}

impl From<MacError> for ProblemKind {
    fn from(error: MacError) -> ProblemKind {
        ProblemKind::Mac(error)
    }
}
