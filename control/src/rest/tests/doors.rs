//! Who comes in and how: paths, methods, Host, token, sockets, and the description of it all.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use sluice_config::HostName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::rest::auth::{Token, guard};
use crate::rest::serve::{Listeners, ServeError};

const TOKEN: &str = "correct-horse-battery-staple";

#[tokio::test]
async fn wrong_paths_and_methods_are_problems_too() {
    let gateway = Gateway::new();

    gateway.get("/api/v1/subscribers").await.problem(404);
    let method = gateway.get("/api/v1/activate").await;
    method.problem(405);
    assert_eq!(method.header("allow"), "POST");
}

fn token_file(dir: &std::path::Path) -> std::path::PathBuf {
    let path = dir.join("rest.token");
    std::fs::write(&path, TOKEN).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn tcp_wants_a_host_of_ours_and_the_token() {
    let gateway = Gateway::new();
    let dir = tempfile::tempdir().unwrap();
    let token = Token::load_or_make(&token_file(dir.path())).unwrap();
    let hosts = ["localhost", "127.0.0.1", "[::1]"].map(|host| HostName::new(host).unwrap());
    let guarded = guard(gateway.router.clone(), token, &hosts);
    let ask = async |path: &str, host: &str, authorization: &str| {
        let mut request = Request::get(path);
        for (name, value) in [("host", host), ("authorization", authorization)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        answer(&guarded, request.body(Body::empty()).unwrap()).await
    };
    let bearer = format!("Bearer {TOKEN}");

    assert_eq!(ask("/api/v1/pools", "localhost:8080", &bearer).await.status, 200);
    assert_eq!(
        ask("/api/v1/pools", "LOCALHOST", &format!("bearer {TOKEN}"))
            .await
            .status,
        200
    );
    assert_eq!(ask("/api/v1/pools", "[::1]:8080", &bearer).await.status, 200);

    let rebound = ask("/api/v1/pools", "evil.example:8080", &bearer).await;
    assert_eq!(rebound.problem(421)["field"], "Host");
    ask("/health", "evil.example", "").await.problem(421);
    ask("/health", "", "").await.problem(400);

    let without = ask("/api/v1/pools", "localhost", "").await;
    assert_eq!(without.problem(401)["field"], "Authorization");
    assert_eq!(without.header("www-authenticate"), "Bearer realm=\"sluice\"");
    for wrong in [
        "Bearer x",
        "Bearer",
        &format!("Basic {TOKEN}"),
        &format!("Bearer {TOKEN}x"),
    ] {
        ask("/api/v1/pools", "localhost", wrong).await.problem(401);
    }
    ask("/metrics", "localhost", "").await.problem(401);
    // A path that only begins like an open one is not open.
    ask("/healthy", "localhost", "").await.problem(401);

    for open in ["/health", "/openapi.json", "/docs/"] {
        assert_eq!(ask(open, "localhost", "").await.status, 200, "{open}");
    }
}

fn config(dir: &std::path::Path, rest: &str) -> Config {
    let run_dir = dir.display();
    let text = format!("[node]\nrun_dir = \"{run_dir}\"\n[rest]\n{rest}\n{CONFIG}");
    Config::parse("sluice.toml", &text).unwrap()
}

async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn the_api_is_served_on_both_sockets_and_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let token = token_file(dir.path());
    let config = config(
        dir.path(),
        &format!("listen = \"127.0.0.1:0\"\ntoken_file = \"{}\"", token.display()),
    );
    let gateway = Gateway::with_config(config);
    let socket = gateway.state.config.node.control_socket();
    // Left by a process that died.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let listeners = Listeners::bind(&gateway.state.config).await.unwrap();
    let tcp = listeners.tcp_address().unwrap();
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o660
    );
    let again = Listeners::bind(&gateway.state.config).await.unwrap_err();
    assert!(
        matches!(again, ServeError::InUse(_) | ServeError::Tcp { .. }),
        "{again}"
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(listeners.serve(gateway.state.clone(), async {
        stopped.await.ok();
    }));

    let request = "GET /api/v1/pools HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let mut unix = UnixStream::connect(&socket).await.unwrap();
    let local = ask(&mut unix, &format!("{request}\r\n")).await;
    let mut stranger = TcpStream::connect(tcp).await.unwrap();
    let refused = ask(&mut stranger, &format!("{request}\r\n")).await;
    let mut friend = TcpStream::connect(tcp).await.unwrap();
    let remote = ask(
        &mut friend,
        &format!("{request}authorization: Bearer {TOKEN}\r\n\r\n"),
    )
    .await;

    assert!(local.starts_with("HTTP/1.1 200 OK\r\n"), "{local}");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(remote.starts_with("HTTP/1.1 200 OK\r\n"), "{remote}");

    let mut follower = UnixStream::connect(&socket).await.unwrap();
    follower
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut head = [0u8; 12];
    follower.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stop.send(()).unwrap();
    // The follower does not hold the gateway up.
    tokio::time::timeout(Duration::from_secs(3), serving)
        .await
        .unwrap()
        .unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_start_that_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = config(dir.path(), "listen = \"\"");
    let socket = quiet.node.control_socket();

    std::fs::write(&socket, "precious").unwrap();
    let error = Listeners::bind(&quiet).await.unwrap_err();
    assert!(matches!(error, ServeError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
    std::fs::remove_file(&socket).unwrap();

    let mut open = quiet.clone();
    open.rest.listen = Some("0.0.0.0:0".parse().unwrap());
    let error = Listeners::bind(&open).await.unwrap_err().to_string();
    assert!(
        error.contains("rest.listen 0.0.0.0:0") && error.contains("no TLS"),
        "{error}"
    );

    let mut nobody = quiet.clone();
    nobody.rest.socket_group = Some("no-such-group".parse().unwrap());
    let error = Listeners::bind(&nobody).await.unwrap_err().to_string();
    assert_eq!(error, "rest.socket_group: there is no group no-such-group");

    let mut rooted = quiet;
    rooted.rest.socket_group = Some("root".parse().unwrap());
    let held = Listeners::bind(&rooted).await.unwrap();
    let error = Listeners::bind(&rooted).await.unwrap_err();
    assert!(matches!(error, ServeError::InUse(_)), "{error}");
    drop(held);
}

#[tokio::test]
async fn the_description_is_whole_and_describes_what_there_is() {
    let gateway = Gateway::new();

    let description = gateway.get("/openapi.json").await.json();

    assert_eq!(description["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect_references(&description, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            description.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            assert!(
                operation["responses"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .any(|code| code.starts_with('2'))
            );
            let uri = path.replace("{id}", "0000000000000001");
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(uri)
                .body(Body::empty())
                .unwrap();
            let response = tower::ServiceExt::oneshot(gateway.router.clone(), request)
                .await
                .unwrap();
            assert!(
                !matches!(response.status().as_u16(), 404 | 405),
                "{method} {path}"
            );
        }
    }
    assert_eq!(operations, 17);
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(reference) if name == "$ref" => found.push(reference),
                    _ => collect_references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_is_served_from_within() {
    let gateway = Gateway::new();

    let page = gateway.get("/docs/").await;

    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"));
    assert!(!page.text.contains("https://"), "the page loads from elsewhere");
    let script = gateway.get("/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
}
