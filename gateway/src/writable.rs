//! The bound schemas, once there is a way into the log.

use std::sync::{Arc, Mutex, PoisonError};

use messaging::message::Writer;
use tokio::sync::Notify;

/// Holds the writer while topics and schemas are as this program needs them; clones share it.
///
/// Whoever waits is woken in the order of waiting, so a simulation repeats itself: a watch channel
/// wakes at random.
#[derive(Clone, Default)]
pub(crate) struct Writable {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    writer: Mutex<Option<Arc<Writer>>>,
    changed: Notify,
}

impl Writable {
    /// Gives the writer to all who wait, or takes it away from those who come.
    pub(crate) fn set(&self, writer: Option<Arc<Writer>>) {
        let mut held = self.lock();
        *held = writer;
        drop(held);
        self.shared.changed.notify_waiters();
    }

    /// The writer, as soon as there is one.
    pub(crate) async fn writer(&self) -> Arc<Writer> {
        loop {
            // Registered before looking, so that no change falls between.
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let writer = self.lock().clone();
            match writer {
                Some(writer) => return writer,
                None => changed.await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Writer>>> {
        self.shared
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use messaging::message::Binding;
    use messaging::registry::memory::MemoryRegistry;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_gets_the_writer_when_it_is_there() {
        let writable = Writable::default();
        let bound = Writer::bind(&MemoryRegistry::new(), &[], Binding::Register).await;
        let writer = Arc::new(bound.unwrap());
        let set = async { writable.set(Some(Arc::clone(&writer))) };
        let (one, other, ()) = tokio::join!(writable.writer(), writable.writer(), set);
        assert!(Arc::ptr_eq(&one, &writer) && Arc::ptr_eq(&other, &writer));
    }
}
