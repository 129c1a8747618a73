//! TLS on a server.

use std::path::PathBuf;

use clap::Args;

use crate::tls::{Error, File, Identity, Server};

/// What a server shows, and whom it lets in. By default it speaks without TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerTlsArgs {
    /// Serve gRPC over TLS with this certificate (PEM, with those that lead to its authority).
    /// Replaced files are used for new connections, without a restart.
    #[arg(long, env = "SHOP_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, env = "SHOP_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Let in only clients with a certificate from an authority in this file (PEM): mutual TLS.
    #[arg(
        long,
        env = "SHOP_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_client_ca: Option<PathBuf>,
}

impl ServerTlsArgs {
    /// The server's end of TLS, if there is to be any.
    ///
    /// # Errors
    /// When a file cannot be used; one line that names it and its flag.
    pub fn server(&self) -> Result<Option<Server>, Error> {
        let file = |flag, path: &PathBuf| File {
            flag,
            path: path.clone(),
        };
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let own = Identity {
            cert: file("--tls-cert", cert),
            key: file("--tls-key", key),
        };
        let client_ca = self.tls_client_ca.as_ref();
        let client_ca = client_ca.map(|path| file("--tls-client-ca", path));
        Server::new(own, client_ca).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        tls: ServerTlsArgs,
    }

    #[test]
    fn halves_are_refused() {
        for half in ["--tls-cert", "--tls-key", "--tls-client-ca"] {
            assert!(Program::try_parse_from(["program", half, "x.pem"]).is_err());
        }
        let plain = Program::parse_from(["program"]).tls.server().unwrap();
        assert!(plain.is_none());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_flag() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let empty = empty.to_str().unwrap();
        let told = |arguments: &[&str]| {
            let program = Program::parse_from([&["program"], arguments].concat());
            program.tls.server().unwrap_err().to_string()
        };
        let line = told(&["--tls-cert", empty, "--tls-key", empty]);
        assert_eq!(
            line,
            format!("--tls-cert {empty} holds no certificate (PEM)")
        );
        let line = told(&["--tls-cert", "gone.pem", "--tls-key", empty]);
        assert!(line.starts_with("--tls-cert gone.pem: "), "{line}");
    }
}
