//! Asking the services themselves, past the gateway: what operators' commands have in common.

use std::time::Duration;

use contracts::client::Channel;
use contracts::proto::operations_service_client::OperationsServiceClient;
use tonic::Request;

use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::services::{Service, ServicesArgs};
use crate::tls::TlsArgs;
use crate::token::TokenArgs;

/// What all such commands take.
#[derive(clap::Args, Debug)]
pub(super) struct Asking {
    /// Only this service [default: both].
    #[arg(long, value_name = "SERVICE", value_enum)]
    service: Option<Service>,

    #[command(flatten)]
    services: ServicesArgs,

    /// Tables for people, or JSON for programs: one object per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,

    /// How long a call may take, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=30)
    )]
    timeout: u64,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    token: TokenArgs,
}

pub(super) type Client = OperationsServiceClient<Channel>;

impl Asking {
    /// The services to ask.
    fn asked(&self) -> Vec<Service> {
        match self.service {
            Some(one) => vec![one],
            None => Service::ALL.to_vec(),
        }
    }

    async fn connect(&self, service: Service) -> Result<Client, Failure> {
        let bearer = self.token.bearer()?;
        let channel = self.services.connect(service, &self.tls, bearer).await?;
        Ok(OperationsServiceClient::new(channel))
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(Duration::from_secs(self.timeout));
        request
    }

    /// Asks every service in turn. One that cannot be reached does not keep the other from
    /// answering: its failure comes last.
    pub(super) async fn each(
        &self,
        mut ask: impl AsyncFnMut(Service, Client) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut failed = Ok(());
        for service in self.asked() {
            let answered = match self.connect(service).await {
                Ok(client) => ask(service, client).await,
                Err(failure) => Err(failure),
            };
            match answered {
                Err(failure) if failure.exit != Exit::Unreachable => return Err(failure),
                Err(failure) => failed = failed.and(Err(failure)),
                Ok(()) => {}
            }
        }
        failed
    }
}
