//! A store that demands tokens, as real processes: `shop token`, `shop up --auth-...`, the clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use support::{Elsewhere, Outcome, Up, command, order};

/// A token of `subject`, by a key in `keys`.
fn token(keys: &str, subject: &str, scopes: &str) -> String {
    let mut arguments = vec!["token", "--key-dir", keys, "--subject", subject];
    if !scopes.is_empty() {
        arguments.extend(["--scope", scopes]);
    }
    let made = Outcome::of(command(&arguments).output().unwrap());
    assert_eq!(made.status, 0, "{}", made.err);
    made.out.trim().to_owned()
}

#[test]
fn a_store_that_demands_tokens_serves_those_who_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys").display().to_string();
    let jwks = format!("{keys}/jwks.json");
    let (ada, ben) = (
        token(&keys, "CUSTOMER_001", "stock,operations"),
        token(&keys, "C2", ""),
    );
    let seeding = Elsewhere(vec![("SHOP_TOKEN", ada.clone())]);
    let auth = [
        "--auth-jwks",
        &jwks,
        "--auth-issuer",
        "shop-token",
        "--auth-audience",
        "shop",
    ];
    let store = Up::spawn_beside(&seeding, &[&["--fresh", "--seed"][..], &auth].concat()).ready();
    let gateway = store.gateway();
    let says = |token: &str, arguments: &[&str]| {
        let mut shop = command(&[arguments, &["--gateway", &gateway]].concat());
        Outcome::of(shop.env("SHOP_TOKEN", token).output().unwrap())
    };
    let file = folder.path().join("order.json");
    let body = order("O1", &[("PRODUCT_001", 1)]);
    std::fs::write(&file, body.to_string()).unwrap();
    let place = ["place", file.to_str().unwrap(), "--wait", "RESERVED"];

    let nobody = says("", &place);
    assert_eq!(nobody.status, 1);
    assert!(nobody.err.contains("UNAUTHENTICATED"), "{}", nobody.err);
    let placed = says(&ada, &place);
    assert_eq!(placed.status, 0, "{}", placed.err);

    for arguments in [["order", "O1"], ["cancel", "O1"]] {
        let foreign = says(&ben, &arguments);
        assert_eq!(foreign.status, 1);
        assert!(foreign.err.contains("NOT_FOUND"), "{}", foreign.err);
    }
    let received = says(&ben, &["receive", "PRODUCT_001", "5"]);
    assert!(received.err.contains("scope stock"), "{}", received.err);

    // From a file, which comes first.
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{ada}\n")).unwrap();
    let found = says(
        &ben,
        &["order", "O1", "--token-file", path.to_str().unwrap()],
    );
    assert_eq!(found.status, 0, "{}", found.err);

    for line in [store.log(), nobody.err, placed.err] {
        assert!(!line.contains(&ada) && !line.contains(&ben), "{line}");
    }
    assert_eq!(store.stop(), 0);
}
