//! Where spans go.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::clock::Clock;
use crate::ids::Ids;
use crate::spawner::Spawner;
use crate::tls::{ClientFiles, Flags};
use crate::trace::{Collector, Error, Tracing};

/// Traces by OpenTelemetry. By default there are none.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Send spans to this collector (OTLP over gRPC; http:// or https://, most often port 4317).
    #[arg(long, env = "SHOP_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Authorities that the certificate of an https:// collector may come from (PEM) [default: those
    /// that this system trusts].
    #[arg(
        long,
        env = "SHOP_OTLP_CA",
        value_name = "FILE",
        requires = "otlp_endpoint"
    )]
    pub otlp_ca: Option<PathBuf>,

    /// The share of traces that is recorded, of those that no caller has begun: from 0 to 1. Callers
    /// decide about their own, by the flag "sampled" of their traceparent.
    #[arg(
        long,
        env = "SHOP_TRACE_RATIO",
        value_name = "SHARE",
        default_value_t = 1.0,
        value_parser = share
    )]
    pub trace_ratio: f64,
}

impl Default for TraceArgs {
    /// What a command line without flags means.
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_ca: None,
            trace_ratio: 1.0,
        }
    }
}

impl TraceArgs {
    /// Starts to send what `service` records, if the flags say where to.
    ///
    /// # Errors
    /// When they do not say it well; one line that names the flag.
    pub fn start(
        &self,
        service: &'static str,
        clock: &Arc<dyn Clock>,
        ids: &Arc<dyn Ids>,
        spawner: &dyn Spawner,
    ) -> Result<Tracing, Error> {
        let Some(url) = &self.otlp_endpoint else {
            return Ok(Tracing::default());
        };
        let files = ClientFiles {
            flags: Flags {
                ca: "--otlp-ca",
                cert: "",
                key: "",
            },
            ca: self.otlp_ca.clone(),
            cert: None,
            key: None,
        };
        let collector = Collector {
            url,
            tls: files.client_for(url)?,
            service,
            ratio: self.trace_ratio,
        };
        Tracing::start(collector, clock, ids, spawner)
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::clock::SystemClock;
    use crate::ids::SystemIds;
    use crate::spawner::TokioSpawner;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        trace: TraceArgs,
    }

    fn start(arguments: &[&str]) -> Result<Tracing, Error> {
        let program = Program::parse_from([&["program"], arguments].concat());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids: Arc<dyn Ids> = Arc::new(SystemIds);
        program.trace.start("test", &clock, &ids, &TokioSpawner)
    }

    #[tokio::test]
    async fn nothing_is_traced_unless_a_collector_is_named() {
        let off = start(&["--trace-ratio", "0.5"]).unwrap();
        assert!(off.tracer().recorder().is_none());
        let on = start(&["--otlp-endpoint", "http://127.0.0.1:4317"]).unwrap();
        assert!(on.tracer().recorder().is_some());
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_flag() {
        let told = |arguments: &[&str]| start(arguments).err().unwrap().to_string();
        let line = told(&["--otlp-endpoint", "no url"]);
        assert!(line.starts_with("--otlp-endpoint no url: "), "{line}");
        let line = told(&["--otlp-endpoint", "collector:4317"]);
        assert!(
            line.ends_with("write http://HOST:PORT or https://HOST:PORT"),
            "{line}"
        );
        let secured = ["--otlp-endpoint", "https://c:1", "--otlp-ca", "gone.pem"];
        let line = told(&secured);
        assert!(line.starts_with("--otlp-ca gone.pem: "), "{line}");
        for nonsense in ["-0.1", "1.1", "NaN", "half"] {
            let ratio = format!("--trace-ratio={nonsense}");
            assert!(Program::try_parse_from(["program", &ratio]).is_err());
        }
    }
}
