#!/usr/bin/env node
// Places orders by writing the commands into the log, past the gateway.
//
//     place.js ORDER... [--product ID] [--quantity N]
//
// Prints where each command stands. It is durable then; what becomes of the order is told by the
// events (events.js). SHOP_LOG and SHOP_REGISTRY say where the store is. Nobody checks a command
// here: one that is not as it must be is set aside (see place.py).
"use strict";

const { randomUUID } = require("node:crypto");
const { parseArgs } = require("node:util");
const { Kafka, Partitioners, logLevel } = require("kafkajs");
const { SchemaRegistry } = require("@kafkajs/confluent-schema-registry");

const TOPIC = "order.commands";
const TYPE = "shop.order.PlaceOrder";

async function main() {
  const { values: options, positionals: orders } = parseArgs({
    allowPositionals: true,
    options: {
      product: { type: "string", default: "PRODUCT_001" },
      quantity: { type: "string", default: "1" },
    },
  });

  const registry = new SchemaRegistry({
    host: process.env.SHOP_REGISTRY ?? "http://127.0.0.1:8081",
  });
  // TopicRecordNameStrategy: a topic holds several types, each with a subject of its own.
  const schema = await registry.getLatestSchemaId(`${TOPIC}-${TYPE}`);

  const kafka = new Kafka({
    brokers: (process.env.SHOP_LOG ?? "127.0.0.1:9092").split(","),
    logLevel: logLevel.WARN,
  });
  // All of one order is in one partition, and clients must agree in which: Kafka's own murmur2. It
  // is the default of kafkajs since 2.0; its LegacyPartitioner is another one.
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    for (const order of orders) {
      const command = {
        order_id: order, // [A-Za-z0-9._-]{1,64}: the first content under an id wins
        customer_id: "CUSTOMER_001",
        currency: "GBP",
        // Sorted by product_id, no product twice.
        lines: [
          {
            product_id: options.product,
            quantity: Number(options.quantity),
            unit_price_minor: 1000,
          },
        ],
        on_shortage: "BACKORDER",
      };
      const [written] = await producer.send({
        topic: TOPIC,
        acks: -1, // by all replicas
        messages: [
          {
            key: order, // the order_id, or the command is set aside
            value: await registry.encode(schema, command),
            headers: cloudEvents(order),
          },
        ],
      });
      const { partition, baseOffset } = written;
      console.log(
        JSON.stringify({ topic: TOPIC, partition, offset: Number(baseOffset), key: order }),
      );
    }
  } finally {
    await producer.disconnect();
  }
}

// The message's metadata: CloudEvents as Kafka headers, all of it required.
function cloudEvents(key) {
  return {
    ce_specversion: "1.0",
    ce_id: randomUUID(),
    ce_type: TYPE,
    ce_source: "/place.js",
    ce_subject: key,
    ce_time: new Date().toISOString(), // when the order was placed
    "content-type": "application/avro",
  };
}

main().catch((error) => {
  // It may have been written all the same: place it again, it cannot be doubled.
  console.error(error);
  process.exitCode = 1;
});
