//! The adapters behind the gateway's ports; nothing else names them.

use std::sync::Arc;

use contracts::access;
use messaging::clock::{Clock, SystemClock};
use messaging::ids::{Ids, SystemIds};
use messaging::registry::confluent::ConfluentRegistry;
use messaging::spawner::TokioSpawner;
use messaging::trace::Tracing;
use tonic::transport::{Channel, Endpoint};

use crate::{Args, Error, Ports, limits};

/// The name under which the log and traces know the gateway.
const NAME: &str = "gateway";

/// The ports that `args` ask for, and the way of spans. Nothing is connected yet but the place of the keys.
pub(crate) async fn ports(args: &Args) -> Result<(Ports, Tracing), Error> {
    let log = args.log.client(NAME)?;
    let registry = ConfluentRegistry::secured(&args.registry.registry, &args.registry.access()?)
        .map_err(|source| Error::url("--registry", &args.registry.registry, source))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let guard = args.auth.guard(access::need, &clock, &TokioSpawner).await?;
    let ids: Arc<dyn Ids> = Arc::new(SystemIds);
    let tracing = args.trace.start(NAME, &clock, &ids, &TokioSpawner)?;
    let ports = Ports {
        log: Arc::new(log),
        registry: Arc::new(registry),
        guard,
        clock,
        ids,
        spawner: Arc::new(TokioSpawner),
        order: channel("--order", &args.order, args)?,
        watches: (0..limits::WATCH_CONNECTIONS)
            .map(|_| channel("--order", &args.order, args))
            .collect::<Result<_, _>>()?,
        inventory: channel("--inventory", &args.inventory, args)?,
        tracer: tracing.tracer().clone(),
    };
    Ok((ports, tracing))
}

/// A connection that opens with the first call and again after each loss.
fn channel(flag: &'static str, url: &str, args: &Args) -> Result<Channel, Error> {
    let endpoint =
        Endpoint::from_shared(url.to_owned()).map_err(|source| Error::url(flag, url, source))?;
    let endpoint = endpoint
        .connect_timeout(limits::CONNECT_MAX)
        .http2_keep_alive_interval(messaging::limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(messaging::limits::KEEPALIVE_TIMEOUT)
        .tcp_nodelay(true);
    Ok(match args.services.files().client_for(url)? {
        Some(tls) => endpoint.connect_with_connector_lazy(tls.connector()),
        None => endpoint.connect_lazy(),
    })
}
