//! A key set over https: whose certificate is believed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "common/certificates.rs"]
mod certificates;

use std::sync::Arc;

use certificates::{Authority, Folder};
use clap::Parser;
use messaging::auth::source::{Location, Source};
use messaging::auth::{Issuer, Need};
use messaging::clock::{Clock, SystemClock};
use messaging::config::AuthArgs;
use messaging::server;
use messaging::spawner::{Spawner, Task, TokioSpawner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves `keys` to everybody who believes the server's certificate in `folder`.
fn serve(folder: &Folder, keys: String) -> (String, Task) {
    let listener = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("https://{}/jwks.json", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let tls = folder.server("server", false);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}",
        keys.len()
    );
    let serving = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not believe the certificate goes away.
            let Ok(mut stream) = tls.accept(stream).await else {
                continue;
            };
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
        }
    };
    (url, TokioSpawner.spawn("keys", Box::pin(serving)))
}

#[tokio::test]
async fn a_key_set_over_https_comes_from_whom_is_believed() {
    let folder = Folder::new();
    Authority::new().write(&folder.path("stranger.pem"));
    let issuer = Issuer::new(&Issuer::generate().unwrap()).unwrap();
    let (url, _serving) = serve(&folder, issuer.jwks());
    let location: Location = url.parse().unwrap();
    let read = async |ca: Option<&str>| {
        let tls = ca.map(|ca| folder.client_believing(ca, None));
        Source::new(&location, tls.as_ref()).unwrap().read().await
    };
    read(Some("ca.pem")).await.unwrap();
    for ca in [Some("stranger.pem"), None] {
        assert!(read(ca).await.is_err(), "{ca:?}");
    }
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    auth: AuthArgs,
}

/// What the flags make of a key set at `url` whose authority is in `ca`; the failure in words.
async fn guard(url: &str, ca: &str) -> Result<(), String> {
    let flags = ["program", "--auth-jwks", url, "--auth-jwks-ca", ca];
    let more = ["--auth-issuer", "I", "--auth-audience", "A"];
    let program = Program::parse_from([&flags[..], &more].concat());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let guard = program.auth.guard(|_| Need::Token, &clock, &TokioSpawner);
    guard.await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_is_told_with_its_flag() {
    let folder = Folder::new();
    let ca = folder.path("ca.pem").display().to_string();
    let issuer = Issuer::new(&Issuer::generate().unwrap()).unwrap();
    let (url, _serving) = serve(&folder, issuer.jwks());
    guard(&url, &ca).await.unwrap();
    let missing = guard(&url, "gone.pem").await.unwrap_err();
    assert!(
        missing.starts_with("--auth-jwks-ca gone.pem: "),
        "{missing}"
    );
    let plain = guard("http://127.0.0.1:1/jwks.json", &ca)
        .await
        .unwrap_err();
    assert!(plain.contains("--auth-jwks-ca is for https://"), "{plain}");
    let file = guard("jwks.json", &ca).await.unwrap_err();
    assert!(file.contains("--auth-jwks-ca is for https://"), "{file}");
}
