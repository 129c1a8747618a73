//! Until when an own certificate holds.

use std::path::Path;

use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Shows the end of the certificate at `path` as `tls_certificate_expiry_timestamp_seconds`
/// (seconds since 1970): an alarm on it comes before the certificate is refused.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point; seconds fit for millions of years"
)]
pub(super) fn show(path: &Path, own: &CertifiedKey) {
    let Some(end) = end(own) else {
        return;
    };
    let file = path.display().to_string();
    metrics::gauge!("tls_certificate_expiry_timestamp_seconds", "file" => file).set(end as f64);
}

/// In seconds since 1970; rustls has taken the certificate before, so it can be read.
fn end(own: &CertifiedKey) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(own.cert.first()?).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
