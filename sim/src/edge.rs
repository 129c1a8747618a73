//! The gateway's services in a process of their own, called without a socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::proto::inventory_service_server::InventoryService;
use contracts::proto::order_service_server::OrderService;
use gateway::{Gateway, Options};
use messaging::health::Health;
use messaging::limits::CALL_DEADLINE_MAX;
use messaging::message::Binding;
use messaging::server::Deadline;
use messaging::spawner::Spawner;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::plan::Request;
use crate::ports::{SimClock, SimIds, SimLog, SimRegistry};
use crate::process::{Process, SimSpawner};
use crate::slot::Program;

/// Where clients find the gateway's newest incarnation.
#[derive(Clone, Default)]
pub(crate) struct Edge {
    current: Arc<Mutex<Option<Running>>>,
}

#[derive(Clone)]
struct Running {
    process: Arc<Process>,
    orders: Arc<gateway::Orders>,
    inventory: Arc<gateway::Inventory>,
}

/// How one try of a request ended, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Accepted.
    Ok,
    /// It may have been accepted.
    Unknown,
    /// It was not, and later tries may fare better.
    NotNow,
    /// It was refused.
    Fail,
}

impl Edge {
    /// The gateway as a program.
    pub(crate) fn program(&self, partitions: i32) -> Program {
        let current = Arc::clone(&self.current);
        Box::new(move |process, shutdown| {
            Box::pin(serve(
                Arc::clone(process),
                partitions,
                Arc::clone(&current),
                shutdown,
            ))
        })
    }

    /// Sends one request, with a deadline that the client tells the gateway; hangs up earlier if
    /// it is to.
    pub(crate) async fn call(
        &self,
        request: &Request,
        deadline: Duration,
        hangs_up: Option<Duration>,
    ) -> Outcome {
        let running = self.current.lock().unwrap().clone();
        let Some(running) = running.filter(|running| running.process.is_alive()) else {
            return Outcome::NotNow;
        };
        let (answer, answered) = oneshot::channel();
        let work = handle(running.clone(), request.clone(), deadline, answer);
        let call = SimSpawner(running.process).spawn("call", Box::pin(work));
        // A network that is slow in both directions.
        let patience = hangs_up.unwrap_or(deadline + Duration::from_millis(500));
        let outcome = match tokio::time::timeout(patience, answered).await {
            Ok(Ok(outcome)) => outcome,
            // The connection broke, or the client hung up.
            Ok(Err(_)) | Err(_) => Outcome::Unknown,
        };
        drop(call);
        outcome
    }
}

async fn serve(
    process: Arc<Process>,
    partitions: i32,
    current: Arc<Mutex<Option<Running>>>,
    shutdown: CancellationToken,
) {
    // Nobody asks for orders or stock here, so this is never connected.
    let nowhere = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let ports = gateway::Ports {
        log: Arc::new(SimLog::new(&process)),
        registry: Arc::new(SimRegistry::new(&process)),
        clock: Arc::new(SimClock(Arc::clone(&process))),
        ids: Arc::new(SimIds(Arc::clone(&process))),
        spawner: Arc::new(SimSpawner(Arc::clone(&process))),
        order: nowhere.clone(),
        watches: vec![nowhere.clone()],
        inventory: nowhere,
        guard: None,
        tracer: messaging::trace::Tracer::off(),
    };
    let options = Options {
        partitions,
        binding: Binding::Register,
        rate: None,
    };
    let gateway = Gateway::new(&ports, options, &Health::new(), &shutdown);
    *current.lock().unwrap() = Some(Running {
        process: Arc::clone(&process),
        orders: Arc::new(gateway.orders),
        inventory: Arc::new(gateway.inventory),
    });
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        refused = gateway.preparing => process.note(format_args!("refuses: {refused}")),
    }
}

async fn handle(
    running: Running,
    request: Request,
    deadline: Duration,
    answer: oneshot::Sender<Outcome>,
) {
    running.process.step("gateway.call").await;
    let (orders, inventory) = (&running.orders, &running.inventory);
    let result = match request {
        Request::Place(place) => orders.place_order(with(*place, deadline)).await.map(drop),
        Request::Cancel(cancel) => orders.cancel_order(with(cancel, deadline)).await.map(drop),
        Request::Complete(complete) => orders
            .complete_order(with(complete, deadline))
            .await
            .map(drop),
        Request::Receive(receive) => inventory
            .receive_stock(with(receive, deadline))
            .await
            .map(drop),
    };
    running.process.step("gateway.answer").await;
    // Nobody listens if the client has hung up.
    let _ = answer.send(outcome(&result));
}

fn with<T>(message: T, deadline: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let deadline = Deadline::after(Some(deadline), CALL_DEADLINE_MAX);
    request.extensions_mut().insert(deadline);
    request
}

fn outcome(result: &Result<(), Status>) -> Outcome {
    match result {
        Ok(()) => Outcome::Ok,
        Err(status) => match status.code() {
            Code::Unavailable if status.message().contains("nothing was accepted") => {
                Outcome::NotNow
            }
            Code::InvalidArgument => Outcome::Fail,
            _ => Outcome::Unknown,
        },
    }
}
