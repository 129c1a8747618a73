//! The proxy breaks what it is told to break, and nothing else.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Condition, Direction, Link};
use crate::real::port::Port;

const LIMIT: Duration = Duration::from_secs(5);

/// A server that says everything again, behind a link.
struct Echo {
    listener: TcpListener,
    link: Link,
}

impl Echo {
    fn start() -> (Self, Port) {
        let port = Port::reserve();
        let listener = TcpListener::from_std(port.listen()).unwrap();
        let link = Link::open(port.address(), false);
        (Self { listener, link }, port)
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let connect = TcpSocket::new_v4().unwrap().connect(self.link.address());
        let (client, server) = tokio::join!(connect, self.listener.accept());
        (client.unwrap(), server.unwrap().0)
    }
}

async fn say(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<()> {
    from.write_all(b"word").await?;
    let mut heard = [0; 4];
    to.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"word");
    Ok(())
}

#[tokio::test]
async fn a_clear_way_carries_both_directions_and_their_ends() {
    let (echo, _port) = Echo::start();
    let (mut client, mut server) = echo.connect().await;
    say(&mut client, &mut server).await.unwrap();
    say(&mut server, &mut client).await.unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_refuses_what_is_new() {
    let (echo, _port) = Echo::start();
    let (mut client, mut server) = echo.connect().await;
    say(&mut client, &mut server).await.unwrap();
    echo.link.set(Condition::Cut);
    for end in [&mut client, &mut server] {
        let error = timeout(LIMIT, end.read(&mut [0; 1])).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    let connect = TcpSocket::new_v4().unwrap().connect(echo.link.address());
    let refused = connect.await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    echo.link.set(Condition::Clear);
    let connected = async {
        loop {
            let socket = TcpSocket::new_v4().unwrap();
            if let Ok(client) = socket.connect(echo.link.address()).await {
                return (client, echo.listener.accept().await.unwrap().0);
            }
            tokio::task::yield_now().await;
        }
    };
    let (mut client, mut server) = timeout(LIMIT, connected).await.unwrap();
    say(&mut client, &mut server).await.unwrap();
}

#[tokio::test]
async fn one_direction_vanishes_and_stays_lost_for_that_connection() {
    let (echo, _port) = Echo::start();
    let (mut client, mut server) = echo.connect().await;
    echo.link.set(Condition::OneWay(Direction::Up));
    client.write_all(b"lost").await.unwrap();
    say(&mut server, &mut client).await.unwrap();
    let lost = &echo.link.counts().bytes_lost;
    let vanished = async {
        while lost.load(std::sync::atomic::Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, vanished).await.unwrap();
    echo.link.set(Condition::Clear);
    client.write_all(b"lost").await.unwrap();
    say(&mut server, &mut client).await.unwrap();
    // The end passes again.
    drop(client);
    let heard = timeout(LIMIT, server.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(heard, Ok(0) | Err(_)), "{heard:?}");
    let (mut client, mut server) = echo.connect().await;
    say(&mut client, &mut server).await.unwrap();
}

#[tokio::test]
async fn a_reset_ends_what_is_open_and_nothing_more() {
    let (echo, _port) = Echo::start();
    let (mut client, mut server) = echo.connect().await;
    say(&mut client, &mut server).await.unwrap();
    echo.link.reset();
    let error = timeout(LIMIT, client.read(&mut [0; 1])).await.unwrap();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let (mut client, mut server) = echo.connect().await;
    say(&mut client, &mut server).await.unwrap();
}

#[tokio::test]
async fn a_slow_way_takes_its_time() {
    let (echo, _port) = Echo::start();
    let (mut client, mut server) = echo.connect().await;
    let delay = Duration::from_millis(100);
    echo.link.set(Condition::Slow {
        delay,
        bytes_per_second: 40,
    });
    let start = Instant::now();
    say(&mut client, &mut server).await.unwrap();
    assert!(start.elapsed() >= delay * 2, "{:?}", start.elapsed());
}
