//! What a command may hold, checked all at once: pure, the same at the gateway and in a service.

use std::collections::HashSet;

use crate::inventory::ReceiveStock;
use crate::limits::{self, is_currency, is_id};
use crate::order::{CancelOrder, CompleteOrder, PlaceOrder};

/// One field that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the gRPC request, for example `order.lines[2].quantity`.
    pub field: String,
    /// What it must be.
    pub description: String,
}

impl Violation {
    /// `field` is not as `description` says.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// All violations in one line, for logs and for operators.
#[must_use]
pub fn summary(violations: &[Violation]) -> String {
    let parts: Vec<_> = violations
        .iter()
        .map(|violation| format!("{} {}", violation.field, violation.description))
        .collect();
    parts.join("; ")
}

/// Checks an id of any kind.
#[must_use]
pub fn id(field: &str, value: &str) -> Option<Violation> {
    (!is_id(value)).then(|| Violation::new(field, "must match [A-Za-z0-9._-]{1,64}"))
}

fn quantity(field: String, value: i32) -> Option<Violation> {
    (!limits::QUANTITY.contains(&value)).then(|| Violation::new(field, "must be from 1 to 1000000"))
}

impl PlaceOrder {
    /// Every field that breaks a limit; empty for a good order.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        found.extend(id("order.order_id", &self.order_id));
        found.extend(id("order.customer_id", &self.customer_id));
        if !is_currency(&self.currency) {
            found.push(Violation::new(
                "order.currency",
                "must be an ISO 4217 code, [A-Z]{3}",
            ));
        }
        // One that has passed is good: its repetitions must be answered as it was.
        if self
            .reserve_by
            .is_some_and(|deadline| !limits::RESERVE_BY.contains(&deadline))
        {
            found.push(Violation::new(
                "order.reserve_by",
                "must be a time of the years 1970 to 9999",
            ));
        }
        // Line by line only within the limit: the answer stays small whatever the request holds.
        if (1..=limits::LINES_MAX).contains(&self.lines.len()) {
            self.validate_lines(&mut found);
        } else {
            found.push(Violation::new("order.lines", "must hold 1 to 100 lines"));
        }
        found
    }

    fn validate_lines(&self, found: &mut Vec<Violation>) {
        let mut products = HashSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            let field = |name| format!("order.lines[{index}].{name}");
            found.extend(id(&field("product_id"), &line.product_id));
            if !products.insert(line.product_id.as_str()) {
                found.push(Violation::new(
                    field("product_id"),
                    "must not repeat the product of an earlier line",
                ));
            }
            found.extend(quantity(field("quantity"), line.quantity));
            if !limits::UNIT_PRICE_MINOR.contains(&line.unit_price_minor) {
                found.push(Violation::new(
                    field("unit_price_minor"),
                    "must be from 0 to 1000000000",
                ));
            }
        }
    }
}

impl CancelOrder {
    /// Every field that breaks a limit; empty for a good command.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut found: Vec<_> = id("order_id", &self.order_id).into_iter().collect();
        if self.reason.chars().count() > limits::REASON_LEN_MAX {
            found.push(Violation::new("reason", "must be at most 200 characters"));
        }
        let customer_id = self.customer_id.as_deref();
        found.extend(customer_id.and_then(|customer_id| id("customer_id", customer_id)));
        found
    }
}

impl CompleteOrder {
    /// Every field that breaks a limit; empty for a good command.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        id("order_id", &self.order_id).into_iter().collect()
    }
}

impl ReceiveStock {
    /// Every field that breaks a limit; empty for a good command.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        found.extend(id("receipt_id", &self.receipt_id));
        found.extend(id("product_id", &self.product_id));
        found.extend(quantity("quantity".to_owned(), self.quantity));
        found
    }
}
