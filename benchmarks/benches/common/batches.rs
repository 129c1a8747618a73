//! Record batches as they travel, made by the codec that other Kafka programs use.

use bytes::{Bytes, BytesMut};
use contracts::inventory::ReceiveStock;
use contracts::order::OrderCommand;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record as Wire,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use messaging::log::Record;
use messaging::message::{Binding, Registration, Writer};
use messaging::registry::SchemaRegistry;

use super::inputs::{place_order, record};

/// What commands are written with, by whoever has this registry.
pub(crate) async fn writer(registry: &dyn SchemaRegistry) -> Writer {
    let registrations = [
        OrderCommand::REGISTRATIONS,
        &[Registration::of::<ReceiveStock>()],
    ]
    .concat();
    let writer = Writer::bind(registry, &registrations, Binding::Register).await;
    writer.expect("the registry takes our schemas")
}

/// The commands of so many orders, from order number `from` on.
pub(crate) fn commands(writer: &Writer, from: u64, orders: u64) -> Vec<Record> {
    (from..from + orders)
        .map(|number| record(writer, number, &place_order(number)))
        .collect()
}

/// One batch with these records.
pub(crate) fn batch(records: Vec<Record>) -> Bytes {
    let wire: Vec<Wire> = (0..)
        .zip(records)
        .map(|(at, record)| Wire {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(at),
            sequence: at,
            timestamp: record.timestamp.0,
            key: record.key,
            value: record.value,
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (StrBytes::from(name.into_owned()), Some(value)))
                .collect(),
        })
        .collect();
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &wire, &options).expect("the records can be encoded");
    bytes.freeze()
}
