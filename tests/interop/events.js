#!/usr/bin/env node
// Every event of the store, decoded, as JSON: one object per line.
//
//     events.js [--group NAME] [--until-end]
//
// The members of a group share the partitions, and a group goes on where it was. With --until-end
// it ends with the last event that was there when it began, instead of waiting for more. SHOP_LOG
// and SHOP_REGISTRY say where the store is.
"use strict";

const { parseArgs } = require("node:util");
const { Kafka, logLevel } = require("kafkajs");
const { SchemaRegistry } = require("@kafkajs/confluent-schema-registry");

const TOPICS = ["order.events", "inventory.events", "inventory.stock"];

async function main() {
  const { values: options } = parseArgs({
    options: {
      group: { type: "string", default: "events-js" },
      "until-end": { type: "boolean", default: false },
    },
  });
  const kafka = new Kafka({
    brokers: (process.env.SHOP_LOG ?? "127.0.0.1:9092").split(","),
    logLevel: logLevel.WARN,
  });
  const registry = new SchemaRegistry({
    host: process.env.SHOP_REGISTRY ?? "http://127.0.0.1:8081",
  });
  const unread = options["until-end"] ? await endsOfUnread(kafka, options.group) : null;
  if (unread?.size === 0) return;

  const consumer = kafka.consumer({ groupId: options.group });
  await consumer.connect();
  await consumer.subscribe({ topics: TOPICS, fromBeginning: true }); // where a new group starts
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    process.once("SIGINT", resolve).once("SIGTERM", resolve);
    // The group's place moves past a batch once its events were handled. So a crash repeats events
    // and loses none: tell them apart by key, type and `version`.
    const eachMessage = async ({ topic, partition, message }) => {
      await handle(topic, partition, message, registry);
      const place = `${topic}/${partition}`;
      if (BigInt(message.offset) + 1n >= unread?.get(place)) unread.delete(place);
      if (unread?.size === 0) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  }).finally(() => consumer.disconnect()); // commits, and leaves the group
}

// What a program of your own would do with an event: here it is printed.
async function handle(topic, partition, message, registry) {
  const event = {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key.toString(),
    type: message.headers.ce_type.toString(),
    id: message.headers.ce_id.toString(),
    // Decoded with the schema that it was written with: the message carries that one's id, the
    // registry knows the rest.
    body: await registry.decode(message.value),
  };
  console.log(JSON.stringify(event));
}

// Where the partitions end that the group has not read to the end, by topic/partition.
async function endsOfUnread(kafka, groupId) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const unread = new Map();
    for (const { topic, partitions } of await admin.fetchOffsets({ groupId, topics: TOPICS })) {
      const ends = await admin.fetchTopicOffsets(topic);
      for (const { partition, offset } of partitions) {
        const bounds = ends.find((end) => end.partition === partition);
        const end = BigInt(bounds.high);
        // -1: the group has not been here yet.
        const next = offset === "-1" ? BigInt(bounds.low) : BigInt(offset);
        if (next < end) unread.set(`${topic}/${partition}`, end);
      }
    }
    return unread;
  } finally {
    await admin.disconnect();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
