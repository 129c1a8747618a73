//! Error kinds as gRPC status, in one place.
