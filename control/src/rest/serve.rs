//! Where the API is served: the Unix socket, and TCP where it is configured.
//!
//! Everything that can fail for the operator's reasons fails in [`Listeners::bind`], before anything is served. A connection has ten seconds to
//! send a request's head; there is a limit to connections; at shutdown event streams end, requests under way are finished, and
//! the socket's file is removed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use sluice_config::{Config, GroupName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::auth::{Token, TokenError, check_listen, guard};
use super::{AppState, router};

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take: a client that sends a byte a second holds a place no longer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take after shutdown began.
const DRAIN: Duration = Duration::from_secs(5);
/// After accept failed (usually: no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{}: {what}: {cause}", path.display())]
    Socket {
        path: PathBuf,
        what: &'static str,
        cause: io::Error,
    },
    #[error("{}: somebody listens on it: is another sluice-control running?", .0.display())]
    InUse(PathBuf),
    #[error("{}: is there and is no socket; it is not removed", .0.display())]
    NotASocket(PathBuf),
    #[error("rest.socket_group: there is no group {0}")]
    NoGroup(GroupName),
    #[error("{0}")]
    NotLoopback(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("rest.listen {listen}: {cause}")]
    Tcp { listen: SocketAddr, cause: io::Error },
}

/// Bound and not yet served.
#[derive(Debug)]
pub struct Listeners {
    unix: UnixListener,
    path: PathBuf,
    tcp: Option<(TcpListener, Token)>,
}

/// Binds and serves until `shutdown` completes.
pub async fn serve(state: AppState, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let listeners = Listeners::bind(&state.config).await?;
    listeners.serve(state, shutdown).await;
    Ok(())
}

impl Listeners {
    /// Takes the socket and the port that `config` names.
    pub async fn bind(config: &Config) -> Result<Listeners, ServeError> {
        let tcp = match config.rest.listen {
            Some(listen) => {
                check_listen(listen).map_err(ServeError::NotLoopback)?;
                let token = Token::load_or_make(&config.rest.token_file)?;
                let listener = TcpListener::bind(listen)
                    .await
                    .map_err(|cause| ServeError::Tcp { listen, cause })?;
                Some((listener, token))
            }
            None => None,
        };
        let path = config.node.control_socket();
        let unix = bind_unix(&path, config.rest.socket_group.as_ref())?;
        Ok(Listeners { unix, path, tcp })
    }

    /// Where TCP is served: the port is the kernel's choice when 0 was asked for.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
            .as_ref()
            .and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `shutdown` completes, then finishes what is under way.
    pub async fn serve(self, state: AppState, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let (bus, config) = (state.bus.clone(), state.config.clone());
        let notes = tokio::spawn(state.recent.clone().keep(state.tables.clone()));
        let routes = router(state);
        tracing::info!(socket = %self.path.display(), tcp = ?self.tcp_address(), "REST is served");
        let unix = tokio::spawn(accept(self.unix, routes.clone(), stopped.clone()));
        let tcp = self.tcp.map(|(listener, token)| {
            let guarded = guard(routes, token, &config.rest.hosts);
            tokio::spawn(accept(listener, guarded, stopped))
        });

        shutdown.await;

        stop.send_replace(true);
        notes.abort();
        bus.close();
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), %error, "the socket could not be removed");
        }
        for task in [Some(unix), tcp].into_iter().flatten() {
            if let Err(error) = task.await {
                tracing::error!(%error, "REST ended badly");
            }
        }
    }
}

/// A stream listener of either kind.
trait Accept: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for UnixListener {
    type Stream = tokio::net::UnixStream;
    async fn accept(&self) -> io::Result<Self::Stream> {
        UnixListener::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Accept for TcpListener {
    type Stream = tokio::net::TcpStream;
    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

async fn accept(listener: impl Accept, routes: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = GracefulShutdown::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stopped| *stopped) => break,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, connections.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "requests under way were cut off");
    }
}

/// Binds beside the path, sets owner and mode, then moves the socket into place: nobody can connect before the mode is
/// right, and a stale socket is replaced in one step.
fn bind_unix(path: &Path, group: Option<&GroupName>) -> Result<UnixListener, ServeError> {
    let failed = |what: &'static str| {
        move |cause: io::Error| ServeError::Socket {
            path: path.to_owned(),
            what,
            cause,
        }
    };
    refuse_live(path)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed("its directory cannot be made"))?;
    }
    // Not longer than the name it will have, so that it fits where that fits.
    let beside = path.with_file_name(".rest.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("the socket before it cannot be removed")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&beside).map_err(failed("cannot be bound"))?;
    if let Some(group) = group {
        let gid = group_id(group).ok_or_else(|| ServeError::NoGroup(group.clone()))?;
        std::os::unix::fs::chown(&beside, None, Some(gid)).map_err(failed("its group cannot be set"))?;
    }
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o660))
        .map_err(failed("its mode cannot be set"))?;
    fs::rename(&beside, path).map_err(failed("cannot be moved into place"))?;
    Ok(listener)
}

/// A socket on which somebody answers is his; one on which nobody does was left by a process that died.
fn refuse_live(path: &Path) -> Result<(), ServeError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => {
            return Err(ServeError::Socket {
                path: path.to_owned(),
                what: "cannot be looked at",
                cause,
            });
        }
        Ok(about) if !about.file_type().is_socket() => return Err(ServeError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Ok(_) => Err(ServeError::InUse(path.to_owned())),
        Err(cause) => Err(ServeError::Socket {
            path: path.to_owned(),
            what: "cannot be tried",
            cause,
        }),
    }
}

/// The group's number, of `/etc/group` (group(5)); a number stands for itself.
fn group_id(group: &GroupName) -> Option<u32> {
    if let Ok(number) = group.as_str().parse() {
        return Some(number);
    }
    let text = fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?;
        (name == group.as_str()).then(|| id.parse().ok()).flatten()
    })
}
