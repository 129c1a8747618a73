//! Programs that the registry does not let write: each ends with exit status 5 and one line.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use contracts::topics;
use embedded::{log, registry};
use evolution::Level;
use messaging::log::Log;
use messaging::log::kafka::{self, KafkaLog};
use messaging::message::{Message, Registration};
use messaging::server;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

mod claim;

/// Longer than any of them takes to refuse; one that takes this long does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a program is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A program: its name, and where it is.
pub(crate) type Program<'a> = (&'a str, &'a str);

/// An empty log with every topic, and an empty registry, in this process.
struct Servers {
    runtime: Runtime,
    log: SocketAddr,
    registry: String,
    folder: TempDir,
}

impl Servers {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let (listener, log) = loopback();
        let config = log::Config::new(folder.path().join("log"));
        let opened = log::Log::open(config).unwrap();
        runtime.spawn(opened.serve(listener, CancellationToken::new()));
        let (listener, registry) = loopback();
        let config = registry::Config::new(folder.path().join("registry"));
        let opened = registry::Registry::open(config).unwrap();
        runtime.spawn(opened.serve(listener, CancellationToken::new()));
        let servers = Self {
            runtime,
            log,
            registry: format!("http://{registry}"),
            folder,
        };
        servers.runtime.block_on(create_topics(log));
        servers
    }

    /// Runs a program to its end, which it must come to by itself; its last words.
    fn refuse(&self, (name, path): Program<'_>, register: bool) -> String {
        let mut command = Command::new(path);
        command.env_clear().current_dir(self.folder.path());
        command.args(["--listen", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"]);
        command.args(["--log", &self.log.to_string()]);
        command.args(["--registry", &self.registry]);
        command.args(["--register-schemas", &register.to_string()]);
        if name != "gateway" {
            command.args(["--store", &format!("sqlite:{name}.db")]);
        }
        let log = self.folder.path().join("stderr");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).unwrap()).spawn();
        let status = end_of(child.unwrap());
        let told = fs::read_to_string(&log).unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(5), "{told}");
        let begins = format!("{name}: ");
        let lines: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with(&begins))
            .collect();
        let [line] = lines[..] else {
            panic!("not one line of its own: {told}")
        };
        assert_eq!(told.lines().last(), Some(line));
        line.to_owned()
    }
}

/// How it ended by itself; `None` if it had to be killed.
fn end_of(mut child: Child) -> Option<ExitStatus> {
    for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
        let status = child.try_wait().unwrap();
        if status.is_some() {
            return status;
        }
        std::thread::sleep(POLL);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

fn loopback() -> (TcpListener, SocketAddr) {
    let listener = server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn create_topics(log: SocketAddr) {
    let log = KafkaLog::new(kafka::Config {
        bootstrap: vec![log.to_string()],
        client_id: "test".to_owned(),
    });
    for topic in topics::ALL {
        log.create_topic(topic, 4).await.unwrap();
    }
}

/// Checks that a program which writes `M` refuses to start where somebody else has registered a
/// version that does not fit, whatever the subject's level.
pub(crate) fn where_others_have_claimed<M: Message>(program: Program<'_>) {
    for level in [Level::Backward, Level::FullTransitive] {
        let servers = Servers::start();
        let claiming = claim::claim::<M>(&servers.registry, level);
        let subject = servers.runtime.block_on(claiming);
        let line = servers.refuse(program, true);
        claim::assert_told(&line, program.0, &servers.registry, &subject);
    }
}

/// Checks that a program which writes `M` first refuses to start where it is not registered and it
/// may not register.
pub(crate) fn where_nothing_is_registered<M: Message>(program: Program<'_>) {
    let servers = Servers::start();
    let line = servers.refuse(program, false);
    let subject = Registration::of::<M>().subject();
    let (name, registry) = (program.0, &servers.registry);
    assert_eq!(
        line,
        format!(
            "{name}: --registry {registry}: {subject}: Subject '{subject}' not found. (error 40401); \
             register it (shop schemas register --registry {registry}), or start with \
             --register-schemas true"
        )
    );
}
