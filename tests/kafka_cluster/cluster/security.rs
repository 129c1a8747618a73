//! TLS and logins against the listeners of `tests/kafka up --secure`.

use std::time::Duration;

use messaging::log::kafka::KafkaLog;
use messaging::log::kafka::security::{Mechanism, Security};
use messaging::log::{Error, ErrorKind, Log, ReadLimit};
use messaging::tls::{Client, ClientFiles, Flags};
use tokio::time::timeout;

use super::{config, topic, variable};

const NOW: ReadLimit = ReadLimit {
    bytes_max: 1 << 20,
    wait_max: Duration::ZERO,
};
const PLAIN: &str = "MESSAGING_TEST_KAFKA";
const SASL: &str = "MESSAGING_TEST_KAFKA_SASL";
const SSL: &str = "MESSAGING_TEST_KAFKA_SSL";
const SASL_SSL: &str = "MESSAGING_TEST_KAFKA_SASL_SSL";

const MECHANISMS: [Mechanism; 3] = [
    Mechanism::Plain,
    Mechanism::ScramSha256,
    Mechanism::ScramSha512,
];

/// Believes the authorities in `ca`, or those of the system.
fn believing(ca: Option<String>) -> Security {
    let files = ClientFiles {
        flags: Flags {
            ca: "--log-ca",
            cert: "",
            key: "",
        },
        ca: ca.map(Into::into),
        cert: None,
        key: None,
    };
    Security::default().with_tls(&Client::new(&files).unwrap())
}

fn tls() -> Security {
    believing(Some(variable("MESSAGING_TEST_KAFKA_CA")))
}

fn login(security: Security, mechanism: Mechanism, user: &str, password: &str) -> Security {
    security.with_login(mechanism, user.to_owned(), password.to_owned())
}

/// Creates a topic, appends to it and reads from it.
async fn work(listener: &str, security: Security) -> Result<(), Error> {
    let log = KafkaLog::secured(config(listener), security);
    let topic = topic();
    log.create_topic(&topic, 1).await?;
    let record = messaging::log::Record {
        key: None,
        value: Some("value".into()),
        headers: Vec::new(),
        timestamp: messaging::clock::Timestamp(0),
    };
    log.append(&topic, 0, vec![record.clone()]).await?;
    let read = log.read(&topic, 0, 0, NOW).await?;
    assert_eq!(read.records[0].record, record);
    Ok(())
}

/// The one line that a refusal leaves, at once.
async fn refused(listener: &str, security: Security) -> String {
    let outcome = timeout(Duration::from_secs(5), work(listener, security)).await;
    let error = outcome.expect("a refusal is not retried").unwrap_err();
    let line = error.to_string();
    println!("{line}");
    assert_eq!(error.kind, ErrorKind::Fatal, "{line}");
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
    line
}

#[tokio::test]
#[ignore = "needs secured listeners: export $(tests/kafka up --secure)"]
async fn every_listener_serves_who_it_should() {
    work(PLAIN, Security::default()).await.unwrap();
    work(SSL, tls()).await.unwrap();
    for mechanism in MECHANISMS {
        for (listener, security) in [(SASL, Security::default()), (SASL_SSL, tls())] {
            let security = login(security, mechanism, "shop", "secret");
            work(listener, security).await.unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs secured listeners: export $(tests/kafka up --secure)"]
async fn a_wrong_password_or_user_is_told_at_once() {
    for mechanism in MECHANISMS {
        for (user, password) in [("shop", "wrong"), ("nobody", "secret")] {
            let security = login(tls(), mechanism, user, password);
            let line = refused(SASL_SSL, security).await;
            assert!(line.contains("login"), "{line}");
        }
    }
}

#[tokio::test]
#[ignore = "needs secured listeners: export $(tests/kafka up --secure)"]
async fn a_certificate_of_somebody_else_is_told_at_once() {
    // From an authority that nobody here knows.
    let stranger = believing(None);
    let line = refused(SSL, stranger).await;
    assert!(line.contains("certificate is not trusted"), "{line}");

    // For another name than the one that was asked for.
    let mut config = config(SSL);
    for address in &mut config.bootstrap {
        *address = address.replace("127.0.0.1", "localhost");
    }
    let error = KafkaLog::secured(config, tls()).partitions("any").await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
}

#[tokio::test]
#[ignore = "needs secured listeners: export $(tests/kafka up --secure)"]
async fn the_wrong_listener_is_an_error_in_time() {
    // A broker that expects something else just closes the connection, as one that ends does.
    let login = login(Security::default(), Mechanism::Plain, "shop", "secret");
    for (listener, security) in [
        (SSL, Security::default()),
        (SASL, Security::default()),
        (PLAIN, tls()),
        (PLAIN, login),
    ] {
        let outcome = timeout(Duration::from_secs(10), work(listener, security)).await;
        println!("{}", outcome.unwrap().unwrap_err());
    }
}
