#!/usr/bin/env python3
"""Places orders by writing the commands into the log, past the gateway.

    place.py ORDER... [--product ID] [--quantity N] [--partitioner NAME]

Prints where each command stands. It is durable then; what becomes of the order is told by the
events (events.py). SHOP_LOG and SHOP_REGISTRY say where the store is.

The gateway (order.py) is the better way in: it checks what it is given and tells the caller what is
wrong with it. Nobody checks here: a command that is not as it must be is set aside by the Order
service, and so is what follows for the same order, until an operator looks at it
(`shop parked list`).
"""

import argparse
import json
import os
import sys
import uuid
from datetime import datetime, timezone

from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPIC = "order.commands"
TYPE = "shop.order.PlaceOrder"


def main():
    parser = argparse.ArgumentParser(description="Places orders through the log")
    parser.add_argument("orders", nargs="+", metavar="ORDER", help="its id, [A-Za-z0-9._-]{1,64}")
    parser.add_argument("--product", default="PRODUCT_001")
    parser.add_argument("--quantity", type=int, default=1)
    # All of one order is in one partition, and clients must agree in which: Kafka's own murmur2.
    # librdkafka's default is another one (consistent_random), so it must be told. A command that
    # lies in another partition than its key's is set aside.
    parser.add_argument("--partitioner", default="murmur2_random")
    arguments = parser.parse_args()

    producer = Producer(
        {
            "bootstrap.servers": os.environ.get("SHOP_LOG", "127.0.0.1:9092"),
            "partitioner": arguments.partitioner,
            # Acknowledged by all replicas, in the sequence of sending.
            "enable.idempotence": True,
            "delivery.timeout.ms": 10_000,
        }
    )
    encode = encoder()
    failures = []
    for order in arguments.orders:
        command = {
            "order_id": order,  # the first content under an id wins
            "customer_id": "CUSTOMER_001",
            "currency": "GBP",
            # Sorted by product_id, no product twice.
            "lines": [
                {
                    "product_id": arguments.product,
                    "quantity": arguments.quantity,
                    "unit_price_minor": 1000,
                }
            ],
            "on_shortage": "BACKORDER",
        }
        producer.produce(
            TOPIC,
            key=order,  # the order_id, or the command is set aside
            value=encode(command),
            headers=cloud_events(order),
            on_delivery=lambda error, message: failures.append(error) if error else show(message),
        )
    producer.flush()
    if failures:
        # They may have been written all the same: place them again, they cannot be doubled.
        sys.exit(f"not acknowledged: {failures}")


def show(message):
    """Prints where an acknowledged command stands."""
    place = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().decode(),
    }
    print(json.dumps(place))


def encoder():
    """Turns a command into Avro, framed with the id of its schema, which the registry gives."""
    registry = SchemaRegistryClient(
        {"url": os.environ.get("SHOP_REGISTRY", "http://127.0.0.1:8081")}
    )
    schema = registry.get_latest_version(f"{TOPIC}-{TYPE}").schema
    serialize = AvroSerializer(
        registry,
        schema,
        conf={
            # TopicRecordNameStrategy: a topic holds several types, each with a subject of its own.
            "subject.name.strategy": topic_record_subject_name_strategy,
            "auto.register.schemas": False,  # the contract is the store's, not the client's
            # No field beside the schema's; one that is left out has its default, as `reserve_by` here.
            "validate.strict.allow.default": True,
        },
    )
    return lambda command: serialize(command, SerializationContext(TOPIC, MessageField.VALUE))


def cloud_events(key):
    """The message's metadata: CloudEvents as Kafka headers, all of it required.

    `ce_id` names the message and `ce_time` is when the order was placed. A `traceparent` would be
    carried on to the events.
    """
    return {
        "ce_specversion": "1.0",
        "ce_id": str(uuid.uuid4()),
        "ce_type": TYPE,
        "ce_source": "/place.py",
        "ce_subject": key,
        "ce_time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "content-type": "application/avro",
    }


if __name__ == "__main__":
    main()
