//! Servers: gRPC with its layers, and HTTP for metrics and readiness.
