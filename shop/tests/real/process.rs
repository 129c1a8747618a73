//! The store's parts as processes of their own, which can be killed, stopped, paused and started.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Elsewhere, command};

/// How long a part may take until it is ready; a database of this size is looked over in less.
pub(crate) const READY_MAX: Duration = Duration::from_secs(60);
/// How long a part may take to stop in order: its drain (10 s) and its parts' one after the other.
const STOP_MAX: Duration = Duration::from_secs(45);
/// How often another process is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Lines of a part's log that a failure shows.
const LOG_LINES_SHOWN: usize = 40;

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Log,
    Registry,
    Order,
    Inventory,
    Gateway,
}

impl Role {
    pub(crate) const ALL: [Self; 5] = [
        Self::Log,
        Self::Registry,
        Self::Order,
        Self::Inventory,
        Self::Gateway,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Registry => "registry",
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Gateway => "gateway",
        }
    }
}

/// What the leader of a group does; `$0` is the folder. Who cleans up is no member of the group.
const LEADER: &str = r#"
    read -r orderly || {
        setsid sh -c '
            kill -s KILL -- "-$1"
            umount -l "$0/small" 2>/dev/null
            rm -rf "$0"
        ' "$0" "$$" &
        wait
    }
    kill -s KILL 0
"#;

/// The processes of one test, as a process group that does not outlive it.
///
/// Its leader is a shell that waits for a line; when the test ends, however it ends, the pipe
/// breaks and the shell kills the group. If the test could not clean up, the shell does that too.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Child,
    pipe: Option<ChildStdin>,
}

impl Group {
    /// A group whose files are in `folder`, with a file system mounted at `folder/small` perhaps.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut leader = Command::new("sh")
            .args(["-c", LEADER])
            .arg(folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let pipe = leader.stdin.take();
        Self { leader, pipe }
    }

    fn id(&self) -> i32 {
        i32::try_from(self.leader.id()).unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"orderly\n");
        }
        let _ = self.leader.wait();
    }
}

/// A part: at most one process at a time.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) role: Role,
    name: String,
    group: i32,
    arguments: Vec<String>,
    environment: Elsewhere,
    ready_file: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// Whether it was started to end by itself.
    doomed: bool,
    /// What it has done that nobody asked for.
    pub(crate) complaints: Vec<String>,
}

impl Process {
    /// A part that is not started yet; its files besides the data are in `folder`. The name is one
    /// of several of its role, perhaps.
    pub(crate) fn new(
        (role, name): (Role, &str),
        arguments: Vec<String>,
        environment: Elsewhere,
        folder: &Path,
        group: &Group,
    ) -> Self {
        let file = |kind| folder.join(format!("{name}.{kind}"));
        Self {
            role,
            name: name.to_owned(),
            group: group.id(),
            arguments,
            environment,
            ready_file: file("ready"),
            log: file("log"),
            child: None,
            doomed: false,
            complaints: Vec::new(),
        }
    }

    /// Starts it. `crash_at` is the place where it is to end, as `SHOP_CRASH_AT` says it.
    pub(crate) fn start(&mut self, crash_at: Option<&str>) {
        self.spawn(crash_at.map(|place| ("SHOP_CRASH_AT", place)));
        self.doomed = crash_at.is_some();
    }

    /// Starts it to stand still at a place, as `SHOP_STOP_AT` says it.
    pub(crate) fn start_to_stand_still(&mut self, stop_at: &str) {
        self.spawn(Some(("SHOP_STOP_AT", stop_at)));
        self.doomed = false;
    }

    fn spawn(&mut self, plan: Option<(&str, &str)>) {
        self.look();
        if self.child.is_some() {
            return;
        }
        let _ = std::fs::remove_file(&self.ready_file);
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let mut command = command(&["up", "--only", self.role.name(), "--ready-file"]);
        command.arg(&self.ready_file).args(&self.arguments);
        command.envs(self.environment.0.iter().cloned());
        command.envs(plan);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .process_group(self.group)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Ends it without warning; whether there was something to end.
    pub(crate) fn kill(&mut self) -> bool {
        self.look();
        let Some(mut child) = self.child.take() else {
            return false;
        };
        child.kill().unwrap();
        child.wait().unwrap();
        true
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(&mut self) -> bool {
        self.look();
        let Some(mut child) = self.child.take() else {
            return false;
        };
        let ready = self.ready_file.exists();
        signal(&child, "TERM");
        match end_of(&mut child, STOP_MAX).await {
            Some(status) if status.success() => {}
            // It has not come as far as to listen for signals.
            Some(status) if !ready && status.signal() == Some(SIGTERM) => {}
            Some(status) => self.complain(&format!("was asked to stop and ended with {status}")),
            None => {
                self.complain(&format!("did not stop within {STOP_MAX:?}"));
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
        true
    }

    /// Waits until it ends by itself at the place that it was started with; `false` if it does not
    /// come to it within `limit`.
    pub(crate) async fn crashed(&mut self, limit: Duration) -> bool {
        let Some(child) = &mut self.child else {
            return false;
        };
        let Some(status) = end_of(child, limit).await else {
            return false;
        };
        self.child = None;
        if status.signal() != Some(SIGABRT) {
            self.complain(&format!("was to end at a place and ended with {status}"));
        }
        true
    }

    /// Lets it stand still for `time`.
    pub(crate) async fn pause(&mut self, time: Duration) -> bool {
        let hit = self.freeze();
        if hit {
            tokio::time::sleep(time).await;
            self.wake();
        }
        hit
    }

    /// Lets it stand still; whether there was something to stop.
    pub(crate) fn freeze(&mut self) -> bool {
        self.look();
        let child = self.child.iter();
        child.map(|child| signal(child, "STOP")).next().is_some()
    }

    /// Lets it go on as if nothing had happened.
    pub(crate) fn wake(&mut self) {
        if let Some(child) = &self.child {
            signal(child, "CONT");
        }
    }

    /// Whether it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        let Some(child) = &self.child else {
            return false;
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        status.is_ok_and(|status| status.contains("State:\tT"))
    }

    /// Its number, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or takes too long.
    pub(crate) async fn ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_MAX;
        while Instant::now() < deadline {
            self.look();
            if self.child.is_none() {
                return Err(format!("{} ended before it was ready", self.name));
            }
            if self.ready_file.exists() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("{} is not ready after {READY_MAX:?}", self.name))
    }

    /// Notices if it has ended by itself.
    pub(crate) fn look(&mut self) {
        let Some(child) = &mut self.child else {
            return;
        };
        if let Some(status) = child.try_wait().unwrap() {
            self.child = None;
            if !(self.doomed && status.signal() == Some(SIGABRT)) {
                self.complain(&format!("ended by itself with {status}"));
            }
        }
    }

    fn complain(&mut self, what: &str) {
        self.complaints
            .push(format!("{} {what}\n{}", self.name, self.last_lines()));
    }

    /// The end of what all its lives have logged.
    pub(crate) fn last_lines(&self) -> String {
        let log = self.text();
        let lines: Vec<_> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        shown.join("\n")
    }

    /// Lines in the log that tell of a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = self.text();
        let panics = log.lines().filter(|line| line.contains("panicked"));
        panics.map(str::to_owned).collect()
    }

    fn text(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// As POSIX numbers it.
const SIGABRT: i32 = 6;
/// As POSIX numbers it.
const SIGTERM: i32 = 15;

fn signal(child: &Child, name: &str) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success(), "SIG{name}");
}

async fn end_of(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}
