//! A schema registry behind TLS and a login.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "common/certificates.rs"]
mod certificates;

use std::net::SocketAddr;

use clap::Parser;
use messaging::config::RegistryArgs;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::{Error, ErrorKind, SchemaId, SchemaRegistry};
use messaging::server::bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use certificates::{Authority, Folder};

/// `ada:open sesame` (RFC 7617).
const LOGIN: &str = "authorization: basic ywrhom9wzw4gc2vzyw1l";

/// A registry that knows one schema, and whoever has the login.
struct Guarded {
    addr: SocketAddr,
    _server: JoinSet<()>,
}

impl Guarded {
    fn start(folder: &Folder) -> Self {
        let listener = bind("--registry", "127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let tls = folder.server("server", false);
        let mut server = JoinSet::new();
        server.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = tls.accept(stream).await else {
                    continue;
                };
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                // Base64 has capitals; that they are right is the client library's part.
                let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
                let (status, body) = match request.contains(LOGIN) {
                    true => ("200 OK", r#"{"id": 7}"#),
                    false => (
                        "401 Unauthorized",
                        r#"{"error_code": 401, "message": "who is that?"}"#,
                    ),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self {
            addr,
            _server: server,
        }
    }

    /// Asks it for the schema's id, as the flags say.
    async fn ask(&self, flags: &[&str]) -> Result<SchemaId, Error> {
        #[derive(Parser)]
        struct Program {
            #[command(flatten)]
            registry: RegistryArgs,
        }
        let url = format!("https://{}", self.addr);
        let flags = [&["program", "--registry", &url], flags].concat();
        let args = Program::parse_from(flags).registry;
        let registry = ConfluentRegistry::secured(&args.registry, &args.access().unwrap());
        registry.unwrap().lookup("orders", "{}").await
    }
}

#[tokio::test]
async fn a_registry_is_asked_over_tls_with_a_login() {
    let folder = Folder::new();
    let guarded = Guarded::start(&folder);
    let (ca, password) = (folder.path("ca.pem"), folder.path("password"));
    std::fs::write(&password, "open sesame\n").unwrap();
    let (ca, password) = (ca.to_str().unwrap(), password.to_str().unwrap());
    let login = [
        "--registry-user",
        "ada",
        "--registry-password-file",
        password,
    ];

    let flags = [&["--registry-ca", ca], &login[..]].concat();
    assert_eq!(guarded.ask(&flags).await.unwrap(), SchemaId(7));

    let refused = guarded.ask(&["--registry-ca", ca]).await.unwrap_err();
    assert!(refused.detail.contains("who is that?"), "{refused}");
    assert!(!refused.detail.contains("sesame"), "{refused}");

    let other = folder.path("other.pem");
    Authority::new().write(&other);
    let flags = [&["--registry-ca", other.to_str().unwrap()], &login[..]].concat();
    let refused = guarded.ask(&flags).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Retry);
    assert!(
        refused.detail.contains("invalid peer certificate"),
        "{refused}"
    );
}
