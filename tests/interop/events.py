#!/usr/bin/env python3
"""Every event of the store, decoded, as JSON: one object per line.

    events.py [--group NAME] [--until-end]

The members of a group share the partitions, and a group goes on where it was. With --until-end it
ends with the last event that is there, instead of waiting for more. SHOP_LOG and SHOP_REGISTRY say
where the store is.
"""

import argparse
import json
import os
import signal
import sys

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPICS = ["order.events", "inventory.events", "inventory.stock"]


def main():
    parser = argparse.ArgumentParser(description="Every event of the store, as JSON")
    parser.add_argument("--group", default="events-py", help="the consumer group (%(default)s)")
    parser.add_argument("--until-end", action="store_true", help="do not wait for more events")
    arguments = parser.parse_args()

    registry = SchemaRegistryClient(
        {"url": os.environ.get("SHOP_REGISTRY", "http://127.0.0.1:8081")}
    )
    # Without a schema of its own it decodes each message with the one that it was written with: the
    # message carries that one's id, the registry knows the rest.
    decode = AvroDeserializer(registry)

    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("SHOP_LOG", "127.0.0.1:9092"),
            "group.id": arguments.group,
            "auto.offset.reset": "earliest",  # where a new group starts
            # The group's place moves past an event only once that event was handled. So a crash
            # repeats events and loses none: tell them apart by key, type and `version`.
            "enable.auto.offset.store": False,
            "enable.partition.eof": arguments.until_end,
        }
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        consume(consumer, decode)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()  # commits, and leaves the group


def consume(consumer, decode):
    """Handles events for ever, or until the end of every partition where the ends are reported."""
    at_end = set()
    consumer.subscribe(TOPICS, on_assign=lambda *_: at_end.clear())
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error is None:
            handle(message, decode)
            consumer.store_offsets(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end.add((message.topic(), message.partition()))
            if len(at_end) == len(consumer.assignment()):
                return
        else:
            raise KafkaException(error)


def handle(message, decode):
    """What a program of your own would do with an event: here it is printed."""
    headers = dict(message.headers())
    event = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().decode(),
        "type": headers["ce_type"].decode(),
        "id": headers["ce_id"].decode(),
        "body": decode(
            message.value(), SerializationContext(message.topic(), MessageField.VALUE)
        ),
    }
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main()
