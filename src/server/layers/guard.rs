//! Who may come in: every call but those of health and reflection brings a token that is good enough
//! for it.

use std::sync::Arc;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tonic::Status;
use tonic::service::RoutesBuilder;

use super::OPEN;
use crate::auth::verifier::Unverified;
use crate::auth::{Caller, Need, Refusal, Verifier};
use crate::status;

/// Verifies who calls, and refuses who may not. Handlers find the caller with [`Caller::of`].
#[derive(Clone, Debug)]
pub struct Guard {
    verifier: Arc<Verifier>,
    need: fn(&str) -> Need,
}

impl Guard {
    /// `need` tells what a call needs, by its path (`/package.Service/Method`).
    #[must_use]
    pub fn new(verifier: Verifier, need: fn(&str) -> Need) -> Self {
        Self {
            verifier: Arc::new(verifier),
            need,
        }
    }

    /// The same routes behind `guard`, if there is one.
    #[must_use]
    pub fn around(guard: Option<Self>, routes: RoutesBuilder) -> RoutesBuilder {
        let Some(guard) = guard else { return routes };
        let router = routes.routes().into_axum_router();
        router
            .layer(middleware::from_fn_with_state(guard, admit))
            .into()
    }

    /// The caller, if the call needs one.
    async fn caller(&self, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Status> {
        if OPEN.iter().any(|prefix| path.starts_with(prefix)) {
            return Ok(None);
        }
        let need = (self.need)(path);
        if need == Need::Nothing {
            return Ok(None);
        }
        let bearer = headers.get(AUTHORIZATION);
        let bearer = bearer.ok_or_else(|| status::unauthenticated(Refusal::Missing))?;
        let token = token(bearer).ok_or_else(|| status::unauthenticated(Refusal::Missing))?;
        let claims = self
            .verifier
            .verify(token)
            .await
            .map_err(|unverified| match unverified {
                Unverified::Refused(refusal) => status::unauthenticated(refusal),
                Unverified::NoKeys => status::unavailable("tokens cannot be verified yet"),
            })?;
        if !need.is_met_by(&claims) {
            return Err(status::denied(need));
        }
        Ok(Some(Caller::new(claims, bearer.clone())))
    }
}

async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.caller(request.uri().path(), request.headers()).await {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(refusal) => return refusal.into_http(),
    }
    next.run(request).await
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110, section 11.1).
fn token(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
