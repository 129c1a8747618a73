//! One version of one message type, as a service of some age knows it.

use apache_avro::types as avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use contracts::inventory::StockReserved;
use contracts::order::{OrderPlaced, PlaceOrder};
use messaging::codec::{self, Schema, SchemaId};
use messaging::message::{Message, Registration};
use serde_json::{Map, Value};

/// The message types whose schemas change here: one for each way between two parts of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the client to Order.
    PlaceOrder,
    /// From Order to Inventory.
    OrderPlaced,
    /// From Inventory to Order.
    StockReserved,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::PlaceOrder, Self::OrderPlaced, Self::StockReserved];

    /// As today's programs write it.
    pub(crate) fn today(self) -> Registration {
        match self {
            Self::PlaceOrder => Registration::of::<PlaceOrder>(),
            Self::OrderPlaced => Registration::of::<OrderPlaced>(),
            Self::StockReserved => Registration::of::<StockReserved>(),
        }
    }
}

/// Values of fields beyond those that today's types have, or in the place of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// In the message.
    pub(crate) message: Map<String, Value>,
    /// In each of its lines.
    pub(crate) line: Map<String, Value>,
}

impl Beyond {
    /// `message` with these values set.
    pub(crate) fn set_in(&self, mut message: Value) -> Value {
        let fields = message.as_object_mut().expect("a message is a record");
        fields.extend(self.message.clone());
        let lines = fields.get_mut("lines").and_then(Value::as_array_mut);
        for line in lines.into_iter().flatten() {
            let fields = line.as_object_mut().expect("a line is a record");
            fields.extend(self.line.clone());
        }
        message
    }

    /// These and others.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.message.extend(other.message);
        self.line.extend(other.line);
        self
    }
}

/// A version of a message type, and what its writers put into the fields that are its own.
#[derive(Clone, Debug)]
pub(crate) struct Edition {
    pub(crate) registration: Registration,
    pub(crate) writes: Beyond,
}

impl Edition {
    fn schema(&self) -> Schema {
        Schema::parse(self.registration.schema).expect("every edition is a schema")
    }

    /// Writes a message of today's type as a program of this edition does.
    pub(crate) fn write<M: Message>(&self, id: SchemaId, message: &M) -> Bytes {
        if uses_all(message.key()) {
            self.write_all(id, serde_json::to_value(message).unwrap())
        } else {
            codec::encode(id, &self.schema(), message).unwrap()
        }
    }

    /// `frame`, written by this edition's schema; of an order that uses all, with the fields set that
    /// are the edition's own.
    pub(crate) fn complete(&self, frame: Bytes, order_id: &str) -> Bytes {
        if !uses_all(order_id) {
            return frame;
        }
        let (id, datum) = codec::unframe(&frame).unwrap();
        self.write_all(id, codec::decode(&self.schema(), datum).unwrap())
    }

    /// Writes what the schema has of `message`, with the fields set that are the edition's own.
    fn write_all(&self, id: SchemaId, message: Value) -> Bytes {
        let message = untyped(&self.writes.set_in(message));
        let schema = apache_avro::Schema::parse_str(self.registration.schema).unwrap();
        let message = message.resolve(&schema).unwrap();
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        let mut datum = Vec::new();
        writer.write_value(&mut datum, message).unwrap();
        codec::frame(id, &datum)
    }
}

/// JSON as Avro sees it before a schema gives it types. (serde_json calls every natural number
/// unsigned, for which apache-avro has no other type than bytes.)
fn untyped(value: &Value) -> avro::Value {
    match value {
        Value::Null => avro::Value::Null,
        Value::Bool(bool) => avro::Value::Boolean(*bool),
        Value::Number(number) => avro::Value::Long(number.as_i64().expect("a whole number")),
        Value::String(text) => avro::Value::String(text.clone()),
        Value::Array(items) => avro::Value::Array(items.iter().map(untyped).collect()),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), untyped(value)));
            avro::Value::Map(fields.collect())
        }
    }
}

/// Orders whose writers use all that their edition has; those of other orders leave the fields that
/// today's types lack to the defaults of the schema, as a service does that was not changed.
fn uses_all(order_id: &str) -> bool {
    order_id.ends_with("-FULL")
}
