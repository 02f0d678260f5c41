//! `[aaa.*]`: who says which subscriber gets what. So far the embedded local file; without one nobody is known, and
//! everybody begins in the walled garden.

use crate::reader::Section;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AaaConfig {
    pub local: Option<LocalAaa>,
}

/// `[aaa.local]`: subscribers and rules in a file, see [`crate::subscribers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAaa {
    /// Already joined with the configuration's directory where the operator wrote a relative path.
    pub file: PathBuf,
}

impl AaaConfig {
    pub(crate) fn read(section: &Section<'_>) -> AaaConfig {
        let local = section
            .has("local")
            .then(|| LocalAaa::read(&section.section("local")))
            .flatten();
        section.finish();
        AaaConfig { local }
    }
}

impl LocalAaa {
    fn read(section: &Section<'_>) -> Option<LocalAaa> {
        if !section.has("file") {
            section.missing("file", "the path of the subscribers' file");
        }
        let file = section.file_path("file");
        section.finish();
        file.map(|file| LocalAaa { file })
    }
}
