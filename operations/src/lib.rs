//! What a service offers to the people who run it, over gRPC: parked messages, conflicts, checkpoints.
