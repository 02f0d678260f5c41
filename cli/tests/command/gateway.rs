//! A gateway that answers by rote on a Unix socket and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::sluice;

/// What is answered to method, path with query, and body.
pub type Answer = fn(&str, &str, &Value) -> (u16, String);

pub struct Gateway {
    pub dir: TempDir,
    pub socket: PathBuf,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Gateway {
    pub fn new(answer: Answer) -> Gateway {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        // Ends with the test's process; nothing waits for it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, answer, &heard);
            }
        });
        Gateway { dir, socket, asked }
    }

    /// The command, told where the gateway is.
    pub fn sluice(&self) -> Command {
        let mut command = sluice();
        command.arg("--socket").arg(&self.socket);
        command
    }

    /// `METHOD path?query` and body of each request so far.
    pub fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(stream: UnixStream, answer: Answer, heard: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let mut words = line.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or("").to_owned(),
        words.next().unwrap_or("").to_owned(),
    );
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, text) = answer(&method, &path, &body);
    heard.lock().unwrap().push((format!("{method} {path}"), body));
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .ok();
}
