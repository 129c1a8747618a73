//! The gRPC health service (`grpc.health.v1`), read straight from [`Health`].

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::health::{Health, all_running};

/// The health service that follows `health`: for `""` and for each of `services` it answers
/// SERVING while every part runs, else NOT_SERVING.
#[must_use]
pub fn health_service(health: &Health, services: &[&'static str]) -> HealthServer<HealthFollower> {
    HealthServer::new(HealthFollower {
        health: health.clone(),
        services: services.to_vec(),
    })
}

/// Answers health checks from a [`Health`].
#[derive(Clone, Debug)]
pub struct HealthFollower {
    health: Health,
    services: Vec<&'static str>,
}

impl HealthFollower {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[tonic::async_trait]
impl health_server::Health for HealthFollower {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(answer(serving(self.health.is_ready()))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !self.knows(&request.get_ref().service) {
            // The protocol's answer to a name that may yet come: it stays open.
            let unknown = stream::iter([Ok(answer(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.chain(stream::pending()).boxed()));
        }
        let mut last = None;
        let changes = WatchStream::new(self.health.subscribe()).filter_map(move |parts| {
            let now = serving(all_running(&parts));
            let changed = last.replace(now) != Some(now);
            std::future::ready(changed.then(|| Ok(answer(now))))
        });
        Ok(Response::new(changes.boxed()))
    }
}

fn serving(ready: bool) -> ServingStatus {
    if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::health::Condition;
    use health_server::Health as _;

    fn request(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    }

    fn follower(health: &Health) -> HealthFollower {
        HealthFollower {
            health: health.clone(),
            services: vec!["shop.v1.OrderService"],
        }
    }

    #[tokio::test]
    async fn a_service_serves_while_all_its_parts_run() {
        let health = Health::new();
        let follower = follower(&health);
        for name in ["", "shop.v1.OrderService"] {
            health.remove("log");
            let before = follower.check(request(name)).await.unwrap().into_inner();
            assert_eq!(before.status(), ServingStatus::NotServing, "{name}");
            health.set("log", Condition::Running);
            let after = follower.check(request(name)).await.unwrap().into_inner();
            assert_eq!(after.status(), ServingStatus::Serving, "{name}");
        }
        let unknown = follower.check(request("other")).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
    }

    #[tokio::test]
    async fn a_watch_tells_each_change_once() {
        let health = Health::new();
        let mut watch = follower(&health)
            .watch(request(""))
            .await
            .unwrap()
            .into_inner();
        let mut next = async || watch.next().await.unwrap().unwrap().status();
        assert_eq!(next().await, ServingStatus::NotServing);
        health.set("log", Condition::Running);
        assert_eq!(next().await, ServingStatus::Serving);
        health.set("registry", Condition::Running);
        health.set("log", Condition::Starting);
        assert_eq!(next().await, ServingStatus::NotServing);
    }

    #[tokio::test]
    async fn watching_an_unknown_service_tells_so_and_stays_open() {
        let mut watch = follower(&Health::new())
            .watch(request("other"))
            .await
            .unwrap()
            .into_inner();
        let first = watch.next().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::ServiceUnknown);
        assert!(futures::poll!(watch.next()).is_pending());
    }
}
