//! The gateway as a process: what it says and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use messaging::server;

fn gateway(listen: &str, listen_http: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen", listen, "--listen-http", listen_http])
        // Nobody listens there: the gateway starts all the same.
        .args(["--log", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_port_in_use_is_one_line_that_names_the_flag() {
    let taken = server::bind("--listen", "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (listen, http, flag) in [
        (addr.as_str(), "127.0.0.1:0", "--listen"),
        ("127.0.0.1:0", addr.as_str(), "--listen-http"),
    ] {
        let ended = gateway(listen, http).wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(5));
        let told = String::from_utf8(ended.stderr).unwrap();
        let expected = format!("gateway: {flag} {addr}: the port is in use");
        assert!(told.starts_with(&expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_signal_ends_it_with_success() {
    for signal in ["-TERM", "-INT"] {
        let mut child = gateway("127.0.0.1:0", "127.0.0.1:0");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // A gateway that ends without listening closes its stderr, which ends this wait.
        let listens = lines.any(|line| line.unwrap().contains("listening"));
        assert!(listens, "it never listened");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        // Drained, so that it never waits for its reader.
        lines.for_each(drop);
        assert!(child.wait().unwrap().success(), "{signal}");
    }
}
