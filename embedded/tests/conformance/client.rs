//! A registry over HTTP.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// The content type that Confluent documents, of requests and of answers.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A registry at a URL.
pub(crate) struct Registry {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What it answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// Text that is no JSON is a string, and no text at all is null.
    pub(crate) body: Value,
}

impl Registry {
    /// A registry whose paths come after this URL.
    pub(crate) fn at(url: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// Asks, with a body or an empty one.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::ACCEPT, format!("{CONTENT_TYPE}, */*;q=0.1"))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .body(Full::from(body.to_owned()))
            .unwrap();
        let answer = self.client.request(request).await.unwrap();
        let content_type = answer.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.map_or("", |text| text.to_str().unwrap());
        let (status, content_type) = (answer.status().as_u16(), content_type.to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        Answer {
            status,
            content_type,
            body: match text.as_ref() {
                "" => Value::Null,
                text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
            },
        }
    }
}
