//! Confluent's paths, bodies and answers.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::Failure;
use super::state::Mode;
use super::store::Store;
use evolution::Level;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Longest request body.
const BODY_BYTES_MAX: usize = 1 << 20;

type Registry = Shared<Arc<Store>>;
type Answer = Result<Json, Failure>;

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

/// The whole API.
pub(super) fn routes(store: Arc<Store>) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({}))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(version_schema),
        )
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
        .fallback(async || Failure::NoSuchPath)
        .method_not_allowed_fallback(async || Failure::NoSuchMethod)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(store)
}

/// A schema in a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaBody {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

/// The schema text of a request, if it is one that this registry keeps.
fn schema_of(body: &Bytes) -> Result<String, Failure> {
    let body: SchemaBody = read(body)?;
    let kind = body.schema_type.unwrap_or_default();
    if !matches!(kind.as_str(), "" | "AVRO") {
        return Err(Failure::InvalidSchema(format!(
            "schemas of type {kind} are not kept here"
        )));
    }
    if body
        .references
        .is_some_and(|references| !references.is_empty())
    {
        return Err(Failure::InvalidSchema(
            "references are not supported".to_owned(),
        ));
    }
    Ok(body.schema)
}

fn read<T: for<'de> Deserialize<'de>>(body: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::BadBody(error.to_string()))
}

/// A version in a path; None is the latest.
fn version_of(text: &str) -> Result<Option<u32>, Failure> {
    match text {
        "latest" | "-1" => Ok(None),
        number => match number.parse() {
            Ok(version) if (1..=i32::MAX as u32).contains(&version) => Ok(Some(version)),
            _ => Err(Failure::InvalidVersion(text.to_owned())),
        },
    }
}

/// Runs what may wait for the disk off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::Storage(error.to_string())))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubjectsQuery {
    #[serde(default)]
    subject_prefix: String,
}

async fn subjects(Shared(store): Registry, Query(query): Query<SubjectsQuery>) -> Answer {
    let state = store.state();
    let subjects = state
        .subjects()
        .filter(|subject| subject.starts_with(&query.subject_prefix));
    Json::of(subjects.collect::<Vec<_>>())
}

async fn versions(Shared(store): Registry, Path(subject): Path<String>) -> Answer {
    let state = store.state();
    Json::of((1..=state.ids(&subject)?.len()).collect::<Vec<_>>())
}

async fn register(Shared(store): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    let text = schema_of(&body)?;
    let id = blocking(move || store.register(&subject, &text)).await?;
    Json::of(json!({"id": id}))
}

async fn look_up(Shared(store): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    Json::of(store.look_up(&subject, &schema_of(&body)?)?)
}

async fn version(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    let version = version_of(&version)?;
    Json::of(store.state().version(&subject, version)?)
}

async fn version_schema(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Result<impl IntoResponse, Failure> {
    let version = version_of(&version)?;
    Ok(raw(store.state().version(&subject, version)?.schema))
}

async fn schema(Shared(store): Registry, Path(id): Path<u32>) -> Answer {
    Json::of(json!({"schema": store.state().text(id)?}))
}

async fn schema_text(
    Shared(store): Registry,
    Path(id): Path<u32>,
) -> Result<impl IntoResponse, Failure> {
    let text = store.state().text(id)?.to_owned();
    Ok(raw(text))
}

fn raw(schema: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], schema)
}

async fn schema_subjects(Shared(store): Registry, Path(id): Path<u32>) -> Answer {
    let state = store.state();
    state.text(id)?;
    Json::of(
        state
            .uses(id)
            .into_iter()
            .map(|(subject, _)| subject)
            .collect::<Vec<_>>(),
    )
}

async fn schema_versions(Shared(store): Registry, Path(id): Path<u32>) -> Answer {
    let state = store.state();
    state.text(id)?;
    let uses = state.uses(id).into_iter();
    let uses = uses.map(|(subject, version)| json!({"subject": subject, "version": version}));
    Json::of(uses.collect::<Vec<_>>())
}

#[derive(Deserialize)]
struct CheckQuery {
    #[serde(default)]
    verbose: bool,
}

fn verdict(findings: Vec<String>, verbose: bool) -> Answer {
    let mut verdict = json!({"is_compatible": findings.is_empty()});
    if verbose {
        verdict["messages"] = findings.into();
    }
    Json::of(verdict)
}

async fn check_next(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(query): Query<CheckQuery>,
    body: Bytes,
) -> Answer {
    verdict(
        store.check_next(&subject, &schema_of(&body)?)?,
        query.verbose,
    )
}

async fn check_against(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
    Query(query): Query<CheckQuery>,
    body: Bytes,
) -> Answer {
    let version = version_of(&version)?;
    verdict(
        store.check_against(&subject, version, &schema_of(&body)?)?,
        query.verbose,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettingQuery {
    #[serde(default)]
    default_to_global: bool,
}

#[derive(Deserialize)]
struct LevelBody {
    compatibility: String,
}

async fn level(Shared(store): Registry) -> Answer {
    Json::of(json!({"compatibilityLevel": store.state().level(None)}))
}

async fn subject_level(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(query): Query<SettingQuery>,
) -> Answer {
    let state = store.state();
    let level = state
        .own_level(Some(&subject))
        .or_else(|| query.default_to_global.then(|| state.level(None)));
    let level = level.ok_or_else(|| Failure::LevelNotConfigured(subject.clone()))?;
    Json::of(json!({"compatibilityLevel": level}))
}

async fn set_level(Shared(store): Registry, body: Bytes) -> Answer {
    put_level(store, None, &body).await
}

async fn set_level_of(Shared(store): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    put_level(store, Some(subject), &body).await
}

async fn put_level(store: Arc<Store>, subject: Option<String>, body: &Bytes) -> Answer {
    let body: LevelBody = read(body)?;
    let level: Level = body
        .compatibility
        .parse()
        .map_err(|()| Failure::InvalidLevel)?;
    blocking(move || store.set_level(subject, Some(level))).await?;
    Json::of(json!({"compatibility": level}))
}

async fn remove_level(Shared(store): Registry) -> Answer {
    blocking(move || {
        store.set_level(None, None)?;
        Json::of(json!({"compatibilityLevel": store.state().level(None)}))
    })
    .await
}

async fn remove_level_of(Shared(store): Registry, Path(subject): Path<String>) -> Answer {
    let name = subject.clone();
    let before = blocking(move || store.set_level(Some(name), None)).await?;
    let before = before.ok_or(Failure::LevelNotConfigured(subject))?;
    Json::of(json!({"compatibilityLevel": before}))
}

#[derive(Deserialize)]
struct ModeBody {
    mode: String,
}

async fn mode(Shared(store): Registry) -> Answer {
    Json::of(json!({"mode": store.state().mode(None)}))
}

async fn subject_mode(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(query): Query<SettingQuery>,
) -> Answer {
    let state = store.state();
    let mode = state
        .own_mode(Some(&subject))
        .or_else(|| query.default_to_global.then(|| state.mode(None)));
    Json::of(json!({"mode": mode.ok_or_else(|| Failure::ModeNotConfigured(subject.clone()))?}))
}

async fn set_mode(Shared(store): Registry, body: Bytes) -> Answer {
    put_mode(store, None, &body).await
}

async fn set_mode_of(Shared(store): Registry, Path(subject): Path<String>, body: Bytes) -> Answer {
    put_mode(store, Some(subject), &body).await
}

async fn put_mode(store: Arc<Store>, subject: Option<String>, body: &Bytes) -> Answer {
    let body: ModeBody = read(body)?;
    let mode: Mode = serde_json::from_value(body.mode.to_uppercase().into())
        .map_err(|_| Failure::InvalidMode)?;
    blocking(move || store.set_mode(subject, Some(mode))).await?;
    Json::of(json!({"mode": mode}))
}

async fn remove_mode_of(Shared(store): Registry, Path(subject): Path<String>) -> Answer {
    let name = subject.clone();
    let before = blocking(move || store.set_mode(Some(name), None)).await?;
    let before = before.ok_or(Failure::ModeNotConfigured(subject))?;
    Json::of(json!({"mode": before}))
}
