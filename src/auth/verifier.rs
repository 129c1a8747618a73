//! Tokens against a key set that is kept fresh.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Claims;
use super::keys::KeySet;
use super::source::{Error, Source};
use super::token::{self, Expected, Refusal};
use crate::clock::Clock;
use crate::limits;
use crate::spawner::{Spawner, Task};

/// Verifies tokens.
///
/// The key set is read at start and again and again, and once more when a token names a key that it
/// lacks, though not more often than every [`limits::JWKS_ASK_GAP`]. When it cannot be read the last
/// one stays, and that is logged once. A key that has gone from the set verifies nothing more.
#[derive(Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
    _refreshing: Task,
}

/// Why a token was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// It is not good.
    Refused(Refusal),
    /// The key set could not be read yet.
    NoKeys,
}

struct Shared {
    source: Source,
    expected: Expected,
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
    /// Held by whoever reads the key set.
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// Tokens that these keys have verified, by their hash: a signature costs tens of microseconds.
    verified: HashMap<Hash, Arc<Claims>>,
}

type Hash = [u8; 32];

/// How the last reading went.
#[derive(Default)]
struct Reading {
    at: Option<Instant>,
    failing: bool,
}

impl Verifier {
    /// Verifies what is `expected` against the key set at `source`; reads it first.
    ///
    /// # Errors
    /// When a file cannot be used. A URL may answer later.
    pub async fn start(
        source: Source,
        expected: Expected,
        clock: Arc<dyn Clock>,
        spawner: &dyn Spawner,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            source,
            expected,
            clock,
            state: RwLock::default(),
            reading: Mutex::default(),
        });
        if shared.source.is_local() {
            shared.replace(shared.source.read().await?);
        } else {
            shared.refresh().await;
        }
        let refreshing = spawner.spawn("key set", Box::pin(refresh_for_ever(Arc::clone(&shared))));
        Ok(Self {
            shared,
            _refreshing: refreshing,
        })
    }

    /// Completes when `claims` have expired by the wall clock, which is looked at again and again because
    /// it may jump.
    pub async fn expiry(&self, claims: &Claims) {
        let clock = &self.shared.clock;
        while !claims.has_expired(clock.now()) {
            clock.sleep(claims.remaining(clock.now())).await;
        }
    }

    /// What `token` says.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, Unverified> {
        match self.shared.verify(token) {
            // The issuer may have a new key.
            Err(Unverified::NoKeys | Unverified::Refused(Refusal::UnknownKey)) => {
                self.shared.refresh().await;
                self.shared.verify(token)
            }
            known => known,
        }
    }
}

async fn refresh_for_ever(shared: Arc<Shared>) {
    loop {
        shared.clock.sleep(shared.source.refresh_every()).await;
        shared.refresh().await;
    }
}

impl Shared {
    fn verify(&self, token: &str) -> Result<Arc<Claims>, Unverified> {
        // Before it is hashed: what a caller sends has no other bound here.
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Unverified::Refused(Refusal::TooLong));
        }
        let now = self.clock.now();
        let hash = Hash::from(Sha256::digest(token));
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = state.verified.get(&hash) {
            let known = Arc::clone(claims);
            return match known.has_expired(now) {
                true => Err(Unverified::Refused(Refusal::Expired)),
                false => Ok(known),
            };
        }
        let keys = state.keys.clone().ok_or(Unverified::NoKeys)?;
        drop(state);
        let claims = token::verify(token, &keys, &self.expected, now);
        let claims = Arc::new(claims.map_err(Unverified::Refused)?);
        self.remember(hash, &claims, &keys);
        Ok(claims)
    }

    fn remember(&self, hash: Hash, claims: &Arc<Claims>, keys: &Arc<KeySet>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Not if the keys have changed meanwhile: what they verified may count no more.
        if !state
            .keys
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, keys))
        {
            return;
        }
        if state.verified.len() >= limits::TOKENS_REMEMBERED_MAX {
            state.verified.clear();
        }
        state.verified.insert(hash, Arc::clone(claims));
    }

    /// Reads the key set unless it was read a moment ago; who comes meanwhile waits.
    async fn refresh(&self) {
        let mut reading = self.reading.lock().await;
        if reading
            .at
            .is_some_and(|at| at.elapsed() < limits::JWKS_ASK_GAP)
        {
            return;
        }
        let read = self.source.read().await;
        reading.at = Some(Instant::now());
        let failed = std::mem::replace(&mut reading.failing, read.is_err());
        match read {
            Ok(keys) => {
                if failed {
                    tracing::info!("the key set for tokens can be read again");
                }
                self.replace(keys);
            }
            Err(error) if !failed => {
                tracing::warn!(%error, "the key set for tokens cannot be read; the last one stays");
            }
            Err(_) => {}
        }
    }

    fn replace(&self, keys: KeySet) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.keys.as_deref() != Some(&keys) {
            *state = State {
                keys: Some(Arc::new(keys)),
                verified: HashMap::new(),
            };
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("source", &self.source)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
