//! A client of the store: calls through a connection that may break, and what it can know after.

use std::time::Duration;

use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, GetOrderRequest, Order, PlaceOrderRequest,
    ReceiveStockRequest, order,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long after its deadline a client stops believing in an answer.
const LATE_MAX: Duration = Duration::from_millis(500);
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// What a client knows of a command, in the order of what a repetition adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// It was told that nothing was accepted.
    Fail,
    /// It was told nothing, or that nobody knows.
    Unknown,
    /// It was accepted.
    Ok,
    /// It was accepted, and found to repeat an order's id with other content.
    Conflict,
}

/// What is asked for.
#[expect(
    clippy::large_enum_variant,
    reason = "one per call; most are placements"
)]
#[derive(Clone, Debug)]
pub(crate) enum What {
    Place(Order, Option<order::Status>),
    Cancel { order_id: String },
    Complete { order_id: String },
    Receive(ReceiveStockRequest),
}

/// One client with its connection.
#[derive(Debug)]
pub(crate) struct Client {
    gateway: String,
    channel: Option<Channel>,
}

impl Client {
    pub(crate) fn new(gateway: String) -> Self {
        Self {
            gateway,
            channel: None,
        }
    }

    /// Sends a command under `request_id` once.
    ///
    /// # Errors
    /// With an answer that no fault explains.
    pub(crate) async fn send(
        &mut self,
        request_id: &str,
        what: &What,
        deadline: Duration,
    ) -> Result<Answer, String> {
        let request_id = request_id.to_owned();
        let mut orders = OrderServiceClient::new(self.channel());
        let sent = match what.clone() {
            What::Place(order, wait_for) => {
                let mut message = PlaceOrderRequest {
                    request_id,
                    order: Some(order),
                    wait_for: None,
                };
                if let Some(status) = wait_for {
                    message.set_wait_for(status);
                }
                answered(deadline, |message| orders.place_order(message), message)
                    .await
                    .map(drop)
            }
            What::Cancel { order_id } => {
                let message = CancelOrderRequest {
                    order_id,
                    reason: "changed my mind".to_owned(),
                    request_id,
                };
                answered(deadline, |message| orders.cancel_order(message), message)
                    .await
                    .map(drop)
            }
            What::Complete { order_id } => {
                let message = CompleteOrderRequest {
                    order_id,
                    request_id,
                };
                answered(deadline, |message| orders.complete_order(message), message)
                    .await
                    .map(drop)
            }
            What::Receive(message) => {
                let mut inventory = InventoryServiceClient::new(self.channel());
                answered(
                    deadline,
                    |message| inventory.receive_stock(message),
                    message,
                )
                .await
                .map(drop)
            }
        };
        match sent {
            Ok(()) => Ok(Answer::Ok),
            Err(status) => self.meaning(&status),
        }
    }

    /// The version of an order as it is shown, 0 if it is not known yet; `None` if nobody answers.
    ///
    /// # Errors
    /// With an answer that no fault explains.
    pub(crate) async fn version(
        &mut self,
        order_id: &str,
        deadline: Duration,
    ) -> Result<Option<i64>, String> {
        let mut orders = OrderServiceClient::new(self.channel());
        let message = GetOrderRequest {
            order_id: order_id.to_owned(),
        };
        match answered(deadline, |message| orders.get_order(message), message).await {
            Ok(shown) => Ok(Some(shown.order.unwrap_or_default().version)),
            Err(status) if status.code() == Code::NotFound => Ok(Some(0)),
            Err(status) => self.meaning(&status).map(|_| None),
        }
    }

    fn channel(&mut self) -> Channel {
        let connect = || {
            Endpoint::from_shared(self.gateway.clone())
                .unwrap()
                .connect_timeout(CONNECT_MAX)
                .connect_lazy()
        };
        self.channel.get_or_insert_with(connect).clone()
    }

    /// What a call that failed tells of the command. The next one has a new connection.
    fn meaning(&mut self, status: &Status) -> Result<Answer, String> {
        self.channel = None;
        // What this side's transport says is no answer.
        if std::error::Error::source(status).is_some() {
            return Ok(Answer::Unknown);
        }
        match status.code() {
            Code::AlreadyExists => Ok(Answer::Conflict),
            Code::Unavailable if status.message().contains("nothing was accepted") => {
                Ok(Answer::Fail)
            }
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Ok(Answer::Unknown),
            _ => Err(format!("no fault explains this answer: {status:?}")),
        }
    }
}

/// Makes a call with a deadline, and believes in no answer that comes long after it.
async fn answered<Q, T, F>(
    deadline: Duration,
    call: impl FnOnce(Request<Q>) -> F,
    message: Q,
) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    match tokio::time::timeout(deadline + LATE_MAX, call(request)).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}
