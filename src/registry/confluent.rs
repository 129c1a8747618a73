//! The schema registry over Confluent's REST API.
