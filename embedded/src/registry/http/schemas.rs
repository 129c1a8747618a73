//! Subjects, versions, schemas, and what may follow what.

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::request::{self, Check, Given, Wanted};
use super::{Answer, CONTENT_TYPE, Json, Registry, blocking};
use crate::registry::failure::Failure;

pub(super) async fn subjects(Shared(store): Registry, Query(wanted): Query<Wanted>) -> Answer {
    let state = store.state();
    let subjects = state.subjects_with(&wanted.subject_prefix);
    Json::of(wanted.page(subjects).collect::<Vec<_>>())
}

pub(super) async fn versions(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let count = store.state().ids(&subject)?.len();
    Json::of(wanted.page(1..=count).collect::<Vec<_>>())
}

pub(super) async fn register(
    Shared(store): Registry,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    let register = move || {
        let given = Given::read(&body)?;
        store.register(&subject, &given.text, given.id)
    };
    let id = blocking(register).await?;
    Json::of(json!({"id": id}))
}

pub(super) async fn look_up(
    Shared(store): Registry,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    let look = move || store.look_up(&subject, &Given::read(&body)?.text);
    Json::of(blocking(look).await?)
}

pub(super) async fn version(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    let version = request::version(&version)?;
    Json::of(store.state().version(&subject, version)?)
}

pub(super) async fn version_schema(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Result<impl IntoResponse, Failure> {
    let version = request::version(&version)?;
    Ok(raw(store.state().version(&subject, version)?.schema))
}

/// Nothing refers to anything here.
pub(super) async fn referenced_by(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    let version = request::version(&version)?;
    store.state().version(&subject, version)?;
    Json::of(Vec::<u32>::new())
}

/// Every version of every subject.
pub(super) async fn schemas(Shared(store): Registry, Query(wanted): Query<Wanted>) -> Answer {
    let state = store.state();
    let versions = state
        .subjects_with(&wanted.subject_prefix)
        .flat_map(|subject| {
            let last = state.ids(subject).map_or(0, <[u32]>::len) as u32;
            let first = if wanted.latest_only { last } else { 1 };
            (first..=last).map(move |version| (subject, version))
        });
    let page = wanted.page(versions);
    let page = page.map(|(subject, version)| state.version(subject, Some(version)));
    Json::of(page.collect::<Result<Vec<_>, _>>()?)
}

pub(super) async fn schema(Shared(store): Registry, Path(id): Path<String>) -> Answer {
    let id = request::id(&id)?;
    Json::of(json!({"schema": store.state().text(id)?}))
}

pub(super) async fn schema_text(
    Shared(store): Registry,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let id = request::id(&id)?;
    let text = store.state().text(id)?.to_owned();
    Ok(raw(text))
}

fn raw(schema: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], schema)
}

pub(super) async fn schema_subjects(
    registry: Registry,
    id: Path<String>,
    wanted: Query<Wanted>,
) -> Answer {
    uses(registry, id, wanted, |subject, _| json!(subject))
}

pub(super) async fn schema_versions(
    registry: Registry,
    id: Path<String>,
    wanted: Query<Wanted>,
) -> Answer {
    uses(
        registry,
        id,
        wanted,
        |subject, version| json!({"subject": subject, "version": version}),
    )
}

fn uses(
    Shared(store): Registry,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
    show: impl Fn(String, u32) -> Value,
) -> Answer {
    let id = request::id(&id)?;
    let state = store.state();
    state.text(id)?;
    let uses = state.uses(id).into_iter();
    let uses = uses.map(|(subject, version)| show(subject, version));
    Json::of(wanted.page(uses).collect::<Vec<_>>())
}

pub(super) async fn check_next(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(check): Query<Check>,
    body: Bytes,
) -> Answer {
    let compare = move || store.check_next(&subject, &Given::read(&body)?.text);
    verdict(blocking(compare).await?, &check)
}

pub(super) async fn check_against(
    Shared(store): Registry,
    Path((subject, version)): Path<(String, String)>,
    Query(check): Query<Check>,
    body: Bytes,
) -> Answer {
    let version = request::version(&version)?;
    let compare = move || store.check_against(&subject, version, &Given::read(&body)?.text);
    verdict(blocking(compare).await?, &check)
}

fn verdict(findings: Vec<String>, check: &Check) -> Answer {
    let mut verdict = json!({"is_compatible": findings.is_empty()});
    if check.verbose {
        verdict["messages"] = findings.into();
    }
    Json::of(verdict)
}
