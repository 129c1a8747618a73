//! What must hold, checked at every commit and every append by a model of its own.
