//! Attacks on TLS and mutual TLS, and mistakes with it: who is refused, how soon, and what they are
//! told.

use std::net::SocketAddr;
use std::time::Duration;

use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use messaging::limits::TLS_RELOAD_EVERY;
use messaging::server::Limits;
use messaging::tls::{Client, advice, advice_on_connecting};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};

use crate::certificates::{Authority, FLAGS, Folder, For};
use crate::service::{PATIENCE, Server, get, soon, watch_request};
use crate::wire::Wire;

/// A lazily opened connection over TLS.
fn channel(addr: SocketAddr, tls: &Client) -> Channel {
    Endpoint::from_shared(format!("https://{addr}"))
        .unwrap()
        .timeout(PATIENCE)
        .connect_with_connector_lazy(tls.connector())
}

/// Asks on a connection of its own; the failure in words.
async fn ask(addr: SocketAddr, tls: &Client) -> Result<(), String> {
    let mut client = OrderQueryServiceClient::new(channel(addr, tls));
    let answer = soon(client.get_order(get("any"))).await;
    answer
        .map(drop)
        .map_err(|status| advice(&status, FLAGS).unwrap_or_else(|| format!("{status:?}")))
}

/// Asks until the answer is as wanted: certificates are read again after a while.
async fn until(addr: SocketAddr, tls: &Client, wanted: impl Fn(&Result<(), String>) -> bool) {
    let coming = async {
        loop {
            let answer = ask(addr, tls).await;
            if wanted(&answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(coming).await;
}

#[tokio::test]
async fn who_does_not_show_what_is_demanded_is_refused_and_told_why() {
    let folder = Folder::new();
    folder.sign("late", "client.test", For::ClientsBefore);
    folder.sign("wrong", "client.test", For::Servers);
    let other = Authority::new();
    let dir = folder.path("");
    other.sign(&dir, "stranger", "client.test", For::Clients);
    let server = Server::secured(Limits::default(), folder.server("server", true));

    ask(server.addr, &folder.client(Some("client")))
        .await
        .unwrap();
    for (own, told) in [
        (
            None,
            "it lets in only clients with a certificate: give one by --cert FILE --key FILE",
        ),
        (Some("late"), "the certificate in --cert has expired"),
        (
            Some("wrong"),
            "it does not accept the certificate in --cert",
        ),
        (
            Some("stranger"),
            "it does not accept the certificate in --cert",
        ),
    ] {
        let refused = ask(server.addr, &folder.client(own)).await.unwrap_err();
        assert!(refused.starts_with(told), "{own:?}: {refused}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_is_not_asked() {
    let folder = Folder::new();
    folder.sign("late", "127.0.0.1", For::ServersBefore);
    folder.sign("elsewhere", "elsewhere.test", For::Servers);
    folder.sign("wrong", "127.0.0.1", For::Clients);
    let other = Authority::new();
    other.sign(&folder.path(""), "stranger", "127.0.0.1", For::Servers);
    for (name, told) in [
        ("late", "its certificate has expired"),
        ("elsewhere", "certificate not valid for name \"127.0.0.1\""),
        ("wrong", "its certificate cannot be used"),
        (
            "stranger",
            "its certificate comes from an authority that is not trusted here",
        ),
    ] {
        let server = Server::secured(Limits::default(), folder.server(name, false));
        let refused = ask(server.addr, &folder.client(None)).await.unwrap_err();
        assert!(refused.starts_with(told), "{name}: {refused}");
        let running = *server.events.running.borrow();
        assert_eq!(running, 0, "{name}: no call may have come");
    }
}

#[tokio::test]
async fn plain_and_tls_do_not_meet() {
    let folder = Folder::new();
    let secured = Server::secured(Limits::default(), folder.server("server", false));
    let refused = soon(secured.client().get_order(get("any")))
        .await
        .unwrap_err();
    let told = advice(&refused, FLAGS).unwrap_or_else(|| format!("{refused:?}"));
    assert!(told.contains("write https://"), "{told}");
    ask(secured.addr, &folder.client(None)).await.unwrap();

    let plain = Server::start(Limits::default());
    let endpoint = Endpoint::from_shared(format!("https://{}", plain.addr)).unwrap();
    let tls = folder.client(None).connector();
    let refused = soon(endpoint.connect_with_connector(tls))
        .await
        .unwrap_err();
    let told = advice_on_connecting(&refused, FLAGS).unwrap_or_else(|| format!("{refused:?}"));
    assert!(told.contains("write http://"), "{told}");
    soon(plain.client().get_order(get("any"))).await.unwrap();
}

/// The first message of a handshake.
fn client_hello(folder: &Folder) -> Vec<u8> {
    let host = ServerName::try_from("127.0.0.1").unwrap();
    let config = folder.client(None).config();
    let mut client = ClientConnection::new(config, host).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn half_a_handshake_is_given_up_and_counts_as_a_connection() {
    let folder = Folder::new();
    let limits = Limits {
        handshake_max: Duration::from_millis(300),
        connections_max: 2,
        ..Limits::default()
    };
    let server = Server::secured(limits, folder.server("server", false));
    let hello = client_hello(&folder);
    let mut silent = Wire::connect(server.addr).await;
    let mut half = Wire::connect(server.addr).await;
    half.write(&hello[..hello.len() / 2]).await;
    // The third waits until there is room again.
    let mut whole = Wire::connect(server.addr).await;
    whole.write(&hello).await;
    assert!(whole.silent_for(Duration::from_millis(100)).await);
    silent.ended().await;
    half.ended().await;
    ask(server.addr, &folder.client(None)).await.unwrap();
}

#[tokio::test]
async fn garbage_is_answered_with_an_end() {
    let folder = Folder::new();
    let server = Server::secured(Limits::default(), folder.server("server", false));
    let mut browser = Wire::connect(server.addr).await;
    browser.write(b"GET / HTTP/1.1\r\n\r\n").await;
    browser.ended().await;
}

#[tokio::test]
async fn new_certificates_are_used_without_a_restart_and_broken_ones_are_not() {
    let folder = Folder::new();
    let server = Server::secured(Limits::default(), folder.server("server", true));
    let client = folder.client(Some("client"));
    let mut old = OrderQueryServiceClient::new(channel(server.addr, &client));
    let mut watch = soon(old.watch_order(watch_request()))
        .await
        .unwrap()
        .into_inner();

    // Everything anew, from another authority, as the clients learn it.
    let before = std::fs::read(folder.path("ca.pem")).unwrap();
    let other = Authority::new();
    for (name, host, purpose) in [
        ("server", "127.0.0.1", For::Servers),
        ("client", "client.test", For::Clients),
    ] {
        other.sign(&folder.path(""), name, host, purpose);
    }
    other.write(&folder.path("ca.pem"));
    until(server.addr, &client, Result::is_ok).await;
    tokio::time::sleep(TLS_RELOAD_EVERY).await;
    let fresh = folder.client(Some("client"));
    ask(server.addr, &fresh).await.unwrap();
    std::fs::write(folder.path("before.pem"), before).unwrap();
    let refused = ask(
        server.addr,
        &folder.client_believing("before.pem", Some("client")),
    )
    .await
    .unwrap_err();
    assert!(refused.contains("not trusted here"), "{refused}");

    // Who was connected still is.
    server.events.release.notify_one();
    soon(watch.message()).await.unwrap().unwrap();

    std::fs::write(folder.path("server.pem"), "broken").unwrap();
    tokio::time::sleep(TLS_RELOAD_EVERY).await;
    ask(server.addr, &fresh).await.unwrap();
}
