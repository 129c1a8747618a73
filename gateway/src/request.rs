//! Requests as commands: pure, and every invalid field at once.

use contracts::inventory::ReceiveStock;
use contracts::order::{CancelOrder, CompleteOrder, OnShortage, PlaceOrder, PlaceOrderLine};
use contracts::proto::{self, order};
use contracts::time;
use contracts::validate::{self, Violation};
use messaging::status;
use tonic::Status;
use uuid::Uuid;

/// What a `PlaceOrder` request asks for.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) command: PlaceOrder,
    pub(crate) wait_for: Option<order::Status>,
}

/// Checks a `PlaceOrder` request. What the store itself fills in (status, version, reason, times)
/// is ignored: an order that was read can be placed under another id as it is.
pub(crate) fn place(request: proto::PlaceOrderRequest) -> Result<Placement, Status> {
    let mut found = request_id(&request.request_id);
    let wait_for = match request.wait_for.map(order::Status::try_from).transpose() {
        Ok(given) => given.filter(|status| *status != order::Status::Unspecified),
        Err(_) => {
            found.push(Violation::new("wait_for", "must be a status of an order"));
            None
        }
    };
    let Some(order) = request.order else {
        found.push(Violation::new("order", "must be given"));
        return Err(invalid(found));
    };
    if order::OnShortage::try_from(order.on_shortage).is_err() {
        found.push(Violation::new(
            "order.on_shortage",
            "must be BACKORDER or REJECT",
        ));
    }
    let (price, quantity) = (order.total_price_minor, order.total_quantity);
    // Not sorted yet: violations name the lines by their place in the request.
    let command = content(order);
    found.extend(command.validate());
    found.extend(total(
        "order.total_price_minor",
        price,
        command.total_price_minor(),
    ));
    found.extend(total(
        "order.total_quantity",
        quantity,
        command.total_quantity(),
    ));
    valid(
        found,
        Placement {
            command: command.sorted(),
            wait_for,
        },
    )
}

/// Checks a `CancelOrder` request of a customer, or of whoever may cancel everybody's orders.
pub(crate) fn cancel(
    request: proto::CancelOrderRequest,
    customer_id: Option<&str>,
) -> Result<CancelOrder, Status> {
    let mut found = request_id(&request.request_id);
    let command = CancelOrder {
        order_id: request.order_id,
        reason: request.reason,
        customer_id: customer_id.map(str::to_owned),
    };
    found.extend(command.validate());
    valid(found, command)
}

/// Checks a `CompleteOrder` request.
pub(crate) fn complete(request: proto::CompleteOrderRequest) -> Result<CompleteOrder, Status> {
    let mut found = request_id(&request.request_id);
    let command = CompleteOrder {
        order_id: request.order_id,
    };
    found.extend(command.validate());
    valid(found, command)
}

/// Checks a `ReceiveStock` request.
pub(crate) fn receive(request: proto::ReceiveStockRequest) -> Result<ReceiveStock, Status> {
    let command = ReceiveStock {
        receipt_id: request.receipt_id,
        product_id: request.product_id,
        quantity: request.quantity,
    };
    valid(command.validate(), command)
}

/// Checks the id in a query.
pub(crate) fn id(field: &str, value: &str) -> Result<(), Status> {
    valid(validate::id(field, value).into_iter().collect(), ())
}

/// What a client gives of an order; for a stored order, what its client gave.
pub(crate) fn content(order: proto::Order) -> PlaceOrder {
    let on_shortage = match order.on_shortage() {
        order::OnShortage::Backorder => OnShortage::Backorder,
        order::OnShortage::Reject => OnShortage::Reject,
    };
    PlaceOrder {
        order_id: order.order_id,
        customer_id: order.customer_id,
        currency: order.currency,
        lines: order.lines.into_iter().map(line).collect(),
        on_shortage,
        reserve_by: order.reserve_by.as_ref().map(|by| time::read(by).0),
    }
}

fn line(line: proto::OrderLine) -> PlaceOrderLine {
    PlaceOrderLine {
        product_id: line.product_id,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    }
}

/// What request ids of customers are hashed under; any constant would do.
const OF_CUSTOMERS: Uuid = Uuid::from_u128(0x6fb7_2c5e_9d0a_4c1b_8e43_52f7_0d19_a6e8);

/// The id of a command's message: the client's request id in its usual form, if it gave one. That of
/// a caller with a `subject` is hashed with it (UUIDv5, RFC 9562): nobody can repeat another's.
pub(crate) fn message_id(
    subject: Option<&str>,
    request_id: &str,
    fresh: impl FnOnce() -> Uuid,
) -> String {
    let given = request_id.parse().unwrap_or_else(|_| fresh());
    let id = match subject {
        None => given,
        // The id comes first: it has one length, so no subject can look like another pair.
        Some(subject) => {
            let name = [given.as_bytes(), subject.as_bytes()].concat();
            Uuid::new_v5(&OF_CUSTOMERS, &name)
        }
    };
    id.hyphenated().to_string()
}

fn request_id(given: &str) -> Vec<Violation> {
    // The plain form only: not braced, not an URN, not without hyphens.
    let is_uuid = given.len() == uuid::fmt::Hyphenated::LENGTH && given.parse::<Uuid>().is_ok();
    if given.is_empty() || is_uuid {
        return Vec::new();
    }
    vec![Violation::new("request_id", "must be a UUID, or left out")]
}

/// A total that is given must agree with the lines; 0 counts as left out.
fn total(field: &str, given: Option<i64>, of_lines: i64) -> Option<Violation> {
    let given = given.filter(|total| *total != 0)?;
    (given != of_lines).then(|| {
        Violation::new(
            field,
            format!("must be {of_lines}, the sum over the lines, or left out"),
        )
    })
}

fn valid<T>(found: Vec<Violation>, value: T) -> Result<T, Status> {
    if found.is_empty() {
        Ok(value)
    } else {
        Err(invalid(found))
    }
}

fn invalid(found: Vec<Violation>) -> Status {
    status::invalid(found.into_iter().map(|violation| status::Violation {
        field: violation.field,
        description: violation.description,
    }))
}

#[cfg(test)]
mod tests {
    use contracts::proto::{Order, OrderLine, PlaceOrderRequest};
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    fn lines() -> Vec<OrderLine> {
        [("PRODUCT_002", 2, 500), ("PRODUCT_001", 3, 1_000)]
            .map(|(product_id, quantity, unit_price_minor)| OrderLine {
                product_id: product_id.to_owned(),
                quantity,
                unit_price_minor,
            })
            .to_vec()
    }

    fn good() -> PlaceOrderRequest {
        PlaceOrderRequest {
            request_id: "72029ae3-9876-4d2f-a0ae-aaee86b8ec34".to_owned(),
            order: Some(Order {
                order_id: "ORDER_001".to_owned(),
                customer_id: "CUSTOMER_001".to_owned(),
                currency: "GBP".to_owned(),
                lines: lines(),
                total_price_minor: Some(4_000),
                total_quantity: Some(5),
                ..Order::default()
            }),
            wait_for: None,
        }
    }

    fn fields(status: &Status) -> Vec<String> {
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        violations.iter().map(|found| found.field.clone()).collect()
    }

    fn refused(change: impl FnOnce(&mut PlaceOrderRequest)) -> Vec<String> {
        let mut request = good();
        change(&mut request);
        fields(&place(request).unwrap_err())
    }

    #[test]
    fn a_good_order_becomes_a_command_with_its_lines_sorted() {
        let placement = place(good()).unwrap();
        assert_eq!(placement.command.order_id, "ORDER_001");
        assert_eq!(placement.command.on_shortage, OnShortage::Backorder);
        assert_eq!(placement.command.lines[0].product_id, "PRODUCT_001");
        assert_eq!(placement.wait_for, None);
    }

    #[test]
    fn a_deadline_counts_in_milliseconds_and_is_a_time_of_the_calendar() {
        let mut request = good();
        let by = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        request.order.as_mut().unwrap().reserve_by = by(1, 2_999_999);
        assert_eq!(place(request).unwrap().command.reserve_by, Some(1_002));
        for wrong in [
            by(-1, 0),
            by(1, -1),
            by(1, 1_000_000_000),
            by(253_402_300_800, 0),
        ] {
            let found = refused(|request| request.order.as_mut().unwrap().reserve_by = wrong);
            assert_eq!(found, ["order.reserve_by"], "{wrong:?}");
        }
    }

    #[test]
    fn totals_may_be_left_out() {
        for nothing in [None, Some(0)] {
            let mut request = good();
            let order = request.order.as_mut().unwrap();
            order.total_price_minor = nothing;
            order.total_quantity = nothing;
            place(request).unwrap();
        }
    }

    #[test]
    fn what_the_store_fills_in_is_ignored() {
        let mut request = good();
        let order = request.order.as_mut().unwrap();
        order.set_status(order::Status::Completed);
        order.version = 7;
        order.reason = "because".to_owned();
        assert_eq!(
            place(request).unwrap().command,
            place(good()).unwrap().command
        );
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let found = refused(|request| {
            request.request_id = "7".to_owned();
            request.wait_for = Some(99);
            let order = request.order.as_mut().unwrap();
            order.order_id = String::new();
            order.customer_id = "a b".to_owned();
            order.currency = "gbp".to_owned();
            order.on_shortage = 9;
            order.lines[0].quantity = 0;
            order.lines[1].product_id = "PRODUCT_002".to_owned();
            order.lines[1].unit_price_minor = -1;
        });
        assert_eq!(
            found,
            [
                "request_id",
                "wait_for",
                "order.on_shortage",
                "order.order_id",
                "order.customer_id",
                "order.currency",
                "order.lines[0].quantity",
                "order.lines[1].product_id",
                "order.lines[1].unit_price_minor",
                "order.total_price_minor",
                "order.total_quantity",
            ]
        );
    }

    #[test]
    fn an_order_must_be_there() {
        assert_eq!(refused(|request| request.order = None), ["order"]);
    }

    #[test]
    fn a_total_that_disagrees_is_refused() {
        let found = refused(|request| {
            request.order.as_mut().unwrap().total_price_minor = Some(3_999);
        });
        assert_eq!(found, ["order.total_price_minor"]);
    }

    #[test]
    fn a_request_id_is_a_uuid_in_its_plain_form() {
        for bad in [
            "72029ae398764d2fa0aeaaee86b8ec34",
            "{72029ae3-9876-4d2f-a0ae-aaee86b8ec34}",
            "72029ae3-9876-4d2f-a0ae-aaee86b8ec3g",
        ] {
            let found = refused(|request| request.request_id = bad.to_owned());
            assert_eq!(found, ["request_id"], "{bad}");
        }
    }

    #[test]
    fn a_repeated_request_keeps_its_message_id() {
        let id = "72029AE3-9876-4D2F-A0AE-AAEE86B8EC34";
        assert_eq!(message_id(None, id, Uuid::nil), id.to_lowercase());
        assert_eq!(message_id(None, "", Uuid::nil), Uuid::nil().to_string());
    }

    #[test]
    fn request_ids_are_each_customers_own() {
        let id = "72029AE3-9876-4D2F-A0AE-AAEE86B8EC34";
        let of = |subject, id: &str| message_id(subject, id, Uuid::nil);
        let own = of(Some("C1"), id);
        assert_eq!(
            own,
            of(Some("C1"), &id.to_lowercase()),
            "a repetition is one"
        );
        assert_ne!(own, of(Some("C2"), id));
        assert_ne!(own, of(None, id));
        assert_ne!(own, of(Some("C1"), ""));
        // Whoever has seen the message's id in the log cannot make it either.
        assert_ne!(own, of(Some("C1"), &own));
    }
}
