//! The log names its own address to those who ask for metadata, and they would connect to it past
//! the proxy: in what it answers, its address becomes the proxy's.

use std::net::SocketAddr;

/// The brokers stand first in a metadata response: length, correlation id, throttle time, their
/// number, node id, host, port.
const HEAD_BYTES_MAX: usize = 64;
/// The length before each frame.
const LENGTH_BYTES: usize = 4;

/// Rewrites a stream of Kafka responses; both addresses are the same number of bytes long.
#[derive(Debug)]
pub(super) struct Rewrite {
    from: Vec<u8>,
    to: Vec<u8>,
    /// The beginning of a frame, as far as it has come.
    head: Vec<u8>,
    /// Bytes of the frame that follow its head.
    rest: usize,
}

impl Rewrite {
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Self {
        let (from, to) = (on_the_wire(from), on_the_wire(to));
        assert_eq!(from.len(), to.len(), "both are 127.0.0.1");
        Self {
            from,
            to,
            head: Vec::new(),
            rest: 0,
        }
    }

    /// Adds to `out` what may be sent on once `bytes` have come.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let (now, later) = bytes.split_at(self.rest.min(bytes.len()));
                out.extend_from_slice(now);
                self.rest -= now.len();
                bytes = later;
                continue;
            }
            let wanted = self.head_len().saturating_sub(self.head.len());
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            self.head.extend_from_slice(now);
            bytes = later;
            if self.head.len() >= LENGTH_BYTES && self.head.len() == self.head_len() {
                self.send_head(out);
            }
        }
    }

    /// How long the head of this frame is, as far as that is known.
    fn head_len(&self) -> usize {
        match self.frame_len() {
            None => LENGTH_BYTES,
            Some(len) => LENGTH_BYTES + len.min(HEAD_BYTES_MAX),
        }
    }

    fn frame_len(&self) -> Option<usize> {
        let length = self.head.first_chunk::<LENGTH_BYTES>()?;
        Some(usize::try_from(u32::from_be_bytes(*length)).unwrap())
    }

    fn send_head(&mut self, out: &mut Vec<u8>) {
        self.rest = LENGTH_BYTES + self.frame_len().unwrap_or(0) - self.head.len();
        let found = self
            .head
            .windows(self.from.len())
            .position(|window| window == self.from);
        if let Some(at) = found {
            self.head[at..at + self.to.len()].copy_from_slice(&self.to);
        }
        out.append(&mut self.head);
    }
}

/// A broker's host and port: STRING (length in 2 bytes), INT32.
fn on_the_wire(address: SocketAddr) -> Vec<u8> {
    let host = address.ip().to_string();
    let mut bytes = u16::try_from(host.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(host.as_bytes());
    bytes.extend_from_slice(&u32::from(address.port()).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn the_address_is_rewritten_wherever_the_pieces_are_cut() {
        let log: SocketAddr = "127.0.0.1:9092".parse().unwrap();
        let proxy: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        let metadata = |address| [&[0; 16][..], &on_the_wire(address), &[7; 300]].concat();
        // What stands further behind is data, whatever it looks like.
        let data = [&[1; 200][..], &on_the_wire(log)].concat();
        let given = [frame(&metadata(log)), frame(&[]), frame(&data)].concat();
        let expected = [frame(&metadata(proxy)), frame(&[]), frame(&data)].concat();
        for piece in 1..=given.len() {
            let mut rewrite = Rewrite::new(log, proxy);
            let mut out = Vec::new();
            for bytes in given.chunks(piece) {
                rewrite.pass(bytes, &mut out);
            }
            assert_eq!(out, expected, "pieces of {piece}");
        }
    }
}
