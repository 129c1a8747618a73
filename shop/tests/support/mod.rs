//! Real `shop` processes, on free ports, in temporary directories, killed when dropped.

#![allow(dead_code, reason = "each test file uses its part of this")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const SHOP: &str = env!("CARGO_BIN_EXE_shop");
/// How long a process may take to be ready or to end; far above what it takes.
const PROCESS_MAX: Duration = Duration::from_secs(60);
/// How often a condition of another process is looked at.
const POLL: Duration = Duration::from_millis(10);
/// The flags that name addresses, with the parts' names.
pub(crate) const LISTEN: [(&str, &str); 6] = [
    ("gateway", "--listen-gateway"),
    ("order", "--listen-order"),
    ("inventory", "--listen-inventory"),
    ("log", "--listen-log"),
    ("registry", "--listen-registry"),
    ("http", "--listen-http"),
];

/// A path of the checkout.
pub(crate) fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// `shop` with `arguments`, in an environment that says nothing about stores.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(SHOP);
    command.args(arguments).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SHOP_") {
            command.env_remove(name);
        }
    }
    command
}

/// Polls until `found` finds something; panics with `what` when it takes too long.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PROCESS_MAX.as_millis() / POLL.as_millis() {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(POLL);
    }
    panic!("waited {PROCESS_MAX:?} in vain: {what}");
}

/// An address of this machine that nobody listens on.
pub(crate) fn free_address() -> String {
    let free = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    free.local_addr().unwrap().to_string()
}

/// What of a store runs elsewhere, as the environment of `shop` names it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere(pub(crate) Vec<(&'static str, String)>);

impl Elsewhere {
    fn names(&self, variable: &str) -> bool {
        self.get(variable).is_some()
    }

    /// What `variable` says.
    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| *name == variable);
        found.map(|(_, value)| value.as_str())
    }
}

/// A process that does not outlive its test, and shows its log if the test fails.
struct Owned {
    child: Child,
    log: PathBuf,
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- log of the store ---\n{log}");
        }
    }
}

/// A running `shop up`, killed when dropped.
pub(crate) struct Up {
    // Before the folder, which holds its log.
    process: Owned,
    folder: TempDir,
    elsewhere: Elsewhere,
    /// What the ready file said.
    pub(crate) ready: Value,
}

impl Up {
    /// Starts `shop up` with `arguments`; parts without an address in them get a free port.
    pub(crate) fn spawn(arguments: &[&str]) -> Starting {
        Self::spawn_beside(&Elsewhere::default(), arguments)
    }

    /// As [`Up::spawn`], with parts elsewhere.
    pub(crate) fn spawn_beside(elsewhere: &Elsewhere, arguments: &[&str]) -> Starting {
        let folder = tempfile::tempdir().unwrap();
        let ready_file = folder.path().join("ready.json");
        let mut command = command(&["up", "--ready-file"]);
        command.arg(&ready_file).args(arguments);
        command.envs(elsewhere.0.iter().cloned());
        for (part, flag) in LISTEN {
            let is_elsewhere = part == "log" && elsewhere.names("SHOP_LOG");
            if !arguments.contains(&flag) && !is_elsewhere {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        let log = folder.path().join("stderr");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Starting {
            process: Owned { child, log },
            folder,
            elsewhere: elsewhere.clone(),
        }
    }

    /// Starts `shop up` and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Up {
        Self::spawn(arguments).ready()
    }

    /// Where a part listens, by its name in the ready file.
    pub(crate) fn address(&self, part: &str) -> &str {
        self.ready[part].as_str().unwrap()
    }

    /// The URL of the gateway.
    pub(crate) fn gateway(&self) -> String {
        format!("http://{}", self.address("gateway"))
    }

    /// The addresses of what runs here or elsewhere, as client commands and operators' commands take
    /// them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let parts = [
            ("SHOP_GATEWAY", "gateway", "http://"),
            ("SHOP_ORDER", "order", "http://"),
            ("SHOP_INVENTORY", "inventory", "http://"),
            ("SHOP_LOG", "log", ""),
            ("SHOP_REGISTRY", "registry", "http://"),
        ];
        let here = parts.into_iter().filter_map(|(name, part, scheme)| {
            Some((name, format!("{scheme}{}", self.ready[part].as_str()?)))
        });
        here.chain(self.elsewhere.0.iter().cloned()).collect()
    }

    /// Runs a client command against this store.
    pub(crate) fn shop(&self, arguments: &[&str]) -> Outcome {
        let mut command = command(arguments);
        command.envs(self.environment());
        Outcome::of(command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs `shop place -` with `body` on standard input.
    pub(crate) fn place(&self, body: &Value, arguments: &[&str]) -> Outcome {
        let mut place = command(&["place", "-"])
            .args(arguments)
            .env("SHOP_GATEWAY", self.gateway())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = place.stdin.take().unwrap();
        stdin.write_all(body.to_string().as_bytes()).unwrap();
        drop(stdin);
        Outcome::of(place.wait_with_output().unwrap())
    }

    /// Runs `shop tail` over everything in the log, as JSON.
    pub(crate) fn tail(&self, topic: &str) -> Vec<Value> {
        let flags = ["--from-start", "--until-end", "--output", "json"];
        let outcome = self.shop(&[&["tail", topic], &flags[..]].concat());
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.json()
    }

    /// On hand and reserved of a product.
    pub(crate) fn stock(&self, product: &str) -> (i64, i64) {
        let outcome = self.shop(&["stock", product, "--output", "json"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        let level = &outcome.json()[0];
        (
            level["on_hand"].as_i64().unwrap(),
            level["reserved"].as_i64().unwrap(),
        )
    }

    /// An order as `shop order` shows it.
    pub(crate) fn order(&self, order_id: &str) -> Value {
        let outcome = self.shop(&["order", order_id, "--output", "json"]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.json().remove(0)
    }

    /// Waits until an order reaches `status`.
    pub(crate) fn wait_for_status(&self, order_id: &str, status: &str) -> Value {
        wait_for(&format!("{order_id} is {status}"), || {
            let outcome = self.shop(&["order", order_id, "--output", "json"]);
            let order = (outcome.status == 0).then(|| outcome.json().remove(0))?;
            (order["status"] == status).then_some(order)
        })
    }

    /// What `/metrics` says.
    pub(crate) fn metrics(&self) -> String {
        get(self.address("http"), "/metrics")
    }

    /// Asks the process to stop, waits for its end, and returns its exit status.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal("TERM");
        end_of(&mut self.process.child)
    }

    /// Kills the process without warning.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.process.log).unwrap()
    }

    /// The ready file.
    pub(crate) fn ready_file(&self) -> PathBuf {
        self.folder.path().join("ready.json")
    }

    fn signal(&self, name: &str) {
        let pid = self.process.child.id().to_string();
        let script = format!("kill -{name} {pid}");
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Everything but Inventory, which is expected at the address returned, in `folder`.
pub(crate) fn without_inventory(elsewhere: &Elsewhere, folder: &str) -> (Up, String) {
    let inventory = free_address();
    let flags = ["--data-dir", folder, "--without", "inventory"];
    let flags = [&flags[..], &["--listen-inventory", &inventory]].concat();
    (Up::spawn_beside(elsewhere, &flags).ready(), inventory)
}

/// Inventory alone, beside `store`.
pub(crate) fn inventory(folder: &str, address: &str, store: &Up) -> Up {
    let mut flags = vec![
        "--data-dir",
        folder,
        "--only",
        "inventory",
        "--listen-inventory",
        address,
        "--listen-registry",
        store.address("registry"),
    ];
    if !store.elsewhere.names("SHOP_LOG") {
        flags.extend(["--listen-log", store.address("log")]);
    }
    Up::spawn_beside(&store.elsewhere, &flags).ready()
}

/// A `shop up` that may not be ready yet.
pub(crate) struct Starting {
    process: Owned,
    folder: TempDir,
    elsewhere: Elsewhere,
}

impl Starting {
    /// Waits until it is ready.
    pub(crate) fn ready(mut self) -> Up {
        let file = self.folder.path().join("ready.json");
        let text = wait_for("the store is ready", || {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                panic!("the store ended with {status}");
            }
            std::fs::read_to_string(&file).ok()
        });
        Up {
            process: self.process,
            folder: self.folder,
            elsewhere: self.elsewhere,
            ready: serde_json::from_str(&text).unwrap(),
        }
    }

    /// Waits for the end of one that cannot start; its exit status and its stderr.
    pub(crate) fn fails(mut self) -> (i32, String) {
        let status = end_of(&mut self.process.child);
        let log = std::fs::read_to_string(&self.process.log).unwrap();
        (status, log)
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.process.log).unwrap()
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

fn end_of(child: &mut Child) -> i32 {
    let status = wait_for("the process ends", || child.try_wait().unwrap());
    status.code().unwrap_or(-1)
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit status; -1 after a signal.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Outcome {
    /// Takes over what a process left.
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// As [`Outcome::of`], for programs that print bytes of other programs.
    pub(crate) fn of_lossy(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Each line of the output as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {self:?}")))
            .collect()
    }
}

/// The request body of an order: `lines` are product and quantity.
pub(crate) fn order(order_id: &str, lines: &[(&str, i32)]) -> Value {
    let lines: Vec<_> = lines
        .iter()
        .map(|(product_id, quantity)| {
            serde_json::json!({
                "product_id": product_id, "quantity": quantity, "unit_price_minor": 100
            })
        })
        .collect();
    serde_json::json!({
        "order": {
            "order_id": order_id,
            "customer_id": "CUSTOMER_001",
            "currency": "GBP",
            "lines": lines,
        }
    })
}

/// As [`order`], refused when there is not enough stock.
pub(crate) fn order_or_reject(order_id: &str, lines: &[(&str, i32)]) -> Value {
    let mut request = order(order_id, lines);
    request["order"]["on_shortage"] = "REJECT".into();
    request
}

/// The answer to an HTTP GET, head and body.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is a client; nothing on a fresh machine speaks HTTP"
)]
pub(crate) fn try_get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// As [`try_get`], of a server that is there.
pub(crate) fn get(address: &str, path: &str) -> String {
    try_get(address, path).unwrap()
}
