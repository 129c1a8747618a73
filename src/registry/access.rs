//! How to get at a registry: TLS and login, for every client of it.

use std::fmt;

use reqwest::{ClientBuilder, RequestBuilder};

use crate::limits;
use crate::tls::{self, Client};

/// By default there is neither TLS nor a login.
#[derive(Clone, Default)]
pub struct Access {
    tls: Option<Client>,
    login: Option<Login>,
}

#[derive(Clone)]
struct Login {
    user: String,
    password: String,
}

impl Access {
    /// Believes an `https://` registry as `tls` says.
    #[must_use]
    pub fn with_tls(self, tls: Option<Client>) -> Self {
        Self { tls, ..self }
    }

    /// Logs in with every request (HTTP basic, RFC 7617).
    #[must_use]
    pub fn with_login(self, user: String, password: String) -> Self {
        let login = Some(Login { user, password });
        Self { login, ..self }
    }

    /// What a registry's URL begins with.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    pub(super) fn client(&self) -> ClientBuilder {
        tls::http(self.tls.as_ref()).timeout(limits::REGISTRY_CALL_TIMEOUT)
    }

    /// Name and password, if there are any.
    pub(super) fn login(&self) -> Option<(&str, &str)> {
        let login = self.login.as_ref()?;
        Some((&login.user, &login.password))
    }

    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self.login() {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }
}

/// Without the password.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("tls", &self.tls.is_some())
            .field("login", &self.login.is_some())
            .finish()
    }
}
