//! Who may come in: every call but those of health and reflection brings a token that is good enough
//! for it.

use std::sync::Arc;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderValue};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tonic::Status;
use tonic::service::RoutesBuilder;

use super::OPEN;
use super::expiry::Expiring;
use crate::auth::verifier::Unverified;
use crate::auth::{Caller, Need, Refusal, Verifier};
use crate::status;

/// Verifies who calls, and refuses who may not; an open stream ends when its caller's token expires,
/// with UNAUTHENTICATED. Handlers find the caller with [`Caller::of`].
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
            let claims = caller.claims().clone();
            request.extensions_mut().insert(caller);
            let answer = next.run(request).await;
            answer.map(|inner| Body::new(Expiring::new(inner, guard.verifier, claims)))
        }
        Ok(None) => next.run(request).await,
        Err(refusal) => refusal.into_http(),
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110, section 11.1).
fn token(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::Response as HttpResponse;
    use axum::Router;
    use axum::routing::post;
    use futures::StreamExt;
    use http_body_util::BodyExt;
    use tokio::time::Instant;
    use tonic::Code;
    use tower::ServiceExt;

    use super::*;
    use crate::auth::issuer::Grant;
    use crate::auth::source::Source;
    use crate::auth::{Expected, Issuer};
    use crate::clock::{Clock, Timestamp};
    use crate::limits;
    use crate::spawner::TokioSpawner;

    /// The wall clock of a test: it follows tokio's paused one.
    struct Following(Instant);

    #[async_trait::async_trait]
    impl Clock for Following {
        fn now(&self) -> Timestamp {
            Timestamp(1_800_000_000_000).plus(self.0.elapsed())
        }

        async fn sleep(&self, span: Duration) {
            tokio::time::sleep(span).await;
        }
    }

    /// The answer to a watch that tells once a minute, by whoever has a token that lasts this long.
    async fn watched(lasts: Duration) -> HttpResponse<Body> {
        let issuer = Issuer::new(&Issuer::generate().unwrap()).unwrap();
        let expected = Expected {
            issuer: "I".to_owned(),
            audience: "A".to_owned(),
        };
        let clock = Arc::new(Following(Instant::now()));
        let grant = Grant {
            subject: "C1",
            scope: "",
            lasts,
        };
        let token = issuer.token(grant, &expected, clock.now());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, issuer.jwks()).unwrap();
        let source = Source::new(&path.to_str().unwrap().parse().unwrap(), None).unwrap();
        let verifier = Verifier::start(source, expected, clock, &TokioSpawner).await;
        let guard = Guard::new(verifier.unwrap(), |_| Need::Token);
        let watch = async move || {
            let ticks = futures::stream::unfold((), async move |()| {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Some((Ok::<_, std::io::Error>("state"), ()))
            });
            Body::from_stream(ticks.boxed())
        };
        let router = Router::new()
            .route("/shop.v1.A/Watch", post(watch))
            .layer(middleware::from_fn_with_state(guard, admit));
        let request = ::http::Request::post("/shop.v1.A/Watch")
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_stream_ends_with_its_token() {
        let begun = Instant::now();
        let lasts = Duration::from_secs(330);
        let ended = watched(lasts).await.into_body().collect().await.unwrap();
        let status = Status::from_header_map(ended.trailers().unwrap()).unwrap();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("open the stream again"));
        let (took, due) = (begun.elapsed(), lasts + limits::AUTH_SKEW);
        assert!(
            took >= due && took < due + Duration::from_secs(2),
            "{took:?}"
        );
        assert_eq!(ended.to_bytes(), "state".repeat(5), "it told until then");
    }
}
