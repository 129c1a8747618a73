//! Just enough HTTP/2 (RFC 9113) to write what no decent client would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::soon;

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of HEADERS.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// The setting that says how much of each answer may come unasked (RFC 9113, section 6.5.2).
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// Error codes.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as read.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A raw connection.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// Connects, and says nothing.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// Connects, sends preface and empty SETTINGS.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, &[]).await
    }

    /// As [`Wire::open`], with settings.
    pub(crate) async fn open_with(addr: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self::connect(addr).await;
        wire.write(PREFACE).await;
        let settings = settings.iter();
        let settings: Vec<u8> = settings
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        wire.write(&frame(SETTINGS, 0, 0, &settings)).await;
        wire
    }

    /// Writes bytes; a connection that the server closed takes none, which the reader notices.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn read(&mut self) -> Option<Frame> {
        soon(self.read_frame()).await
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let mut payload = vec![0; len as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            stream,
            payload,
        })
    }

    /// The next frame of `kind`; `None` when the connection ends without one.
    pub(crate) async fn read_until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn ended(&mut self) {
        while self.read().await.is_some() {}
    }

    /// Whether the server says nothing for `span`.
    pub(crate) async fn silent_for(&mut self, span: Duration) -> bool {
        let mut byte = [0];
        tokio::time::timeout(span, self.0.peek(&mut byte))
            .await
            .is_err()
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The HEADERS frame of a gRPC request to `path` on `stream`; the body is still to come.
pub(crate) fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &header_block(path))
}

/// A HEADERS frame of a request to `path` that is to be continued.
pub(crate) fn half_a_request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, 0, stream, &header_block(path))
}

/// A whole request to `path` on `stream`, with this message.
pub(crate) fn call(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let body = frame(DATA, END_STREAM, stream, message);
    [request(stream, path), body].concat()
}

/// A header block (RFC 7541) with indexed and literal fields, never Huffman coded.
fn header_block(path: &str) -> Vec<u8> {
    const METHOD_POST: u8 = 0x80 | 3;
    const SCHEME_HTTP: u8 = 0x80 | 6;
    const PATH: u8 = 4;
    const AUTHORITY: u8 = 1;
    let mut block = vec![METHOD_POST, SCHEME_HTTP];
    literal(&mut block, PATH, path);
    literal(&mut block, AUTHORITY, "edge.test");
    named(&mut block, "content-type", "application/grpc");
    named(&mut block, "te", "trailers");
    block
}

/// A header block that breaks a rule which the server answers with a reset of the stream: a
/// header of another protocol (RFC 9113, section 8.2.2).
pub(crate) fn malformed_request(stream: u32) -> Vec<u8> {
    let mut block = header_block("/any");
    named(&mut block, "connection", "close");
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

fn literal(block: &mut Vec<u8>, name_index: u8, value: &str) {
    block.push(name_index);
    text(block, value);
}

fn named(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    text(block, name);
    text(block, value);
}

fn text(block: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 127, "longer texts need a longer length");
    block.push(len);
    block.extend_from_slice(text.as_bytes());
}
