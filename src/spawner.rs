//! Tasks, as a port: every task has an owner that notices its end.

use std::future::Future;
use std::pin::Pin;

use tokio::task::{JoinError, JoinHandle};

/// A boxed task body.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The port for running tasks.
///
/// A spawned task runs until it ends or its [`Task`] is dropped or aborted; dropping is how an
/// owner that goes away takes its tasks with it.
pub trait Spawner: Send + Sync + 'static {
    /// Starts `work`; `name` appears in logs and in traces of a simulation.
    fn spawn(&self, name: &'static str, work: Work) -> Task;
}

/// A running task. Dropping it aborts the task at its next await.
#[derive(Debug)]
pub struct Task {
    name: &'static str,
    handle: JoinHandle<()>,
}

impl Task {
    /// Takes over a tokio task.
    #[must_use]
    pub fn new(name: &'static str, handle: JoinHandle<()>) -> Self {
        Self { name, handle }
    }

    /// The name it was spawned under.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the task panicked or was aborted.
    pub async fn join(mut self) -> Result<(), JoinError> {
        (&mut self.handle).await
    }

    /// Aborts the task at its next await and waits for its end.
    pub async fn stop(mut self) {
        self.handle.abort();
        // Aborted, ended before, or panicked: it does nothing more.
        let _ = (&mut self.handle).await;
    }

    /// Whether the task has ended, for whatever reason.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Tasks on the current tokio runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawner;

impl Spawner for TokioSpawner {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that the ban points to"
    )]
    fn spawn(&self, name: &'static str, work: Work) -> Task {
        Task::new(name, tokio::spawn(work))
    }
}
