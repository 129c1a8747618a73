//! Who calls, and whose orders that concerns: decided here for every call.
//!
//! Without authentication there is no caller: everybody acts for every customer, as on a laptop.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::access::OPERATIONS;
use contracts::limits::is_id;
use contracts::proto::{ListOrdersRequest, PlaceOrderRequest};
use messaging::auth::Caller;
use messaging::status;
use messaging::telemetry::Metric;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Status};

use crate::origin::Trace;
use crate::rate::{Buckets, Rate};

/// The metrics of this crate.
pub const METRICS: &[Metric] = &[Metric::counter(
    "gateway_customer_limited_total",
    &[],
    "Calls refused with RESOURCE_EXHAUSTED because a customer made more than its rate allows.",
)
.only_after("a customer has made too many calls")];

/// Lets callers in, each customer no more often than its rate allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Door {
    buckets: Option<Arc<Mutex<Buckets>>>,
}

impl Door {
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            buckets: rate.map(|rate| Arc::new(Mutex::new(Buckets::new(rate)))),
        }
    }

    /// Who makes the call, which counts as one.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with the time to wait (RetryInfo).
    pub(crate) fn enter<T>(&self, request: &Request<T>) -> Result<Visitor, Status> {
        let visitor = Visitor::of(request);
        self.count(&visitor)?;
        Ok(visitor)
    }

    /// Counts one call of `visitor`. Nobody is counted whom no token names.
    ///
    /// # Errors
    /// As [`Door::enter`].
    pub(crate) fn count(&self, visitor: &Visitor) -> Result<(), Status> {
        let (Some(buckets), Some(caller)) = (&self.buckets, &visitor.caller) else {
            return Ok(());
        };
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = buckets.take(&caller.claims().subject, Instant::now());
        taken.map_err(|wait| {
            metrics::counter!("gateway_customer_limited_total").increment(1);
            status::exhausted_for("this customer makes too many calls; wait a moment", wait)
        })
    }
}

/// Who makes a call, if a token says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    caller: Option<Caller>,
    trace: Trace,
}

impl Visitor {
    /// The caller of `request`, not counted.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        Self {
            caller: Caller::of(request),
            trace: Trace::of(request.metadata()),
        }
    }

    /// The trace that the call belongs to.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The token's subject.
    pub(crate) fn subject(&self) -> Option<&str> {
        let caller = self.caller.as_ref()?;
        Some(&caller.claims().subject)
    }

    /// The customer in whose name this acts; `None`: in everybody's.
    ///
    /// # Errors
    /// PERMISSION_DENIED when the subject cannot be a customer.
    pub(crate) fn customer(&self) -> Result<Option<&str>, Status> {
        match self.subject() {
            Some(subject) if !is_id(subject) => Err(Status::permission_denied(
                "the token's subject is no customer; one matches [A-Za-z0-9._-]{1,64}",
            )),
            subject => Ok(subject),
        }
    }

    /// The customer whose orders alone this sees; `None`: everybody's. The people who run the store
    /// see all of them.
    pub(crate) fn sees_only(&self) -> Option<String> {
        let claims = self.caller.as_ref()?.claims();
        (!claims.has(OPERATIONS)).then(|| claims.subject.clone())
    }

    /// The request for an order, of this customer: an empty `customer_id` becomes the subject.
    ///
    /// # Errors
    /// PERMISSION_DENIED when it is another customer's.
    pub(crate) fn ordering(
        &self,
        mut request: PlaceOrderRequest,
    ) -> Result<PlaceOrderRequest, Status> {
        if let (Some(customer), Some(order)) = (self.customer()?, &mut request.order) {
            own(customer, &mut order.customer_id, "order.customer_id")?;
        }
        Ok(request)
    }

    /// The request for a list, of what this may see.
    ///
    /// # Errors
    /// PERMISSION_DENIED when it is for another customer's orders.
    pub(crate) fn listing(
        &self,
        mut request: ListOrdersRequest,
    ) -> Result<ListOrdersRequest, Status> {
        if self.sees_only().is_some()
            && let Some(customer) = self.customer()?
        {
            own(customer, &mut request.customer_id, "customer_id")?;
        }
        Ok(request)
    }

    /// Makes a call of the services in this caller's name, and in its trace: they look at the token
    /// themselves.
    pub(crate) fn sign(&self, metadata: &mut MetadataMap) {
        self.trace.pass_on(metadata);
        let bearer = self
            .caller
            .as_ref()
            .map(|caller| caller.bearer().as_bytes());
        // What came as a header is one.
        if let Some(Ok(mut bearer)) = bearer.map(MetadataValue::<Ascii>::try_from) {
            bearer.set_sensitive(true);
            metadata.insert("authorization", bearer);
        }
    }
}

fn own(customer: &str, given: &mut String, field: &str) -> Result<(), Status> {
    if given.is_empty() {
        customer.clone_into(given);
    }
    if given == customer {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "{field} is not the token's subject; leave it out, or give that"
    )))
}
