//! All reservations, for an audit: page by page, each as committed when it is read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::inventory_audit_service_server::InventoryAuditService;
use contracts::proto::reservation_row::Line;
use contracts::proto::{ExportReservationsRequest, ExportReservationsResponse, ReservationRow};
use contracts::time;
use contracts::validate::Violation;
use futures::stream::{self, Stream, StreamExt};
use messaging::status;
use messaging::store::Error;
use tonic::{Request, Response, Status};

use super::check;
use crate::domain::reservation::Reservation;
use crate::limits::{EXPORT_IDS_MAX, EXPORT_ROWS};
use crate::store::Export;

/// Reads Inventory's reservations whole.
#[derive(Clone)]
pub struct ReservationExport {
    export: Arc<dyn Export>,
}

impl ReservationExport {
    /// Reads through `export`.
    #[must_use]
    pub fn new(export: Arc<dyn Export>) -> Self {
        Self { export }
    }
}

/// What is left to read.
enum Rest {
    /// Reservations behind that of this order.
    After(String),
    /// Those of named orders.
    Named(VecDeque<String>),
}

#[tonic::async_trait]
impl InventoryAuditService for ReservationExport {
    type ExportReservationsStream =
        Pin<Box<dyn Stream<Item = Result<ExportReservationsResponse, Status>> + Send>>;

    async fn export_reservations(
        &self,
        request: Request<ExportReservationsRequest>,
    ) -> Result<Response<Self::ExportReservationsStream>, Status> {
        let order_ids = request.into_inner().order_ids;
        let too_many = order_ids.len() > EXPORT_IDS_MAX;
        check(too_many.then(|| Violation::new("order_ids", "must name at most 1000")))?;
        let rest = match order_ids.is_empty() {
            true => Rest::After(String::new()),
            false => Rest::Named(order_ids.into()),
        };
        let export = Arc::clone(&self.export);
        let pages = stream::unfold(Some((export, rest)), async |open| {
            let (export, rest) = open?;
            match next(&*export, rest).await {
                Ok(None) => None,
                Ok(Some((page, rest))) => Some((Ok(page), Some((export, rest)))),
                Err(error) => Some((Err(status::of_store(&error)), None)),
            }
        });
        Ok(Response::new(pages.boxed()))
    }
}

/// The next page, and what is left behind it; `None` at the end.
async fn next(
    export: &dyn Export,
    rest: Rest,
) -> Result<Option<(ExportReservationsResponse, Rest)>, Error> {
    match rest {
        Rest::After(after) => {
            let found = export.after(&after, EXPORT_ROWS).await?;
            let Some(last) = found.last() else {
                return Ok(None);
            };
            let rest = Rest::After(last.order_id.to_string());
            let rows = found.iter().map(|one| row(one, Vec::new())).collect();
            Ok(Some((ExportReservationsResponse { rows }, rest)))
        }
        Rest::Named(mut order_ids) => {
            let some: Vec<_> = order_ids
                .drain(..order_ids.len().min(EXPORT_ROWS))
                .collect();
            if some.is_empty() {
                return Ok(None);
            }
            let found = export.of(&some).await?.into_iter();
            let rows = found.map(|one| row(&one.reservation, one.places)).collect();
            Ok(Some((
                ExportReservationsResponse { rows },
                Rest::Named(order_ids),
            )))
        }
    }
}

fn row(reservation: &Reservation, places: Vec<i64>) -> ReservationRow {
    let line = |(product, quantity): (&crate::domain::ids::ProductId, &i32)| Line {
        product_id: product.to_string(),
        quantity: *quantity,
    };
    ReservationRow {
        order_id: reservation.order_id.to_string(),
        order_version: reservation.order_version,
        version: reservation.version,
        status: reservation.status.as_str().to_owned(),
        position: reservation.position.unwrap_or(0),
        fulfilment: reservation.fulfilment.unwrap_or(0),
        lines: reservation.lines.iter().map(line).collect(),
        short: reservation.short.iter().map(ToString::to_string).collect(),
        places,
        reserve_by: reservation.reserve_by.map(time::shown),
    }
}
