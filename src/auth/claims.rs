//! What a verified token says, and what a call needs of it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::clock::Timestamp;
use crate::limits;

/// What a verified token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom it is about (`sub`).
    pub subject: String,
    /// What the bearer may do beside what everybody may (`scope`, RFC 8693, section 4.2).
    pub scopes: Vec<String>,
    /// When it ends (`exp`), in seconds since the Unix epoch.
    pub expires: u64,
}

impl Claims {
    /// Whether `scope` was granted.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    /// How long it is worth sleeping at `now` before looking whether they have ended.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        let left = self.ends().saturating_sub(seconds(now));
        Duration::from_secs(left).clamp(Duration::from_millis(100), limits::AUTH_LOOK_EVERY)
    }

    /// The second from which on they count no more.
    fn ends(&self) -> u64 {
        self.expires.saturating_add(limits::AUTH_SKEW.as_secs())
    }

    /// Whether they have ended at `now`, give or take [`limits::AUTH_SKEW`].
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        seconds(now) >= self.ends()
    }
}

/// Whole seconds since the Unix epoch, as tokens count (RFC 7519, section 2).
pub(super) fn seconds(now: Timestamp) -> u64 {
    now.0.max(0).unsigned_abs() / 1_000
}

/// Who makes a call. Handlers find it with [`Caller::of`]; without authentication there is none.
#[derive(Clone)]
pub struct Caller {
    claims: Arc<Claims>,
    bearer: HeaderValue,
}

impl Caller {
    /// The bearer of `claims`, who sent them as `bearer` (the `authorization` header).
    #[must_use]
    pub fn new(claims: Arc<Claims>, mut bearer: HeaderValue) -> Self {
        bearer.set_sensitive(true);
        Self { claims, bearer }
    }

    /// The caller of `request`; `None` where no authentication stands before the service.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// What the caller's token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The header that makes a call in this caller's name; it never shows in a log.
    #[must_use]
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }
}

/// Without the token.
impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.claims.fmt(f)
    }
}

/// What a call needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: also without a token.
    Nothing,
    /// A token.
    Token,
    /// A token with this scope.
    Scope(&'static str),
}

impl Need {
    /// Whether `claims` are enough.
    #[must_use]
    pub fn is_met_by(self, claims: &Claims) -> bool {
        match self {
            Self::Nothing | Self::Token => true,
            Self::Scope(scope) => claims.has(scope),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_met_by_the_same_word_only() {
        let claims = Claims {
            subject: "C1".to_owned(),
            scopes: vec!["stock".to_owned()],
            expires: 1,
        };
        assert!(Need::Nothing.is_met_by(&claims));
        assert!(Need::Token.is_met_by(&claims));
        assert!(Need::Scope("stock").is_met_by(&claims));
        for other in ["operations", "stoc", "stocks", "Stock", ""] {
            assert!(!Need::Scope(other).is_met_by(&claims), "{other}");
        }
    }
}
