//! Who may come in by TCP: a Host that is ours, and the bearer token.
//!
//! The Host check comes first: a web page whose name was rebound to our address (DNS rebinding) carries that name in `Host`, and its
//! browser would send whatever credentials it has. The token is compared in constant time and read from a file that nobody else can read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use sluice_config::HostName;
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// Shorter tokens can be guessed.
const TOKEN_MIN: usize = 16;
const TOKEN_MAX: usize = 1024;
/// 256 bits, written as hex.
const TOKEN_MADE_BYTES: usize = 32;

/// What probes and readers of the documentation may see without a token. Nothing in it is about a subscriber.
const OPEN: &[&str] = &["/health", "/ready", "/openapi.json", "/docs"];

/// The bearer token of TCP clients. Never shown.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// Why a token cannot be had from a file.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("rest.token_file {}: {cause}; rest.listen = \"\" serves the Unix socket alone, without a token", path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("rest.token_file {}: its mode is {mode:04o} and others may read it: chmod 600 it and change the token", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("rest.token_file {}: is no ordinary file", path.display())]
    NoFile { path: PathBuf },
    #[error("rest.token_file {}: {what}; want {TOKEN_MIN} to {TOKEN_MAX} printable ASCII characters without spaces", path.display())]
    Unfit { path: PathBuf, what: String },
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Reads the token of `path`; where there is no such file, makes one with a random token.
    pub fn load_or_make(path: &Path) -> Result<Token, TokenError> {
        match Token::load(path) {
            Err(TokenError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                let token = Token::make(path)?;
                tracing::info!(path = %path.display(), "made a token for the REST API");
                Ok(token)
            }
            other => other,
        }
    }

    fn load(path: &Path) -> Result<Token, TokenError> {
        let io = |cause| TokenError::Io {
            path: path.to_owned(),
            cause,
        };
        let file = File::open(path).map_err(io)?;
        // Of the opened file, not of the path: what was looked at is what is read.
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(TokenError::NoFile {
                path: path.to_owned(),
            });
        }
        if about.mode() & 0o077 != 0 {
            return Err(TokenError::Exposed {
                path: path.to_owned(),
                mode: about.mode() & 0o7777,
            });
        }
        let mut text = String::new();
        file.take(TOKEN_MAX as u64 + 2)
            .read_to_string(&mut text)
            .map_err(io)?;
        Token::new(text.trim_end()).map_err(|what| TokenError::Unfit {
            path: path.to_owned(),
            what,
        })
    }

    fn make(path: &Path) -> Result<Token, TokenError> {
        let io = |cause| TokenError::Io {
            path: path.to_owned(),
            cause,
        };
        let mut random = [0u8; TOKEN_MADE_BYTES];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut random))
            .map_err(io)?;
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        writeln!(file, "{text}").map_err(io)?;
        Ok(Token(text.into()))
    }

    fn new(text: &str) -> Result<Token, String> {
        if !(TOKEN_MIN..=TOKEN_MAX).contains(&text.len()) {
            return Err(format!("the token has {} characters", text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has other characters".to_owned());
        }
        Ok(Token(text.into()))
    }

    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// The routes as TCP serves them.
pub fn guard(router: Router, token: Token, hosts: &[HostName]) -> Router {
    let hosts: Arc<[HostName]> = hosts.into();
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (token, hosts) = (token.clone(), hosts.clone());
        async move {
            let checked = check_host(&request, &hosts).and_then(|()| check_token(&request, &token));
            match checked {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
    }))
}

fn check_host(request: &Request, hosts: &[HostName]) -> Result<(), Problem> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else {
        return Err(Problem::malformed("exactly one Host header is needed").at("Host"));
    };
    let authority = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let name = authority.as_ref().map(|authority| bare(authority.host()));
    match name {
        Some(name)
            if hosts
                .iter()
                .any(|ours| bare(ours.as_str()).eq_ignore_ascii_case(name)) =>
        {
            Ok(())
        }
        _ => Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "urn:sluice:problem:wrong-host",
            "This host is not served here",
            format!("Host {host:?} is not one of rest.hosts"),
        )
        .at("Host")),
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn check_token(request: &Request, token: &Token) -> Result<(), Problem> {
    let path = request.uri().path();
    if OPEN.contains(&path) || path.starts_with("/docs/") {
        return Ok(());
    }
    let refuse = |detail: &str| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "urn:sluice:problem:unauthorized",
            "A token is needed",
            detail,
        )
        .at("Authorization")
    };
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.ok_or_else(|| refuse("want Authorization: Bearer and the token of rest.token_file"))?;
    let bearer = given.to_str().ok().and_then(|value| value.split_once(' '));
    match bearer {
        // The scheme is case-insensitive (RFC 9110 section 11.1).
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) => Ok(()),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => Err(refuse("the token is wrong")),
        _ => Err(refuse("the scheme is not Bearer")),
    }
}

/// The error of serving in the clear where others can listen.
pub fn check_listen(listen: std::net::SocketAddr) -> Result<(), String> {
    if listen.ip().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "rest.listen {listen}: is reachable by others and there is no TLS: the token would be readable on the way. \
         Use a loopback address (127.0.0.1:{}) behind a TLS proxy, or \"\" for the Unix socket alone",
        listen.port()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rest.token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();

        let error = Token::load_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("its mode is 0640"), "{error}");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::load_or_make(&path).unwrap().is("0123456789abcdef"));
    }

    #[test]
    fn a_missing_token_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rest.token");

        let made = Token::load_or_make(&path).unwrap();

        let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let again = Token::load_or_make(&path).unwrap();
        assert!(made.is(&again.0));
        assert_eq!(format!("{made:?}"), "Token(…)");
    }

    #[test]
    fn a_token_that_can_be_guessed_or_not_sent_is_refused() {
        assert!(Token::new("short").is_err());
        assert!(Token::new("0123456789 abcdef").is_err());
        assert!(Token::new(&"x".repeat(TOKEN_MAX + 1)).is_err());
    }

    #[test]
    fn clear_text_is_served_on_loopback_only() {
        assert!(check_listen("127.0.0.1:8080".parse().unwrap()).is_ok());
        assert!(check_listen("[::1]:8080".parse().unwrap()).is_ok());
        let error = check_listen("0.0.0.0:8080".parse().unwrap()).unwrap_err();
        assert!(error.contains("no TLS"), "{error}");
    }
}
