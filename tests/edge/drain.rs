//! Stopping: what is in flight is answered, and nothing holds the server up for ever.

use std::time::Duration;

use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use messaging::server::Limits;
use tonic::Code;

use crate::service::{Server, get, soon, watch_request};

#[tokio::test]
async fn a_call_in_flight_is_answered_and_new_connections_are_refused() {
    let server = Server::start(Limits::default());
    let waiting = async { server.client().get_order(get("wait")).await };
    let stop = async {
        server.running(1).await;
        server.shutdown.cancel();
        // Refused as soon as the listener has closed, while the first call still waits.
        while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
        server.events.release.notify_one();
    };
    let (answer, ()) = tokio::join!(waiting, stop);
    let answer = answer.unwrap().into_inner().response.unwrap();
    assert_eq!(answer.order.unwrap().order_id, "wait");
    server.ended().await;
}

#[tokio::test]
async fn a_watch_does_not_hold_up_the_drain() {
    let server = Server::start(Limits {
        stream_drain_max: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut client = server.client();
    let mut watch = client
        .watch_order(watch_request())
        .await
        .unwrap()
        .into_inner();
    server.shutdown.cancel();
    let ended = soon(watch.message()).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    server.ended().await;
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_off() {
    let server = Server::start(Limits {
        drain_max: Duration::from_millis(50),
        ..Limits::default()
    });
    // A client without a limit of its own: only the server can end this.
    let url = format!("http://{}", server.addr);
    let mut client = OrderQueryServiceClient::connect(url).await.unwrap();
    let hanging = soon(client.get_order(get("hang")));
    let stop = async {
        server.running(1).await;
        server.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(hanging, stop);
    answer.unwrap_err();
    server.running(0).await;
    server.ended().await;
}
