//! Confluent's paths and answers; `request` reads what comes with them.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

mod request;
mod schemas;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::store::Store;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Longest request body.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Schemas that are parsed and compared at one time: each may take a hundred times its text's memory.
const JUDGED_AT_ONCE: usize = 4;
/// Held while that is done.
static JUDGING: Semaphore = Semaphore::const_new(JUDGED_AT_ONCE);

type Registry = Shared<Arc<Store>>;
type Answer = Result<Json, Failure>;

/// The whole API.
pub(super) fn routes(store: Arc<Store>) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({}))))
        .merge(schema_routes())
        .merge(setting_routes())
        .fallback(async || Failure::Refused(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Failure::Refused(StatusCode::METHOD_NOT_ALLOWED))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(shaped))
        .with_state(store)
}

fn schema_routes() -> Router<Arc<Store>> {
    use schemas::{
        check_against, check_next, look_up, referenced_by, register, schema, schema_subjects,
        schema_text, schema_versions, schemas, subjects, version, version_schema, versions,
    };
    Router::new()
        .route("/contexts", get(async || Json(json!(["."]))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(version_schema),
        )
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(referenced_by),
        )
        .route("/schemas", get(schemas))
        .route("/schemas/types", get(async || Json(json!(["AVRO"]))))
        .route("/schemas/ids/{id}", get(schema))
        .route("/schemas/ids/{id}/schema", get(schema_text))
        .route("/schemas/ids/{id}/subjects", get(schema_subjects))
        .route("/schemas/ids/{id}/versions", get(schema_versions))
        .route(
            "/compatibility/subjects/{subject}/versions",
            post(check_next),
        )
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(check_against),
        )
}

fn setting_routes() -> Router<Arc<Store>> {
    use settings::{
        level, mode, remove_level, remove_level_of, remove_mode_of, set_level, set_level_of,
        set_mode, set_mode_of, subject_level, subject_mode,
    };
    Router::new()
        .route("/config", get(level).put(set_level).delete(remove_level))
        .route(
            "/config/{subject}",
            get(subject_level).put(set_level_of).delete(remove_level_of),
        )
        .route("/mode", get(mode).put(set_mode))
        .route(
            "/mode/{subject}",
            get(subject_mode).put(set_mode_of).delete(remove_mode_of),
        )
}

/// A JSON answer in the registry's own content type.
struct Json(Value);

impl Json {
    fn of(value: impl Serialize) -> Answer {
        let value = serde_json::to_value(value);
        value
            .map(Self)
            .map_err(|error| Failure::Storage(error.to_string()))
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0.to_string()).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code) = self.codes();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = %self, "the registry failed");
        }
        (
            status,
            Json(json!({"error_code": code, "message": self.to_string()})),
        )
            .into_response()
    }
}

/// What the framework refuses by itself, such as a body that is too long, in the shape of all
/// other refusals.
async fn shaped(response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|content_type| content_type == CONTENT_TYPE) {
        response
    } else {
        Failure::Refused(response.status()).into_response()
    }
}

/// Runs what may wait for the disk, or thinks for long, off the async threads, a few at one time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let turn = JUDGING.acquire().await;
    let done = tokio::task::spawn_blocking(move || {
        // Until it is done, whether its client waits or not.
        let _turn = turn;
        work()
    });
    let done = done.await;
    done.unwrap_or_else(|error| Err(Failure::Storage(error.to_string())))
}
