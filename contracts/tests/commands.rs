//! What a command may hold, and what makes two commands the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use contracts::inventory::ReceiveStock;
use contracts::limits;
use contracts::order::{CancelOrder, PlaceOrder, PlaceOrderLine};
use contracts::shared::OnShortage;
use contracts::validate::Violation;
use proptest::prelude::*;
use proptest::sample::Index;

fn line(product: usize, quantity: i32, unit_price_minor: i64) -> PlaceOrderLine {
    PlaceOrderLine {
        product_id: format!("P{product}"),
        quantity,
        unit_price_minor,
    }
}

fn order(lines: Vec<PlaceOrderLine>) -> PlaceOrder {
    PlaceOrder {
        order_id: "O1".to_owned(),
        customer_id: "C1".to_owned(),
        currency: "GBP".to_owned(),
        lines,
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

fn fields(violations: &[Violation]) -> Vec<&str> {
    violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect()
}

/// Orders within the limits.
fn good_order() -> impl Strategy<Value = PlaceOrder> {
    let values = (limits::QUANTITY, limits::UNIT_PRICE_MINOR);
    let lines = prop::collection::vec(values, 1..=limits::LINES_MAX).prop_map(|values| {
        let numbered = values.into_iter().enumerate();
        numbered
            .map(|(product, (quantity, price))| line(product, quantity, price))
            .collect::<Vec<_>>()
    });
    ("[A-Za-z0-9._-]{1,64}", "[A-Z]{3}", lines, any::<bool>()).prop_map(
        |(order_id, currency, lines, reject)| PlaceOrder {
            order_id,
            currency,
            on_shortage: if reject {
                OnShortage::Reject
            } else {
                OnShortage::Backorder
            },
            ..order(lines)
        },
    )
}

proptest! {
    #[test]
    fn an_order_within_the_limits_is_accepted(order in good_order()) {
        prop_assert_eq!(order.validate(), []);
    }

    #[test]
    fn the_sequence_of_lines_does_not_matter(order in good_order(), swaps: Vec<(Index, Index)>) {
        let mut shuffled = order.clone();
        for (one, other) in swaps {
            let len = shuffled.lines.len();
            shuffled.lines.swap(one.index(len), other.index(len));
        }
        prop_assert_eq!(shuffled.content(), order.content());
        prop_assert_eq!(shuffled.sorted(), order.sorted());
    }

    #[test]
    fn any_other_field_matters(order in good_order(), at: Index, field in 0..7) {
        let mut other = order.clone();
        let line = at.index(other.lines.len());
        match field {
            0 => other.order_id.push('x'),
            1 => other.customer_id.push('x'),
            2 => other.currency.push('X'),
            3 => other.lines[line].quantity += 1,
            4 => other.lines[line].unit_price_minor += 1,
            5 => other.lines[line].product_id.push('x'),
            _ => drop(other.lines.remove(line)),
        }
        prop_assert_ne!(other.content(), order.content());
    }

    #[test]
    fn totals_of_a_good_order_are_exact(order in good_order()) {
        let exact: i128 = order.lines.iter()
            .map(|line| i128::from(line.quantity) * i128::from(line.unit_price_minor))
            .sum();
        prop_assert_eq!(i128::from(order.total_price_minor()), exact);
    }
}

#[test]
fn what_to_do_on_shortage_is_content() {
    let backorder = order(vec![line(1, 1, 1)]);
    let reject = PlaceOrder {
        on_shortage: OnShortage::Reject,
        ..backorder.clone()
    };
    assert_ne!(backorder.content(), reject.content());
}

#[test]
fn a_deadline_is_content() {
    let with = |reserve_by| PlaceOrder {
        reserve_by,
        ..order(vec![line(1, 1, 1)])
    };
    let contents = [None, Some(0), Some(1)].map(|by| with(by).content());
    assert!(contents[0] != contents[1] && contents[1] != contents[2] && contents[0] != contents[2]);
}

#[test]
fn neighbouring_texts_do_not_run_together() {
    let cancel = |order_id: &str, reason: &str| CancelOrder {
        order_id: order_id.to_owned(),
        reason: reason.to_owned(),
        customer_id: None,
    };
    assert_ne!(cancel("O1", "2").content(), cancel("O12", "").content());
}

#[test]
fn a_cancellations_customer_is_part_of_what_was_asked() {
    let cancel = |customer_id: Option<&str>| CancelOrder {
        order_id: "O1".to_owned(),
        reason: String::new(),
        customer_id: customer_id.map(str::to_owned),
    };
    let contents = [None, Some("C1"), Some("C2")].map(|of| cancel(of).content());
    assert_ne!(contents[0], contents[1]);
    assert_ne!(contents[1], contents[2]);
    assert_eq!(fields(&cancel(Some("a b")).validate()), ["customer_id"]);
}

#[test]
fn every_bad_field_is_named_at_once() {
    let bad = PlaceOrder {
        order_id: "with space".to_owned(),
        customer_id: String::new(),
        currency: "gbp".to_owned(),
        lines: vec![
            line(1, 0, -1),
            line(2, 1_000_001, 1_000_000_001),
            line(1, 1, 0),
        ],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    };
    assert_eq!(
        fields(&bad.validate()),
        [
            "order.order_id",
            "order.customer_id",
            "order.currency",
            "order.lines[0].quantity",
            "order.lines[0].unit_price_minor",
            "order.lines[1].quantity",
            "order.lines[1].unit_price_minor",
            "order.lines[2].product_id",
        ]
    );
}

#[test]
fn the_number_of_lines_is_limited() {
    let lines = |count| order((0..count).map(|product| line(product, 1, 1)).collect());
    assert_eq!(fields(&lines(0).validate()), ["order.lines"]);
    assert_eq!(lines(1).validate(), []);
    assert_eq!(lines(limits::LINES_MAX).validate(), []);
    assert_eq!(
        fields(&lines(limits::LINES_MAX + 1).validate()),
        ["order.lines"]
    );
}

#[test]
fn ids_have_one_to_64_plain_characters() {
    for good in ["a", "A.b_c-9", &"x".repeat(64)] {
        assert!(limits::is_id(good), "{good}");
    }
    for bad in ["", " ", "a b", "ü", "a/b", "a\n", &"x".repeat(65)] {
        assert!(!limits::is_id(bad), "{bad}");
    }
}

#[test]
fn a_cancellations_reason_is_counted_in_characters() {
    let cancel = |reason: String| CancelOrder {
        order_id: "O1".to_owned(),
        reason,
        customer_id: None,
    };
    assert_eq!(cancel("ü".repeat(200)).validate(), []);
    assert_eq!(fields(&cancel("u".repeat(201)).validate()), ["reason"]);
}

#[test]
fn a_receipt_names_its_bad_fields() {
    let receipt = ReceiveStock {
        receipt_id: String::new(),
        product_id: "a b".to_owned(),
        quantity: 0,
    };
    assert_eq!(
        fields(&receipt.validate()),
        ["receipt_id", "product_id", "quantity"]
    );
}
