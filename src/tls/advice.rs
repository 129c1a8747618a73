//! What a person does about a connection that was refused.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::Flags;

/// Finds in `error` and its causes what TLS has to say, as one line: what is wrong, and what to do
/// about it on the client's side. `None` when it is not about TLS.
///
/// A server's refusal of the client's certificate may come with the first call instead of the
/// handshake: in TLS 1.3 the client is done before the server has looked.
#[must_use]
pub fn advice(error: &(dyn Error + 'static), flags: Flags) -> Option<String> {
    causes(error).find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            return Some(of_tls(error, flags));
        }
        // HTTP/2 hands on nothing but the words of what happened to its connection.
        let words = cause.to_string();
        if let Some((_, alert)) = words.split_once("received fatal alert: ") {
            let name = alert.split(|c: char| !c.is_ascii_alphanumeric()).next();
            return Some(of_alert(name.unwrap_or(alert), flags));
        }
        let is_alert_as_frame = words.contains("frame with invalid size");
        is_alert_as_frame.then(|| NO_HTTP2.to_owned())
    })
}

/// As [`advice`], on what befell a connection over TLS before it was there.
#[must_use]
pub fn advice_on_connecting(error: &(dyn Error + 'static), flags: Flags) -> Option<String> {
    let advice = advice(error, flags);
    advice.or_else(|| {
        let was_ended = causes(error).any(|cause| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| ENDED.contains(&io.kind()))
        });
        was_ended.then(|| NO_TLS.to_owned())
    })
}

/// How a handshake ends with who does not know the protocol.
const ENDED: [io::ErrorKind; 4] = [
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::UnexpectedEof,
];

const NO_TLS: &str = "it ended the handshake: if it speaks no TLS, write http://";
/// A server with TLS answers a client without by an alert, which is no frame of HTTP/2.
const NO_HTTP2: &str = "it speaks something else than plain HTTP/2: if that is TLS, write https://";

/// `error`, and what is behind it. An error inside an `io::Error` is not its source: it stands in its
/// place.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let behind = |error: &&'e (dyn Error + 'static)| {
        let error: &'e (dyn Error + 'static) = *error;
        let io = error.downcast_ref::<io::Error>();
        match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &'e (dyn Error + 'static)),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), behind)
}

fn of_tls(error: &rustls::Error, flags: Flags) -> String {
    match error {
        rustls::Error::InvalidCertificate(invalid) => of_certificate(invalid, flags.ca),
        rustls::Error::AlertReceived(alert) => of_alert(&format!("{alert:?}"), flags),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS: write http://, or the port of a server with TLS".to_owned()
        }
        other => other.to_string(),
    }
}

/// What the server says (RFC 8446, section 6.2), by the name that rustls gives it.
fn of_alert(alert: &str, flags: Flags) -> String {
    let Flags { cert, key, .. } = flags;
    match alert {
        "CertificateRequired" => format!(
            "it lets in only clients with a certificate: give one by {cert} FILE {key} FILE"
        ),
        "CertificateExpired" => {
            format!("the certificate in {cert} has expired: have it renewed")
        }
        "UnknownCA"
        | "BadCertificate"
        | "UnsupportedCertificate"
        | "CertificateUnknown"
        | "DecryptError"
        | "AccessDenied" => format!(
            "it does not accept the certificate in {cert}: give one for clients, from an authority \
             that it trusts"
        ),
        other => format!("it ended the handshake: {other}"),
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
