//! What must hold between values: the checks that no single key can answer for.
//!
//! Each check is a pure function from a [`Config`] to findings. [`CHECKS`] names the tables each one reads; it runs only when those were
//! read without a problem, so that one mistake is not reported as three.

use crate::Config;
use crate::error::Finding;

type Check = fn(&Config) -> Vec<Finding>;

pub(crate) const CHECKS: &[(&[&str], Check)] = &[];

/// Every check, for a configuration that no file stands behind.
pub(crate) fn all(config: &Config) -> Vec<Finding> {
    CHECKS.iter().flat_map(|(_, check)| check(config)).collect()
}
