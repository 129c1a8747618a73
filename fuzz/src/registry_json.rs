//! Requests to the embedded registry.
//!
//! Requests with a zero byte between them: the first line is method and path, the rest is the body.
//! Promises: every answer is JSON (or the text of a schema that was registered); what is refused has
//! one of Confluent's codes, and nothing is the registry's own failure; what is registered gets the
//! same number again; and opened again the registry knows what it knew.

use embedded::registry::{Calls, Config, Registry};
use serde_json::Value;

use super::{block_on, directory};

/// Bytes of memory.
pub const MEMORY: usize = 96 << 20;
/// Most requests of one trial.
const REQUESTS_MAX: usize = 16;
/// Everything that a registry knows of its subjects.
const KNOWN: [&str; 4] = ["/subjects", "/schemas", "/config", "/mode"];

/// Trial of a few requests.
pub fn run(data: &[u8]) {
    let directory = directory();
    let open = || Registry::open(Config::new(directory.path())).expect("a registry that is whole");
    let registry = open();
    let calls = registry.calls();
    for request in data.split(|byte| *byte == 0).take(REQUESTS_MAX) {
        let end = request
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(request.len());
        let body = request.get(end + 1..).unwrap_or_default();
        let Some((method, path)) = line(&request[..end]) else {
            continue;
        };
        let Some((status, answer)) = call(&calls, method, path, body) else {
            continue;
        };
        judge(method, path, status, &answer);
        if (method, status) == ("POST", 200) && path.starts_with("/subjects/") {
            let again = call(&calls, method, path, body);
            assert_eq!(again, Some((status, answer)), "{path} twice");
        }
    }
    let known = known(&calls);
    drop((calls, registry));
    assert_eq!(self::known(&open().calls()), known);
}

fn line(line: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(line).ok()?.split_once(' ')
}

fn call(calls: &Calls, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    block_on(calls.answer(method, path, body))
}

fn judge(method: &str, path: &str, status: u16, answer: &[u8]) {
    assert!(
        matches!(status, 200 | 400..=499),
        "{method} {path}: {status}"
    );
    if method == "HEAD" {
        return;
    }
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    if status != 200 {
        let code = answer["error_code"].as_u64().expect("a code");
        assert!(
            code == u64::from(status) || code / 100 == u64::from(status),
            "{code}"
        );
        assert!(answer["message"].is_string());
    }
}

fn known(calls: &Calls) -> Vec<Option<(u16, Vec<u8>)>> {
    KNOWN.map(|path| call(calls, "GET", path, &[])).into()
}
