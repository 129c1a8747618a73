//! Which broker leads a partition, asked by a request written by hand: rskafka keeps it to itself.

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const METADATA: i16 = 3;
const VERSION: i16 = 1;
const NO_CLIENT_ID: i16 = -1;

/// The number of the broker that leads a partition; `None` while nobody does.
///
/// # Errors
/// When the broker at `address` does not answer.
pub(crate) async fn of(
    address: &str,
    topic: &str,
    partition: i32,
) -> Result<Option<i32>, std::io::Error> {
    let mut frame = BytesMut::new();
    frame.put_i16(METADATA);
    frame.put_i16(VERSION);
    frame.put_i32(0);
    frame.put_i16(NO_CLIENT_ID);
    frame.put_i32(1);
    frame.put_i16(i16::try_from(topic.len()).unwrap());
    frame.put_slice(topic.as_bytes());

    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_i32(i32::try_from(frame.len()).unwrap())
        .await?;
    stream.write_all(&frame).await?;
    let length = usize::try_from(stream.read_i32().await?).unwrap();
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(leader(&answer, partition))
}

fn leader(mut answer: &[u8], partition: i32) -> Option<i32> {
    answer.get_i32(); // correlation id
    for _ in 0..answer.get_i32() {
        answer.get_i32(); // broker
        skip_text(&mut answer); // host
        answer.get_i32(); // port
        skip_text(&mut answer); // rack
    }
    answer.get_i32(); // controller
    assert_eq!(answer.get_i32(), 1, "one topic was asked for");
    answer.get_i16(); // error
    skip_text(&mut answer); // name
    answer.get_u8(); // internal
    for _ in 0..answer.get_i32() {
        answer.get_i16(); // error
        let (number, leader) = (answer.get_i32(), answer.get_i32());
        for _ in 0..2 {
            // Replicas, and those in sync.
            let length = usize::try_from(answer.get_i32()).unwrap();
            answer.advance(length * size_of::<i32>());
        }
        if number == partition {
            return (leader >= 0).then_some(leader);
        }
    }
    None
}

/// A text, or none.
fn skip_text(answer: &mut &[u8]) {
    let length = usize::try_from(answer.get_i16()).unwrap_or(0);
    answer.advance(length);
}
