//! The log over the Kafka protocol, through rskafka.
