//! Metrics, dashboard, alerts and runbooks against the programs: what is documented is there, and what
//! is asked for is documented.
//!
//! | room | what happens there |
//! |---|---|
//! | `reference` | `docs/metrics.md` and the sources name the same metrics |
//! | `running` | every query has data in a running store, and the numbers are right |
//! | `rules` | alerts and their runbooks; what Prometheus' own tools say (they must be installed) |
//! | `queries` | the queries of the dashboard and of the alerts |
//! | `promql` | the names in a query |
//! | `exposition` | what `/metrics` says, taken apart |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../support/mod.rs"]
mod support;

mod exposition;
mod promql;
mod queries;
mod reference;
mod rules;
mod running;
