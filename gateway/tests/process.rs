//! The gateway as a process: what it says and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use messaging::server;

/// Longer than starting or stopping takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that is killed when its test ends, whatever way.
struct Gateway {
    child: Child,
    /// The lines of its stderr; closed at its end.
    lines: Receiver<String>,
}

impl Gateway {
    fn start(listen: &str, listen_http: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env_clear()
            .args(["--listen", listen, "--listen-http", listen_http])
            // Nobody listens there: the gateway starts all the same.
            .args(["--log", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                told.send(line.unwrap()).unwrap();
            }
        });
        Self { child, lines }
    }

    /// Waits until it says `words`.
    fn says(&self, words: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            if line.expect("it never said so").contains(words) {
                return;
            }
        }
    }

    /// Waits for its end; returns its exit status and what it said last.
    fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let mut told = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => told.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it never ended: {told:?}"),
            }
        }
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_port_in_use_is_one_line_that_names_the_flag() {
    let taken = server::bind("--listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (listen, http, flag) in [
        (addr.as_str(), "127.0.0.1:0", "--listen"),
        ("127.0.0.1:0", addr.as_str(), "--listen-http"),
    ] {
        let (code, told) = Gateway::start(listen, http).ended();
        assert_eq!(code, Some(5), "{told:?}");
        let expected = format!("gateway: {flag} {addr}: the port is in use");
        assert!(
            told.len() == 1 && told[0].starts_with(&expected),
            "{told:?}"
        );
    }
}

#[test]
fn a_signal_ends_it_with_success() {
    for signal in ["-TERM", "-INT"] {
        let gateway = Gateway::start("127.0.0.1:0", "127.0.0.1:0");
        gateway.says("listening");
        let sent = Command::new("kill")
            .args([signal, &gateway.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let (code, told) = gateway.ended();
        assert_eq!(code, Some(0), "{signal}: {told:?}");
    }
}
