//! Every message type, encoded and decoded.

use std::hint::black_box;
use std::rc::Rc;

use contracts::examples;
use contracts::inventory::{
    ReceiveStock, StockBackordered, StockReceived, StockRefused, StockReleased, StockReserved,
    StockShipped,
};
use contracts::order::{
    CancelOrder, CompleteOrder, OrderBackordered, OrderCancelled, OrderCompleted, OrderPlaced,
    OrderRejected, OrderReserved, PlaceOrder,
};
use messaging::codec::{self, Schema, SchemaId};
use messaging::message::{self, Message};

use super::Case;

/// Messages of one run.
const MESSAGES: u64 = 100;

/// Encoding and decoding of each type.
pub(crate) fn cases() -> Vec<Case> {
    let cases = [
        coded::<PlaceOrder>(),
        coded::<CancelOrder>(),
        coded::<CompleteOrder>(),
        coded::<OrderPlaced>(),
        coded::<OrderReserved>(),
        coded::<OrderBackordered>(),
        coded::<OrderRejected>(),
        coded::<OrderCancelled>(),
        coded::<OrderCompleted>(),
        coded::<ReceiveStock>(),
        coded::<StockReserved>(),
        coded::<StockBackordered>(),
        coded::<StockRefused>(),
        coded::<StockReleased>(),
        coded::<StockShipped>(),
        coded::<StockReceived>(),
    ];
    assert_eq!(
        cases.len(),
        examples::ALL.len(),
        "a message type is missing"
    );
    cases.into_iter().flatten().collect()
}

/// The example of a type, written with its newest schema.
fn coded<M: Message>() -> [Case; 2] {
    let examples = examples::ALL
        .iter()
        .find(|examples| examples.registration.message_type == M::TYPE)
        .expect("every type has an example");
    let schema = Rc::new(Schema::parse(M::SCHEMA).expect("a schema"));
    let written = (examples.datum)((examples.versions)(), &schema);
    let datum = written
        .expect("the newest version has an example")
        .expect("the example fits its schema");
    let message: Rc<M> = Rc::new(message::decode(&schema, &datum).expect("it is read again"));
    let frame = codec::frame(SchemaId(1), &datum);
    let encode = {
        let schema = Rc::clone(&schema);
        move || {
            let frame = codec::encode(SchemaId(1), &schema, black_box(&*message));
            black_box(frame.expect("it was written before"));
        }
    };
    let decode = move || {
        let (_, datum) = codec::unframe(black_box(&frame)).expect("a frame");
        black_box(message::decode::<M>(&schema, datum).expect("it was read before"));
    };
    [
        repeated(format!("encode {}", M::TYPE), Rc::new(encode)),
        repeated(format!("decode {}", M::TYPE), Rc::new(decode)),
    ]
}

fn repeated(name: String, step: Rc<impl Fn() + 'static>) -> Case {
    Case::new(name, MESSAGES, move || {
        let step = Rc::clone(&step);
        Box::new(move || {
            for _ in 0..MESSAGES {
                step();
            }
            Box::new(())
        })
    })
}
