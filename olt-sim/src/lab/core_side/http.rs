//! A host with HTTP: says who it is, gives as many bytes as asked for, swallows uploads.
//!
//! ```text
//! GET  /            the host's name and the caller's address
//! GET  /bytes/N     N bytes
//! POST /upload      counts the body
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::Arrivals;

const CHUNK_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
struct Host {
    name: &'static str,
    arrivals: Arrivals,
}

pub(super) fn serve(
    runtime: &tokio::runtime::Runtime,
    listener: TcpListener,
    name: &'static str,
    arrivals: Arrivals,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let _guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = Router::new()
        .route("/upload", post(upload))
        .route("/bytes/{count}", get(bytes))
        .fallback(greet)
        .with_state(Host { name, arrivals });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::warn!(host = name, %error, "the host's HTTP ended");
        }
    });
    Ok(())
}

type Caller = ConnectInfo<SocketAddr>;

async fn greet(State(host): State<Host>, ConnectInfo(caller): Caller) -> String {
    host.arrivals.record(caller.ip(), 0);
    format!("{}: hello {}\n", host.name, caller.ip())
}

async fn bytes(State(host): State<Host>, ConnectInfo(caller): Caller, Path(count): Path<u64>) -> Body {
    host.arrivals.record(caller.ip(), 0);
    Body::new(Zeros {
        left: count,
        chunk: Bytes::from(vec![0; CHUNK_BYTES]),
        caller: caller.ip(),
        arrivals: host.arrivals,
    })
}

async fn upload(State(host): State<Host>, ConnectInfo(caller): Caller, mut body: Body) -> String {
    host.arrivals.record(caller.ip(), 0);
    let mut total = 0u64;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            host.arrivals.add(caller.ip(), 0, data.len());
            total += data.len() as u64;
        }
    }
    format!("{total}\n")
}

/// A body of zeros, counted as it is taken.
struct Zeros {
    left: u64,
    chunk: Bytes,
    caller: IpAddr,
    arrivals: Arrivals,
}

impl hyper::body::Body for Zeros {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(CHUNK_BYTES as u64) as usize;
        self.left -= length as u64;
        self.arrivals.add(self.caller, 0, length);
        Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..length)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
