//! Pages of a list: sizes, and tokens that say where the next one begins.

use contracts::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use contracts::proto::ListOrdersRequest;
use contracts::validate::{self, Violation};
use messaging::context::ContentHash;

use super::convert;
use crate::store::Filter;

/// A list request, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) filter: Filter,
    /// Only orders before this sequence.
    pub(super) before: Option<i64>,
    /// At most so many orders.
    pub(super) size: usize,
}

/// Checks a list request.
pub(super) fn parse(request: ListOrdersRequest) -> Result<Page, Vec<Violation>> {
    let mut violations = Vec::new();
    let customer_id = Some(request.customer_id).filter(|id| !id.is_empty());
    if let Some(customer_id) = &customer_id {
        violations.extend(validate::id("customer_id", customer_id));
    }
    let status = convert::status_filter(request.status).unwrap_or_else(|_| {
        violations.push(Violation::new("status", "must be a known status"));
        None
    });
    let size = match request.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size => size,
    };
    if !(1..=PAGE_SIZE_MAX).contains(&size) {
        violations.push(Violation::new("page_size", "must be from 0 to 1000"));
    }
    let filter = Filter {
        customer_id,
        status,
    };
    let before = match request.page_token.as_str() {
        "" => None,
        token => read_token(&filter, token).or_else(|| {
            violations.push(Violation::new(
                "page_token",
                "must be the next_page_token of an answer to the same customer_id and status",
            ));
            None
        }),
    };
    if violations.is_empty() {
        Ok(Page {
            filter,
            before,
            size: usize::try_from(size).unwrap_or_default(),
        })
    } else {
        Err(violations)
    }
}

/// The token of the page that follows the order at `sequence`.
pub(super) fn token(filter: &Filter, sequence: i64) -> String {
    format!("{sequence:x}-{}", mark(filter))
}

fn read_token(filter: &Filter, token: &str) -> Option<i64> {
    let (sequence, marked) = token.split_once('-')?;
    let sequence = i64::from_str_radix(sequence, 16).ok()?;
    (marked == mark(filter)).then_some(sequence)
}

/// A few bytes that tell filters apart, so that a token is refused beside another filter.
fn mark(filter: &Filter) -> String {
    let customer_id = filter.customer_id.as_deref().unwrap_or_default();
    let status = filter.status.map(|status| status.as_str());
    let hash = ContentHash::of(format!("{customer_id}\n{}", status.unwrap_or_default()).as_bytes());
    hash.0[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Status;

    fn fields(request: ListOrdersRequest) -> Vec<String> {
        let violations = parse(request).unwrap_err();
        violations
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    #[test]
    fn nothing_given_is_the_first_page_of_everything() {
        let page = parse(ListOrdersRequest::default()).unwrap();
        assert_eq!(page.filter, Filter::default());
        assert_eq!((page.before, page.size), (None, 100));
    }

    #[test]
    fn a_token_leads_on_within_its_own_list_only() {
        let filter = Filter {
            customer_id: Some("C1".to_owned()),
            status: Some(Status::Pending),
        };
        let request = ListOrdersRequest {
            customer_id: "C1".to_owned(),
            status: contracts::proto::order::Status::Pending.into(),
            page_token: token(&filter, 255),
            ..Default::default()
        };
        assert_eq!(parse(request.clone()).unwrap().before, Some(255));
        let other = ListOrdersRequest {
            customer_id: "C2".to_owned(),
            ..request
        };
        assert_eq!(fields(other), ["page_token"]);
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let request = ListOrdersRequest {
            customer_id: "a b".to_owned(),
            status: 99,
            page_size: 1_001,
            page_token: "é-x".to_owned(),
        };
        assert_eq!(
            fields(request),
            ["customer_id", "status", "page_size", "page_token"]
        );
        let negative = ListOrdersRequest {
            page_size: -1,
            ..Default::default()
        };
        assert_eq!(fields(negative), ["page_size"]);
    }
}
