//! Query parameters: each known, given once, and refused by name.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::problem::Problem;

/// The decoded pairs of a query string.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map(|Query(pairs)| Params(pairs))
            .map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl Params {
    /// Refuses a parameter that is not of `known`, and one given twice: a mistyped filter must not list everything.
    pub fn only(self, known: &[&str]) -> Result<Params, Problem> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = format!("no parameter {name:?} here, there are: {}", known.join(", "));
                return Err(Problem::malformed(detail).at(name.as_str()));
            }
            if self.0.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Err(Problem::malformed(format!("{name} is given twice")).at(name.as_str()));
            }
        }
        Ok(self)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// The parameter as a `T`; `None` where it is not given.
    pub fn get<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.read(name, |text| text.parse::<T>().map_err(|e| e.to_string()))
    }

    /// The parameter by a reader of its own.
    pub fn read<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        reader(text)
            .map(Some)
            .map_err(|why| Problem::malformed(format!("{name}={text:?}: {why}")).at(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Params(pairs.iter().map(owned).collect())
    }

    #[test]
    fn a_mistyped_filter_is_refused_and_does_not_list_everything() {
        let problem = params(&[("stat", "active")])
            .only(&["state", "pool"])
            .unwrap_err();

        assert_eq!(problem.status, 400);
        assert_eq!(problem.field.as_deref(), Some("stat"));
        assert_eq!(
            problem.detail,
            "no parameter \"stat\" here, there are: state, pool"
        );
    }

    #[test]
    fn a_parameter_counts_once() {
        let problem = params(&[("pool", "a"), ("pool", "b")])
            .only(&["pool"])
            .unwrap_err();

        assert_eq!(problem.detail, "pool is given twice");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_by_name() {
        let problem = params(&[("ip", "10.0.0")])
            .get::<std::net::Ipv4Addr>("ip")
            .unwrap_err();

        assert_eq!(problem.field.as_deref(), Some("ip"));
        assert!(
            problem.detail.starts_with("ip=\"10.0.0\": "),
            "{}",
            problem.detail
        );
    }
}
