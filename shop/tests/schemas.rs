//! `shop schemas` on the schemas of this repository, on doctored copies of them, and beside a
//! registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;
use support::{Outcome, Up, checkout, command};
use tempfile::TempDir;

const PLACED: &str = "shop.order.OrderPlaced/v1.avsc";

/// A copy of the schemas, to be doctored.
struct Copy(TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for schema in fs::read_dir(checkout("schemas")).unwrap() {
            let schema = schema.unwrap();
            let to = folder.path().join("schemas").join(schema.file_name());
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(schema.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join("schemas").join(file)
    }

    fn edit(&self, file: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(old), "{old} is not in {text}");
        fs::write(self.path(file), text.replacen(old, new, 1)).unwrap();
    }

    /// The copy as a repository with one commit.
    fn commit(&self) {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(self.0.path()).args(arguments);
            git.stdout(Stdio::null()).stderr(Stdio::null());
            assert!(git.status().unwrap().success(), "{arguments:?}");
        };
        git(&["init"]);
        git(&["add", "."]);
        let name = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        git(&[&name[..], &["commit", "-m", "released"]].concat());
    }

    fn shop(&self, arguments: &[&str]) -> Outcome {
        let mut command = command(&[&["schemas"], arguments].concat());
        command
            .arg("--dir")
            .arg("schemas")
            .current_dir(self.0.path());
        Outcome::of(command.stdin(Stdio::null()).output().unwrap())
    }

    /// What `shop schemas check` prints; it must find something.
    fn complaints(&self, arguments: &[&str]) -> String {
        let outcome = self.shop(&[&["check"], arguments].concat());
        assert_eq!(outcome.status, 1, "{outcome:?}");
        assert!(outcome.err.contains("to put right before they ship"));
        outcome.out
    }
}

fn check(directory: &Path) -> Outcome {
    let mut command = command(&["schemas", "check", "--dir"]);
    Outcome::of(command.arg(directory).output().unwrap())
}

#[test]
fn the_schemas_of_this_repository_are_as_they_must_be() {
    let outcome = check(&checkout("schemas"));
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.out.ends_with("nothing to complain about\n"));
}

#[test]
fn a_released_version_that_was_edited_is_refused() {
    // given a released schema and a branch that improves its words: compatible, and yet another text
    let copy = Copy::new();
    copy.commit();
    copy.edit(PLACED, "An order exists", "There is an order");
    let told = copy.complaints(&["--against", "HEAD"]);
    assert!(
        told.contains(
            "schemas/shop.order.OrderPlaced/v1.avsc: released: it is not what HEAD released\n    \
             fix: git checkout HEAD -- schemas/shop.order.OrderPlaced/v1.avsc; a change is a new \
             version: shop schemas new NAME"
        ),
        "{told}"
    );
}

#[test]
fn a_released_version_or_its_golden_bytes_that_are_gone_are_missed() {
    let copy = Copy::new();
    copy.commit();
    fs::remove_file(copy.path("shop.order.OrderPlaced/v1.bin")).unwrap();
    fs::remove_dir_all(copy.path("shop.order.OrderReserved")).unwrap();
    let told = copy.complaints(&["--against", "HEAD"]);
    for line in [
        "schemas/shop.order.OrderPlaced/v1.bin: golden-bytes: it is missing\n    fix: write it from \
         the example: shop schemas golden",
        "schemas/shop.order.OrderReserved: rust-type: this program writes such messages, and there \
         is no schema of them",
        "schemas/shop.order.OrderPlaced/v1.bin: released: HEAD released it, and it is gone",
        "schemas/shop.order.OrderReserved/v1.avsc: released: HEAD released it, and it is gone",
    ] {
        assert!(told.contains(line), "{line}\nis not in\n{told}");
    }
}

#[test]
fn a_commit_that_is_not_there_is_a_mistake_of_the_command_line() {
    let copy = Copy::new();
    copy.commit();
    let outcome = copy.shop(&["check", "--against", "nowhere"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.err.contains("nowhere"), "{outcome:?}");
}

#[test]
fn a_new_version_that_breaks_readers_is_refused_with_file_field_rule_and_fix() {
    let copy = Copy::new();
    let outcome = copy.shop(&["new", "OrderPlaced"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let next = "shop.order.OrderPlaced/v3.avsc";
    assert!(outcome.out.starts_with(&format!("schemas/{next}\n")));
    copy.edit(next, r#""type": "int""#, r#""type": "long""#);
    let told = copy.complaints(&[]);
    for line in [
        "schemas/shop.order.OrderPlaced/v3.avsc: lines[].quantity: full-transitive: version 1 \
         cannot read what this version writes: int cannot read long (TYPE_MISMATCH)\n    fix: keep \
         the type of version 1; add a field with a default beside it",
        "schemas/shop.order.OrderPlaced/v3.bin: golden-bytes: version 3 has no example\n    fix: \
         append one to contracts/src/examples.rs, with the new fields set",
    ] {
        assert!(told.contains(line), "{line}\nis not in\n{told}");
    }
    let diff = copy.shop(&["diff", "shop.order.OrderPlaced"]);
    let last =
        "shop.order.OrderPlaced: version 2 -> version 3\n  ~ lines[].quantity: int -> long\n";
    assert!(diff.out.ends_with(last), "{diff:?}");
}

#[test]
fn a_copy_that_nobody_changed_is_no_version() {
    let copy = Copy::new();
    copy.shop(&["new", "PlaceOrder"]);
    let told = copy.complaints(&[]);
    let expected = "schemas/shop.order.PlaceOrder/v3.avsc: numbering: it says what version 2 says";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn golden_bytes_that_read_otherwise_are_refused_and_missing_ones_written() {
    let copy = Copy::new();
    let file = copy.path("shop.order.CompleteOrder/v1.bin");
    let golden = fs::read(&file).unwrap();
    // A string of 9 bytes: its length, then ORDER_001.
    fs::write(&file, [&golden[..9], b"2"].concat()).unwrap();
    let told = copy.complaints(&[]);
    let expected = "schemas/shop.order.CompleteOrder/v1.bin: golden-bytes: it reads as \
                    {\"order_id\":\"ORDER_002\"}, and was written from {\"order_id\":\"ORDER_001\"}";
    assert!(told.contains(expected), "{told}");

    fs::remove_file(&file).unwrap();
    let written = copy.shop(&["golden"]);
    assert_eq!(written.out, "schemas/shop.order.CompleteOrder/v1.bin\n");
    assert_eq!(fs::read(&file).unwrap(), golden);
    assert_eq!(copy.shop(&["check"]).status, 0);
}

#[test]
fn what_the_rust_type_lacks_is_named() {
    let copy = Copy::new();
    let field = r#"{"name": "gift", "type": "boolean", "default": false, "doc": "A gift."},"#;
    let text = fs::read_to_string(copy.path("shop.order.CompleteOrder/v1.avsc")).unwrap();
    let doctored = text.replacen("\"fields\": [", &format!("\"fields\": [{field}"), 1);
    assert_ne!(text, doctored);
    fs::write(copy.path("shop.order.CompleteOrder/v1.avsc"), doctored).unwrap();
    let told = copy.complaints(&[]);
    let expected = "schemas/shop.order.CompleteOrder/v1.avsc: rust-type: this program was built \
                    with another text\n    fix: build it again";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn files_with_other_names_and_unknown_schemas_are_mistakes() {
    let copy = Copy::new();
    let outcome = copy.shop(&["new", "Nobody"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.err.contains("shop.order.PlaceOrder"), "{outcome:?}");
    fs::write(copy.path("shop.order.PlaceOrder/draft.avsc"), "").unwrap();
    let outcome = copy.shop(&["check"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(outcome.err.contains("draft.avsc"), "{outcome:?}");
}

#[test]
fn a_registry_is_filled_once_and_told_apart_from_one_that_others_filled() {
    let registry = Up::start(&["--fresh", "--only", "registry"]);
    let address = format!("http://{}", registry.address("registry"));
    let copy = Copy::new();
    let at = ["--registry", &address];

    let before = copy.shop(&[&["check"], &at[..]].concat());
    assert_eq!(before.status, 0, "{before:?}");
    assert!(
        before
            .out
            .contains("order.events-shop.order.OrderPlaced version 1: not registered\n")
    );
    let first = registry.shop(&["schemas", "register", at[0], at[1]]);
    assert_eq!(first.status, 0, "{first:?}");
    assert_eq!(first.out.matches(": registered as id ").count(), 21);
    let again = copy.shop(&[&["register"], &at[..]].concat());
    assert_eq!(again.out.matches(": there as id ").count(), 21);
    let path = "/config/order.events-shop.order.OrderPlaced";
    let level = support::get(registry.address("registry"), path);
    assert!(level.contains("FULL_TRANSITIVE"), "{level}");

    // when others register a version that is not among the files
    let ours = fs::read_to_string(copy.path("shop.order.CancelOrder/v2.avsc")).unwrap();
    let field = r#""fields": [{"name": "by", "type": "string", "default": ""},"#;
    let theirs = ours.replacen("\"fields\": [", field, 1);
    let client = ConfluentRegistry::new(&address).unwrap();
    let registering = client.register("order.commands-shop.order.CancelOrder", &theirs);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(registering)
        .unwrap();
    let told = copy.complaints(&at);
    let expected = "schemas/shop.order.CancelOrder/v2.avsc: registry: version 3 of \
                    order.commands-shop.order.CancelOrder is not among the files";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_registry_that_is_away_is_unreachable() {
    let address = format!("http://{}", support::free_address());
    let outcome = Copy::new().shop(&["register", "--registry", &address]);
    assert_eq!(outcome.status, 3, "{outcome:?}");
}
