//! Requests of the gateway.
//!
//! The first byte says which call, and by whom; the others are the request. Promises: a request that
//! is accepted is a good command, and Avro gives it back as it was; one that is refused is told what is
//! wrong with it, in an answer that stays small; whatever decodes survives its own encoding.

use contracts::proto::{
    GetOrderRequest, GetStockRequest, ListOrdersRequest, ListStockRequest, PlaceOrdersRequest,
    WatchOrderRequest,
};
use gateway::testing::{self, Call, Command};
use messaging::codec::{self, Schema};
use messaging::message::{self, Message};
use messaging::registry::SchemaId;
use tonic::{Code, Status};

/// Bytes of memory.
pub const MEMORY: usize = 8 << 20;
/// Longest refusal, in bytes: it travels in the headers of the answer.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Trial of one request.
pub fn run(data: &[u8]) {
    let Some((which, request)) = data.split_first() else {
        return;
    };
    let customer_id = (which & 0x80 != 0).then_some("CUSTOMER_001");
    match which & 0x7f {
        0 => command(Call::Place, request, customer_id),
        1 => command(Call::Cancel, request, customer_id),
        2 => command(Call::Complete, request, customer_id),
        3 => command(Call::Receive, request, customer_id),
        4 => survives::<PlaceOrdersRequest>(request),
        5 => survives::<GetOrderRequest>(request),
        6 => survives::<ListOrdersRequest>(request),
        7 => survives::<WatchOrderRequest>(request),
        8 => survives::<GetStockRequest>(request),
        _ => survives::<ListStockRequest>(request),
    }
}

fn command(call: Call, request: &[u8], customer_id: Option<&str>) {
    match testing::command(call, request, customer_id) {
        Ok(Command::Place(command)) => {
            assert_eq!(command.validate(), vec![]);
            is_kept(&command);
        }
        Ok(Command::Cancel(command)) => {
            assert_eq!(command.validate(), vec![]);
            assert_eq!(command.customer_id.as_deref(), customer_id);
            is_kept(&command);
        }
        Ok(Command::Complete(command)) => {
            assert_eq!(command.validate(), vec![]);
            is_kept(&command);
        }
        Ok(Command::Receive(command)) => {
            assert_eq!(command.validate(), vec![]);
            is_kept(&command);
        }
        Err(refusal) => is_told(&refusal),
    }
}

/// A command is written, and read as it was.
fn is_kept<M: Message + PartialEq + std::fmt::Debug>(command: &M) {
    let schema = Schema::parse(M::SCHEMA).expect("a schema");
    let frame = codec::encode(SchemaId(7), &schema, command).expect("what is accepted is written");
    let (id, datum) = codec::unframe(&frame).expect("a frame");
    assert_eq!(id, SchemaId(7));
    let read: M = message::decode(&schema, datum).expect("what is written is read");
    assert_eq!(&read, command);
}

fn is_told(refusal: &Status) {
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().starts_with("invalid: "), "{refusal:?}");
    let bytes = refusal.message().len() + refusal.details().len();
    assert!(bytes <= REFUSAL_BYTES_MAX, "a refusal of {bytes} bytes");
}

/// Whatever is taken for a request is the same request once it was encoded again.
fn survives<M: prost::Message + Default + PartialEq + std::fmt::Debug>(request: &[u8]) {
    if let Ok(read) = M::decode(request) {
        assert_eq!(M::decode(read.encode_to_vec().as_slice()), Ok(read));
    }
}
