//! A registry's subjects, for whoever looks after them: levels and versions. The services themselves
//! need only the port.

use evolution::Level;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Access;
use super::{Error, ErrorKind, one_line, words};

/// The calls of Confluent's REST API about subjects. Source:
/// <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.
#[derive(Clone, Debug)]
pub struct Subjects {
    client: Client,
    url: Url,
    access: Access,
}

impl Subjects {
    /// The subjects of the registry at `url` (`http://host:port`, or `https://` if `access` has
    /// TLS); nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when this is no such URL.
    pub fn secured(url: &str, access: &Access) -> Result<Self, Error> {
        let invalid = |detail: String| Error {
            kind: ErrorKind::Invalid,
            subject: url.to_owned(),
            detail,
        };
        let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let scheme = access.scheme();
        if parsed.scheme() != scheme || parsed.cannot_be_a_base() {
            return Err(invalid(format!(
                "give the registry as {scheme}://host:port"
            )));
        }
        let client = access.client().build();
        Ok(Self {
            client: client.map_err(|error| invalid(words(&error)))?,
            url: parsed,
            access: access.clone(),
        })
    }

    /// The compatibility level that holds for `subject`.
    ///
    /// # Errors
    /// When the registry cannot be asked, or gives no level that is known here.
    pub async fn level(&self, subject: &str) -> Result<Level, Error> {
        let own = self.own_level(subject).await?;
        match own {
            Some(level) => Ok(level),
            None => {
                let answer = self.call(Method::GET, &["config"], subject, None).await?;
                let answer = answer.unwrap_or_default();
                level_in(subject, &answer)
            }
        }
    }

    /// The compatibility level that was set for `subject` itself.
    ///
    /// # Errors
    /// As [`Subjects::level`].
    pub async fn own_level(&self, subject: &str) -> Result<Option<Level>, Error> {
        let path = ["config", subject];
        let answer = self.call(Method::GET, &path, subject, None).await?;
        answer.map(|answer| level_in(subject, &answer)).transpose()
    }

    /// Sets the compatibility level of `subject`, which need not exist yet.
    ///
    /// # Errors
    /// When the registry cannot be asked, or refuses.
    pub async fn set_level(&self, subject: &str, level: Level) -> Result<(), Error> {
        let body = json!({ "compatibility": level });
        let path = ["config", subject];
        let answer = self.call(Method::PUT, &path, subject, Some(body)).await?;
        answer.map(drop).ok_or_else(|| unusable(subject))
    }

    /// The literal texts of every version of `subject`, oldest first; none if it does not exist.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn versions(&self, subject: &str) -> Result<Vec<(u32, String)>, Error> {
        #[derive(Deserialize)]
        struct Version {
            schema: String,
        }
        let path = ["subjects", subject, "versions"];
        let Some(numbers) = self.call(Method::GET, &path, subject, None).await? else {
            return Ok(Vec::new());
        };
        let numbers: Vec<u32> = read(subject, numbers)?;
        let mut versions = Vec::new();
        for number in numbers {
            let text = number.to_string();
            let path = ["subjects", subject, "versions", &text];
            let answer = self.call(Method::GET, &path, subject, None).await?;
            let version: Version = read(subject, answer.unwrap_or_default())?;
            versions.push((number, version.schema));
        }
        Ok(versions)
    }

    /// The answer; `None` when there is no such subject, or nothing is set for it.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        subject: &str,
        body: Option<Value>,
    ) -> Result<Option<Value>, Error> {
        let failed = |error: reqwest::Error| Error {
            kind: ErrorKind::Retry,
            subject: subject.to_owned(),
            detail: words(&error),
        };
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.access.apply(self.client.request(method, url));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/vnd.schemaregistry.v1+json")
                .body(body.to_string());
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        match (status, json.get("error_code").and_then(Value::as_u64)) {
            (StatusCode::OK, None) => Ok(Some(json)),
            (StatusCode::NOT_FOUND, Some(40401 | 40408)) => Ok(None),
            (_, code) => Err(Error {
                kind: if code.is_some_and(|code| (42200..43000).contains(&code)) {
                    ErrorKind::Invalid
                } else {
                    ErrorKind::Retry
                },
                subject: subject.to_owned(),
                detail: one_line(&format!("{status}: {text}")),
            }),
        }
    }
}

fn level_in(subject: &str, answer: &Value) -> Result<Level, Error> {
    let name = answer.get("compatibilityLevel").and_then(Value::as_str);
    let level = name.and_then(|name| name.parse().ok());
    level.ok_or_else(|| unusable(subject))
}

fn read<T: for<'de> Deserialize<'de>>(subject: &str, answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|_| unusable(subject))
}

fn unusable(subject: &str) -> Error {
    Error {
        kind: ErrorKind::Retry,
        subject: subject.to_owned(),
        detail: "the answer is not what the registry's API promises".to_owned(),
    }
}
