//! Reading a TOML document key by key, so that every problem of a file is found in one go and each knows its line.
//!
//! serde would stop at the first error and forget where a value stood. Here a [`Section`] (one TOML table) is asked for each
//! key it may have; a value that is wrong is recorded and read as absent, and [`Section::finish`] reports the keys
//! nobody asked for. So the list of known keys cannot differ from the code that reads them.

use crate::error::{ConfigError, Finding, PROBLEMS_MAX, Problems, SourceText};
use crate::key_path::{KeyPath, Step};
use crate::problem::ProblemKind;
use crate::value::{Choice, Value};
use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Larger files are refused: a configuration is read by people, and the parser holds several copies of it.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// The directory of the file at `path`; empty, which is the current one, for a bare name.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Reads `path` whole. Anything but UTF-8 text of a sane size is an error that names the file.
pub(crate) fn read_file(path: &Path) -> Result<String, ConfigError> {
    let failed = |cause| ConfigError::Read {
        path: path.to_owned(),
        cause,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX as u64 {
        let message = format!("{length} bytes are more than the {FILE_BYTES_MAX} allowed");
        return Err(failed(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        )));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// Runs `read` over the document in `text`. Its answer counts only if neither it nor the syntax left a problem.
///
/// Relative paths in the document begin at `directory`.
pub(crate) fn read_document<T>(
    name: &str,
    directory: &Path,
    text: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    if !syntax_errors.is_empty() {
        let syntax = |error: &toml::de::Error| {
            let message = error.message().replace('\n', ", ");
            let finding = Finding {
                at: KeyPath::default(),
                kind: ProblemKind::Syntax { message },
            };
            (error.span().unwrap_or(0..0), finding)
        };
        return Err(invalid(name, text, syntax_errors.iter().map(syntax).collect()));
    }

    let reader = Reader {
        directory: directory.to_owned(),
        recorded: RefCell::default(),
    };
    let root = Section {
        reader: &reader,
        path: KeyPath::default(),
        span: 0..0,
        table: Some(document.get_ref()),
        asked: RefCell::default(),
    };
    let answer = read(&root);
    root.finish();

    let recorded = reader.recorded.into_inner();
    match answer {
        Some(answer) if recorded.is_empty() => return Ok(answer),
        None if recorded.is_empty() => {
            let finding = Finding {
                at: KeyPath::default(),
                kind: ProblemKind::Incomplete,
            };
            return Err(invalid(name, text, vec![(0..0, finding)]));
        }
        _ => {}
    }
    let located = recorded
        .into_iter()
        .map(|Recorded { finding, span }| (span.unwrap_or_else(|| locate(&document, &finding.at)), finding));
    Err(invalid(name, text, located.collect()))
}

fn invalid(name: &str, text: &str, mut located: Vec<(Range<usize>, Finding)>) -> ConfigError {
    located.sort_by_key(|(span, _)| span.start);
    let omitted = located.len().saturating_sub(PROBLEMS_MAX);
    located.truncate(PROBLEMS_MAX);
    let source = SourceText::new(name, text);
    let problem =
        |(span, finding): (Range<usize>, Finding)| source.problem(finding.at.to_string(), span, finding.kind);
    let list = located.into_iter().map(problem).collect();
    ConfigError::Invalid(Problems {
        file: name.to_owned(),
        list,
        omitted,
    })
}

/// The bytes of the value at `path`; where the file is silent, of the innermost table that would hold it.
fn locate(document: &Spanned<DeTable<'_>>, path: &KeyPath) -> Range<usize> {
    let mut best = 0..0;
    let mut table = Some(document.get_ref());
    let mut array = None;
    for step in path.steps() {
        let value = match step {
            Step::Key(key) => table.and_then(|table| table.get(key.as_str())),
            Step::Index(index) => array.and_then(|array: &toml::de::DeArray<'_>| array.get(*index)),
        };
        let Some(value) = value else { break };
        best = value.span();
        table = value.get_ref().as_table();
        array = value.get_ref().as_array();
    }
    best
}

struct Reader {
    /// Where the file lies: relative paths in it begin here.
    directory: PathBuf,
    recorded: RefCell<Vec<Recorded>>,
}

struct Recorded {
    finding: Finding,
    span: Option<Range<usize>>,
}

/// One table of the file. A table that is not in the file reads as one without keys.
pub(crate) struct Section<'a> {
    reader: &'a Reader,
    pub(crate) path: KeyPath,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The value of `key`, or `None` when it is absent or wrong (and then recorded).
    pub(crate) fn get<T: Value>(&self, key: &'static str) -> Option<T> {
        self.read_with(key, T::read)
    }

    pub(crate) fn get_or<T: Value>(&self, key: &'static str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// Like [`get`](Self::get), but absence is a problem; `expected` says what belongs there.
    pub(crate) fn required<T: Value>(&self, key: &'static str, expected: &'static str) -> Option<T> {
        if self.lookup(key).is_none() {
            self.missing(key, expected);
        }
        self.get(key)
    }

    pub(crate) fn missing(&self, key: &'static str, expected: &'static str) {
        self.record_span(
            self.path.key(key),
            self.span.clone(),
            ProblemKind::Missing { expected },
        );
    }

    /// An integer within `range`; `unit` is for the message.
    pub(crate) fn number<T>(
        &self,
        key: &'static str,
        range: RangeInclusive<T>,
        unit: &'static str,
    ) -> Option<T>
    where
        T: Copy + Into<u64> + TryFrom<u64>,
    {
        let (min, max) = ((*range.start()).into(), (*range.end()).into());
        self.read_with(key, |value| {
            let found = crate::value::integer(value)?;
            let outside = || ProblemKind::OutOfRange {
                found: found.to_string(),
                min,
                max,
                unit,
            };
            let number = u64::try_from(found).map_err(|_| outside())?;
            if number < min || number > max {
                return Err(outside());
            }
            T::try_from(number).map_err(|_| outside())
        })
    }

    /// A whole number of seconds within `range`.
    pub(crate) fn seconds(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, range, "seconds").map(Duration::from_secs)
    }

    /// One of the words of `T`.
    pub(crate) fn choice<T: Choice>(&self, key: &'static str) -> Option<T> {
        self.read_with(key, |value| {
            let found = crate::value::text(value, "a text")?;
            let words = || T::WORDS.iter().map(|(word, _)| *word);
            // Of two words as short as "1:1" and "n:1" any slip is near both.
            let guess = found.chars().count() > 3;
            T::WORDS
                .iter()
                .find(|(word, _)| *word == found)
                .map(|(_, choice)| *choice)
                .ok_or_else(|| ProblemKind::NotAChoice {
                    found: found.to_owned(),
                    nearest: crate::nearest::nearest(found, words())
                        .filter(|_| guess)
                        .map(str::to_owned),
                    allowed: words().map(str::to_owned).collect(),
                })
        })
    }

    /// A list; wrong elements are recorded one by one and left out.
    pub(crate) fn list<T: Value>(&self, key: &'static str) -> Option<Vec<T>> {
        let (path, value) = self.lookup(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let kind = crate::value::wrong_type(value.get_ref(), "a list in [ ]");
            self.record_span(path, value.span(), kind);
            return None;
        };
        let mut list = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            match T::read(element.get_ref()) {
                Ok(read) => list.push(read),
                Err(kind) => self.record_span(path.index(index), element.span(), kind),
            }
        }
        Some(list)
    }

    /// A path of the file system; a relative one begins at this file's directory.
    pub(crate) fn file_path(&self, key: &'static str) -> Option<PathBuf> {
        self.read_with(key, |value| match crate::value::text(value, "a path")? {
            "" => Err(ProblemKind::EmptyPath),
            path if path.contains('\0') => Err(ProblemKind::PathWithNul),
            path => Ok(self.reader.directory.join(path)),
        })
    }

    /// Whether the file has this key at all, right or wrong.
    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.lookup(key).is_some()
    }

    /// A key that means nothing in this place, with the reason.
    pub(crate) fn refuse(&self, key: &'static str, reason: &'static str) {
        // Asked for only where it stands, so that it is not offered as a known key.
        if self.table.is_some_and(|table| table.contains_key(key))
            && let Some((path, value)) = self.lookup(key)
        {
            self.record_span(path, value.span(), ProblemKind::Pointless { reason });
        }
    }

    /// The table `key`; absent and wrong ones read as empty.
    pub(crate) fn section(&self, key: &'static str) -> Section<'a> {
        match self.lookup(key) {
            Some((path, value)) => self.child(path, value),
            None => self.empty(self.path.key(key)),
        }
    }

    /// The tables of `[[key]]`, in the file's order.
    pub(crate) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some((path, value)) = self.lookup(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(array) => {
                let numbered = array.iter().enumerate();
                numbered
                    .map(|(index, value)| self.child(path.index(index), value))
                    .collect()
            }
            other => {
                let kind = crate::value::wrong_type(other, "a list of tables, each beginning [[...]]");
                self.record_span(path, value.span(), kind);
                Vec::new()
            }
        }
    }

    /// The tables under the table `key` with their names, in the file's order: `[pools.wgar]`, `[pools.business]`.
    pub(crate) fn named_sections<N: Value + Clone>(
        &self,
        key: &'static str,
    ) -> Vec<(Option<N>, Section<'a>)> {
        let parent = self.section(key);
        let Some(table) = parent.table else {
            return Vec::new();
        };
        let mut named = Vec::with_capacity(table.len());
        for (name, value) in table.iter() {
            let path = parent.path.key(name.get_ref());
            let read = N::read(&DeValue::String(name.get_ref().clone()));
            let read = read
                .map_err(|kind| self.record_span(path.clone(), name.span(), kind))
                .ok();
            named.push((name.span().start, read, self.child(path, value)));
        }
        named.sort_by_key(|(start, ..)| *start);
        named
            .into_iter()
            .map(|(_, name, section)| (name, section))
            .collect()
    }

    /// Records what a check found; the place is looked up from its path.
    pub(crate) fn record(&self, finding: Finding) {
        self.reader
            .recorded
            .borrow_mut()
            .push(Recorded { finding, span: None });
    }

    /// Records a problem with the value of `key`, or with this table where the file does not have the key.
    pub(crate) fn wrong(&self, key: &'static str, kind: ProblemKind) {
        let span = self
            .lookup(key)
            .map_or(self.span.clone(), |(_, value)| value.span());
        self.record_span(self.path.key(key), span, kind);
    }

    /// Whether nothing was recorded under any of these top tables: checks between values run only on whole ones.
    pub(crate) fn clean(&self, tables: &[&str]) -> bool {
        let recorded = self.reader.recorded.borrow();
        let under = |finding: &Finding| match finding.at.steps().first() {
            Some(Step::Key(key)) => tables.contains(&key.as_str()),
            _ => true,
        };
        !recorded.iter().any(|recorded| under(&recorded.finding))
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(&self) {
        let asked = self.asked.borrow();
        for name in self.table.iter().flat_map(|table| table.keys()) {
            let found: &str = name.get_ref();
            if asked.contains(&found) {
                continue;
            }
            let nearest = crate::nearest::nearest(found, asked.iter().copied()).map(str::to_owned);
            let known = asked.iter().map(|key| (*key).to_owned()).collect();
            let kind = ProblemKind::UnknownKey { nearest, known };
            self.record_span(self.path.key(found), name.span(), kind);
        }
    }

    fn read_with<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, ProblemKind>,
    ) -> Option<T> {
        let (path, value) = self.lookup(key)?;
        read(value.get_ref())
            .map_err(|kind| self.record_span(path, value.span(), kind))
            .ok()
    }

    fn lookup(&self, key: &'static str) -> Option<(KeyPath, &'a Spanned<DeValue<'a>>)> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table?.get(key).map(|value| (self.path.key(key), value))
    }

    fn child(&self, path: KeyPath, value: &'a Spanned<DeValue<'a>>) -> Section<'a> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let kind = crate::value::wrong_type(value.get_ref(), "a table");
            self.record_span(path.clone(), value.span(), kind);
        }
        Section {
            reader: self.reader,
            path,
            span: value.span(),
            table,
            asked: RefCell::default(),
        }
    }

    fn empty(&self, path: KeyPath) -> Section<'a> {
        Section {
            reader: self.reader,
            path,
            span: self.span.clone(),
            table: None,
            asked: RefCell::default(),
        }
    }

    fn record_span(&self, at: KeyPath, span: Range<usize>, kind: ProblemKind) {
        self.reader.recorded.borrow_mut().push(Recorded {
            finding: Finding { at, kind },
            span: Some(span),
        });
    }
}
