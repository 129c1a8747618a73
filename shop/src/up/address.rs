//! An address as flags give it: `host:port`.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A host and a port. To listen on port 0 is to take any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// `127.0.0.1:port`.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
        }
    }

    /// Where clients on this machine reach a listener that is bound to `bound`: one that listens
    /// everywhere is reached on the loopback address.
    #[must_use]
    pub fn of(bound: SocketAddr) -> Self {
        let host = match bound.ip() {
            ip if ip.is_unspecified() && bound.is_ipv4() => Ipv4Addr::LOCALHOST.to_string(),
            ip if ip.is_unspecified() => "[::1]".to_owned(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            std::net::IpAddr::V4(ip) => ip.to_string(),
        };
        Self {
            host,
            port: bound.port(),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address to bind.
    ///
    /// # Errors
    /// When the host's name has no address.
    pub fn resolve(&self) -> io::Result<SocketAddr> {
        self.to_string()
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("the name has no address"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address; write HOST:PORT")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let bare_ipv6 = host.contains(':') && !host.starts_with('[');
            if host.is_empty() || bare_ipv6 {
                return None;
            }
            Some(Self {
                host: host.to_owned(),
                port: port.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| NoAddress(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in ["127.0.0.1:8900", "localhost:0", "[::1]:9092"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["8900", ":8900", "host:", "host:70000", "::1:80"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_that_listens_everywhere_is_reached_here() {
        let everywhere = "0.0.0.0:9092".parse().unwrap();
        assert_eq!(Address::of(everywhere).to_string(), "127.0.0.1:9092");
        let everywhere = "[::]:9092".parse().unwrap();
        assert_eq!(Address::of(everywhere).to_string(), "[::1]:9092");
    }
}
