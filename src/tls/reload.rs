//! Files whose content is in use, looked at again while the program runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Error, File};
use crate::limits;

/// Makes the value from the files' contents, in their order.
type Build<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, Error> + Send + Sync>;

/// What the contents of files make, made again once they have changed.
///
/// The files are looked at when the value is asked for, which is when a connection is made, and at
/// most every [`limits::TLS_RELOAD_EVERY`]. By content: what replaces a file may keep its time, as
/// links to a mounted directory do. They are few, small and local, so reading them waits for no
/// network. A content that cannot be used is told once, and what was made before stays in use; that
/// is also what happens between the writing of a certificate and that of its key.
pub(super) struct Reloading<T> {
    files: Vec<File>,
    build: Build<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    contents: [u8; 32],
    looked: Instant,
    /// The complaint that was told last.
    told: Option<String>,
}

impl<T> Reloading<T> {
    /// Reads `files` for the first time; without any there is nothing to look at again.
    pub(super) fn new(
        files: Vec<File>,
        build: impl Fn(&[Vec<u8>]) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let contents = read(&files)?;
        let state = State {
            value: Arc::new(build(&contents)?),
            contents: digest(&contents),
            looked: Instant::now(),
            told: None,
        };
        Ok(Self {
            files,
            build: Box::new(build),
            state: Mutex::new(state),
        })
    }

    /// The newest value that can be used.
    pub(super) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= limits::TLS_RELOAD_EVERY {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        Arc::clone(&state.value)
    }

    fn look(&self, state: &mut State<T>) {
        let looked = read(&self.files).and_then(|contents| {
            let digest = digest(&contents);
            let changed = digest != state.contents;
            let value = changed.then(|| (self.build)(&contents)).transpose()?;
            Ok(value.map(|value| (value, digest)))
        });
        match looked {
            Ok(changed) => {
                state.told = None;
                if let Some((value, contents)) = changed {
                    state.value = Arc::new(value);
                    state.contents = contents;
                    tracing::info!(files = %self, "certificates read again");
                }
            }
            Err(error) => {
                let complaint = error.to_string();
                if state.told.as_ref() != Some(&complaint) {
                    tracing::warn!(%error, "certificates not read again, the old ones stay in use");
                    state.told = Some(complaint);
                }
            }
        }
    }
}

impl<T> fmt::Display for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            write!(f, "{gap}{}", file.path.display())?;
        }
        Ok(())
    }
}

impl<T> fmt::Debug for Reloading<T> {
    /// Without the value, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reloading({self})")
    }
}

fn read(files: &[File]) -> Result<Vec<Vec<u8>>, Error> {
    let read = |file: &File| {
        std::fs::read(&file.path).map_err(|source| Error::Unreadable {
            file: file.clone(),
            source,
        })
    };
    files.iter().map(read).collect()
}

/// Stands for the contents, so that no copy of a key is kept.
fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for content in contents {
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in files: "x" is a broken one.
    fn numbers(path: &std::path::Path) -> Reloading<u8> {
        let file = File {
            flag: "--number",
            path: path.to_owned(),
        };
        let named = file.clone();
        let build = move |contents: &[Vec<u8>]| match contents[0][..] {
            [digit @ b'0'..=b'9'] => Ok(digit - b'0'),
            _ => Err(Error::Empty {
                file: named.clone(),
                wanted: "number",
            }),
        };
        Reloading::new(vec![file], build).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_used_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("1");
        let number = numbers(&path);
        let later = async || {
            tokio::time::advance(limits::TLS_RELOAD_EVERY).await;
            *number.current()
        };
        write("2");
        assert_eq!(*number.current(), 1, "not looked at all the time");
        assert_eq!(later().await, 2);
        write("x");
        assert_eq!(later().await, 2);
        let told = || number.state.lock().unwrap().told.clone();
        assert!(told().unwrap().contains("--number"), "{:?}", told());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(later().await, 2);
        write("3");
        assert_eq!(later().await, 3);
        assert_eq!(told(), None);
    }
}
