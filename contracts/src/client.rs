//! The way to the store for clients that may have to say who they are.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status, transport};

/// A connection whose calls carry a token, if there is one.
pub type Channel = InterceptedService<transport::Channel, Bearer>;

/// A bearer token (RFC 6750), or none. It shows in no log.
#[derive(Clone, Debug, Default)]
pub struct Bearer {
    header: Option<MetadataValue<Ascii>>,
}

/// The text is no token: one is written in visible ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no token; one has letters, digits, dots, hyphens and underscores only")]
pub struct NoToken;

impl Bearer {
    /// The bearer of `token`; spaces and line ends around it do not count.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn new(token: &str) -> Result<Self, NoToken> {
        let token = token.trim();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || !token.bytes().all(is_token) {
            return Err(NoToken);
        }
        let header = MetadataValue::try_from(format!("Bearer {token}"));
        let mut header = header.map_err(|_| NoToken)?;
        header.set_sensitive(true);
        Ok(Self {
            header: Some(header),
        })
    }

    /// Whether there is a token.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.header.is_some()
    }

    /// `channel` with this token on every call.
    #[must_use]
    pub fn over(self, channel: transport::Channel) -> Channel {
        InterceptedService::new(channel, self)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", header.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_and_never_shown() {
        let mut bearer = Bearer::new(" a.b-_.c\n").unwrap();
        let request = bearer.call(Request::new(())).unwrap();
        let header = request.metadata().get("authorization").unwrap();
        assert_eq!(header, "Bearer a.b-_.c");
        assert!(!format!("{bearer:?} {request:?}").contains("a.b-_.c"));
        for nonsense in ["", " ", "a b", "a\nb", "é"] {
            assert_eq!(Bearer::new(nonsense).unwrap_err(), NoToken, "{nonsense:?}");
        }
    }
}
