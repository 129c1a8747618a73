//! What comes with a request: bodies, versions and ids in paths, query parameters.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::registry::failure::Failure;

/// A schema in a body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema: Option<String>,
    schema_type: Option<String>,
    id: Option<i64>,
    references: Option<Vec<Value>>,
}

/// A schema of the kind that is kept here.
pub(super) struct Given {
    pub(super) text: String,
    /// The id that it is to get; as at Confluent a negative one is none.
    pub(super) id: Option<i64>,
}

impl Given {
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        let body: Body = read(body)?;
        let invalid = |why: String| Err(Failure::InvalidSchema(why));
        let kind = body.schema_type.unwrap_or_default();
        if !matches!(kind.as_str(), "" | "AVRO") {
            return invalid(format!("schemas of type {kind} are not kept here"));
        }
        if body.references.is_some_and(|them| !them.is_empty()) {
            return invalid("references are not supported".to_owned());
        }
        let text = body.schema.unwrap_or_default();
        if text.trim().is_empty() {
            return invalid("it is empty".to_owned());
        }
        Ok(Self {
            text,
            id: body.id.filter(|id| *id >= 0),
        })
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::BadBody(error.to_string()))
}

/// A version in a path; None is the latest.
pub(super) fn version(text: &str) -> Result<Option<u32>, Failure> {
    match text {
        "latest" | "-1" => Ok(None),
        number => match number.parse() {
            Ok(version) if (1..=i32::MAX as u32).contains(&version) => Ok(Some(version)),
            _ => Err(Failure::InvalidVersion(text.to_owned())),
        },
    }
}

/// The id of a schema in a path. What is no number is a path that does not exist, as at Confluent.
pub(super) fn id(text: &str) -> Result<u32, Failure> {
    let id: i32 = text
        .parse()
        .map_err(|_| Failure::Refused(StatusCode::NOT_FOUND))?;
    u32::try_from(id).map_err(|_| Failure::SchemaNotFound)
}

/// Which entries of a list are wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wanted {
    pub(super) subject_prefix: String,
    #[serde(deserialize_with = "flag")]
    pub(super) latest_only: bool,
    #[serde(deserialize_with = "flag")]
    deleted_only: bool,
    offset: i64,
    limit: i64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            subject_prefix: String::new(),
            latest_only: false,
            deleted_only: false,
            offset: 0,
            limit: -1,
        }
    }
}

impl Wanted {
    /// The page of a list that was asked for; nothing is ever deleted here.
    pub(super) fn page<T>(&self, entries: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let all = |_| usize::MAX;
        let limit = if self.deleted_only {
            0
        } else {
            usize::try_from(self.limit).unwrap_or_else(all)
        };
        let offset = usize::try_from(self.offset).unwrap_or(0);
        entries.skip(offset).take(limit)
    }
}

/// How a check of compatibility is to be answered.
#[derive(Deserialize)]
pub(super) struct Check {
    #[serde(default, deserialize_with = "flag")]
    pub(super) verbose: bool,
}

/// Which setting of a subject is wanted.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setting {
    #[serde(default, deserialize_with = "flag")]
    pub(super) default_to_global: bool,
}

/// Anything but `true` is false, as at Confluent.
fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(from)?.eq_ignore_ascii_case("true"))
}
