//! Compatibility levels and modes, of a subject and of all.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State as Shared};
use serde::Deserialize;
use serde_json::json;

use super::request::{Setting, read};
use super::{Answer, Json, Registry, blocking};
use crate::registry::failure::Failure;
use crate::registry::state::{LEVEL, Mode};
use crate::registry::store::Store;
use evolution::Level;

#[derive(Deserialize)]
struct LevelBody {
    compatibility: String,
}

pub(super) async fn level(Shared(store): Registry) -> Answer {
    Json::of(json!({"compatibilityLevel": store.state().level(None)}))
}

pub(super) async fn subject_level(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(setting): Query<Setting>,
) -> Answer {
    let state = store.state();
    let level = state
        .own_level(Some(&subject))
        .or_else(|| setting.default_to_global.then(|| state.level(None)));
    let level = level.ok_or_else(|| Failure::LevelNotConfigured(subject.clone()))?;
    Json::of(json!({"compatibilityLevel": level}))
}

pub(super) async fn set_level(Shared(store): Registry, body: Bytes) -> Answer {
    put_level(store, None, &body).await
}

pub(super) async fn set_level_of(
    Shared(store): Registry,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
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

pub(super) async fn remove_level(Shared(store): Registry) -> Answer {
    let before = blocking(move || store.set_level(None, None)).await?;
    Json::of(json!({"compatibilityLevel": before.unwrap_or(LEVEL)}))
}

pub(super) async fn remove_level_of(
    Shared(store): Registry,
    Path(subject): Path<String>,
) -> Answer {
    let name = subject.clone();
    let before = blocking(move || store.set_level(Some(name), None)).await?;
    let before = before.ok_or(Failure::SubjectNotFound(subject))?;
    Json::of(json!({"compatibilityLevel": before}))
}

#[derive(Deserialize)]
struct ModeBody {
    mode: String,
}

pub(super) async fn mode(Shared(store): Registry) -> Answer {
    Json::of(json!({"mode": store.state().mode(None)}))
}

pub(super) async fn subject_mode(
    Shared(store): Registry,
    Path(subject): Path<String>,
    Query(setting): Query<Setting>,
) -> Answer {
    let state = store.state();
    let mode = state
        .own_mode(Some(&subject))
        .or_else(|| setting.default_to_global.then(|| state.mode(None)));
    Json::of(json!({"mode": mode.ok_or_else(|| Failure::ModeNotConfigured(subject.clone()))?}))
}

pub(super) async fn set_mode(Shared(store): Registry, body: Bytes) -> Answer {
    put_mode(store, None, &body).await
}

pub(super) async fn set_mode_of(
    Shared(store): Registry,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    put_mode(store, Some(subject), &body).await
}

async fn put_mode(store: Arc<Store>, subject: Option<String>, body: &Bytes) -> Answer {
    let body: ModeBody = read(body)?;
    let mode: Mode = serde_json::from_value(body.mode.to_uppercase().into())
        .map_err(|_| Failure::InvalidMode)?;
    blocking(move || store.set_mode(subject, Some(mode))).await?;
    Json::of(json!({"mode": mode}))
}

pub(super) async fn remove_mode_of(Shared(store): Registry, Path(subject): Path<String>) -> Answer {
    let name = subject.clone();
    let before = blocking(move || store.set_mode(Some(name), None)).await?;
    let before = before.ok_or(Failure::SubjectNotFound(subject))?;
    Json::of(json!({"mode": before}))
}
