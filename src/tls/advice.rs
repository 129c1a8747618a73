//! What a person does about a connection that was refused.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::Flags;

/// Finds in `error` and its causes what TLS has to say, as one line: what is wrong, and what to do
/// about it on the client's side. `None` when it is not about TLS.
///
/// A server's refusal of the client's certificate may come with the first call instead of the
/// handshake: in TLS 1.3 the client is done before the server has looked.
#[must_use]
pub fn advice(error: &(dyn Error + 'static), flags: Flags) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_tls(error, flags));
        }
        // An error inside an io::Error is not its source: it stands in its place.
        let io = error.downcast_ref::<io::Error>();
        if let Some(io) = io
            && io.kind() == io::ErrorKind::UnexpectedEof
            && io.to_string().contains("tls handshake")
        {
            return Some(NO_TLS.to_owned());
        }
        let inner = io.and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

const NO_TLS: &str = "it ended the handshake: if it speaks no TLS, write http://";

fn of_tls(error: &rustls::Error, flags: Flags) -> String {
    let Flags { ca, cert, key } = flags;
    match error {
        rustls::Error::InvalidCertificate(invalid) => of_certificate(invalid, ca),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => format!(
                "it lets in only clients with a certificate: give one by {cert} FILE {key} FILE"
            ),
            AlertDescription::CertificateExpired => {
                format!("the certificate in {cert} has expired: have it renewed")
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError => format!(
                "it does not accept the certificate in {cert}: give one for clients, from an \
                 authority that it trusts"
            ),
            other => format!("it ended the handshake: {other:?}"),
        },
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS: write http://, or the port of a server with TLS".to_owned()
        }
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError, ca: &str) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate comes from an authority that is not trusted here: name the right one \
             by {ca} FILE"
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: have it renewed there".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: are both clocks right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{error}: use a name that its certificate has")
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}
