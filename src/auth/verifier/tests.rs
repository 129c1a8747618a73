use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::json;

use super::*;
use crate::auth::Issuer;
use crate::auth::issuer::Grant;
use crate::auth::source::Location;
use crate::clock::{SystemClock, Timestamp};
use crate::server;
use crate::spawner::TokioSpawner;

fn expected() -> Expected {
    Expected {
        issuer: "I".to_owned(),
        audience: "A".to_owned(),
    }
}

fn issuer() -> Issuer {
    Issuer::new(&Issuer::generate().unwrap()).unwrap()
}

fn token_of(issuer: &Issuer) -> String {
    let granted = Grant {
        subject: "C1",
        scope: "",
        lasts: Duration::from_secs(3_600),
    };
    issuer.token(granted, &expected(), SystemClock.now())
}

async fn start(location: &str) -> Result<Verifier, Error> {
    let location: Location = location.parse().unwrap();
    let source = Source::new(&location, None)?;
    Verifier::start(source, expected(), Arc::new(SystemClock), &TokioSpawner).await
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_counts_and_one_that_goes_away_leaves_the_last_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    assert!(
        start(text(&path)).await.is_err(),
        "it must be there at start"
    );
    let (old, new) = (issuer(), issuer());
    fs::write(&path, old.jwks()).unwrap();
    let verifier = start(text(&path)).await.unwrap();
    verifier.verify(&token_of(&old)).await.unwrap();
    let refused = verifier.verify(&token_of(&new)).await.unwrap_err();
    assert_eq!(refused, Unverified::Refused(Refusal::UnknownKey));

    fs::write(&path, new.jwks()).unwrap();
    tokio::time::sleep(limits::JWKS_ASK_GAP).await;
    verifier.verify(&token_of(&new)).await.unwrap();
    let refused = verifier.verify(&token_of(&old)).await.unwrap_err();
    assert_eq!(
        refused,
        Unverified::Refused(Refusal::UnknownKey),
        "it was remembered"
    );

    fs::remove_file(&path).unwrap();
    tokio::time::sleep(4 * limits::JWKS_ASK_GAP).await;
    verifier.verify(&token_of(&new)).await.unwrap();
}

/// Serves what `body` gives at the time; counts how often it was asked.
fn serve(body: Arc<RwLock<String>>, asked: Arc<AtomicUsize>) -> (String, Task) {
    let listener = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let keys = move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let body = body.read().unwrap().clone();
        async move { body }
    };
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let serving = async { axum::serve(listener, Router::new().route("/keys", get(keys))).await };
    let task = TokioSpawner.spawn("keys", Box::pin(async { serving.await.unwrap() }));
    (url, task)
}

#[tokio::test]
async fn made_up_key_ids_do_not_become_requests() {
    let (own, foreign) = (issuer(), issuer());
    let asked = Arc::new(AtomicUsize::new(0));
    let (url, _serving) = serve(Arc::new(RwLock::new(own.jwks())), Arc::clone(&asked));
    let verifier = start(&url).await.unwrap();
    verifier.verify(&token_of(&own)).await.unwrap();
    for _ in 0..100 {
        let refused = verifier.verify(&token_of(&foreign)).await.unwrap_err();
        assert_eq!(refused, Unverified::Refused(Refusal::UnknownKey));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn without_keys_nothing_is_believed_and_nothing_is_refused_for_good() {
    let own = issuer();
    let large = "x".repeat(limits::JWKS_BYTES_MAX + 1);
    for nonsense in [large, json!({ "keys": [] }).to_string()] {
        let (url, _serving) = serve(Arc::new(RwLock::new(nonsense)), Arc::default());
        let verifier = start(&url).await.unwrap();
        let unverified = verifier.verify(&token_of(&own)).await.unwrap_err();
        assert_eq!(unverified, Unverified::NoKeys);
    }
    let free = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let verifier = start(&nobody).await.unwrap();
    let unverified = verifier.verify(&token_of(&own)).await.unwrap_err();
    assert_eq!(unverified, Unverified::NoKeys);
    assert!(start("https://not a url").await.is_err());
}

#[tokio::test]
async fn what_is_remembered_is_verified_once_and_bounded() {
    let own = issuer();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    fs::write(&path, own.jwks()).unwrap();
    let verifier = start(text(&path)).await.unwrap();
    for number in 0..limits::TOKENS_REMEMBERED_MAX + 10 {
        let granted = Grant {
            subject: &number.to_string(),
            scope: "",
            lasts: Duration::from_secs(60),
        };
        let token = own.token(granted, &expected(), SystemClock.now());
        let first = verifier.verify(&token).await.unwrap();
        let again = verifier.verify(&token).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again), "verified once");
    }
    let known = verifier.shared.state.read().unwrap().verified.len();
    assert!(known <= limits::TOKENS_REMEMBERED_MAX, "{known}");
}

/// A wall clock that is set by hand, in milliseconds.
struct Hand(AtomicI64);

#[async_trait::async_trait]
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[tokio::test]
async fn a_token_that_is_remembered_expires_too() {
    let own = issuer();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    fs::write(&path, own.jwks()).unwrap();
    let source = Source::new(&text(&path).parse().unwrap(), None).unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_800_000_000_000)));
    let granted = Grant {
        subject: "C1",
        scope: "",
        lasts: Duration::from_secs(60),
    };
    let token = own.token(granted, &expected(), clock.now());
    let verifier = Verifier::start(source, expected(), clock.clone(), &TokioSpawner).await;
    let verifier = verifier.unwrap();
    verifier.verify(&token).await.unwrap();
    let lasts = 60_000 + i64::try_from(limits::AUTH_SKEW.as_millis()).unwrap();
    clock.0.fetch_add(lasts - 1, Ordering::Relaxed);
    verifier.verify(&token).await.unwrap();
    clock.0.fetch_add(1, Ordering::Relaxed);
    let refused = verifier.verify(&token).await.unwrap_err();
    assert_eq!(refused, Unverified::Refused(Refusal::Expired));
}
