//! Whose orders the caller of a query may see.

use contracts::access::OPERATIONS;
use messaging::auth::Caller;
use tonic::Request;

use crate::domain::Order;
use crate::store::Filter;

/// Who looks. What the gateway says and what the caller's own token says must both allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Viewer {
    /// The customers whose orders alone are seen; none of two different ones is.
    only: Vec<String>,
}

impl Viewer {
    /// The caller of `request`, who asks for the orders of `customer_id` alone, if of anyone's.
    pub(super) fn of<T>(request: &Request<T>, customer_id: Option<&str>) -> Self {
        let caller = Caller::of(request);
        let bound = caller.as_ref().map(Caller::claims);
        let bound = bound.filter(|claims| !claims.has(OPERATIONS));
        let subject = bound.map(|claims| claims.subject.as_str());
        Self {
            only: subject
                .into_iter()
                .chain(customer_id)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Whether this order exists for the viewer.
    pub(super) fn sees(&self, order: &Order) -> bool {
        self.only.iter().all(|one| *one == order.placed.customer_id)
    }

    /// Whether the viewer may see all that `filter` lets through.
    pub(super) fn lists(&self, filter: &Filter) -> bool {
        let customer_id = filter.customer_id.as_ref();
        self.only.iter().all(|one| customer_id == Some(one))
    }
}
