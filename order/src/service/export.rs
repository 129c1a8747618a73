//! All orders, for an audit: page by page, each as committed when it is read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::order_audit_service_server::OrderAuditService;
use contracts::proto::{ExportOrdersRequest, ExportOrdersResponse, OrderRow};
use futures::stream::{self, Stream, StreamExt};
use messaging::status;
use messaging::store::Error;
use tonic::{Request, Response, Status};

use super::{convert, refuse};
use crate::domain::Order;
use crate::limits::{EXPORT_IDS_MAX, EXPORT_ROWS};
use crate::store::Export;

/// Reads Order's rows whole.
#[derive(Clone)]
pub struct OrderExport {
    export: Arc<dyn Export>,
}

impl OrderExport {
    /// Reads through `export`.
    #[must_use]
    pub fn new(export: Arc<dyn Export>) -> Self {
        Self { export }
    }
}

/// What is left to read.
enum Rest {
    /// Orders behind this sequence.
    After(i64),
    /// Named orders.
    Named(VecDeque<String>),
}

#[tonic::async_trait]
impl OrderAuditService for OrderExport {
    type ExportOrdersStream =
        Pin<Box<dyn Stream<Item = Result<ExportOrdersResponse, Status>> + Send>>;

    async fn export_orders(
        &self,
        request: Request<ExportOrdersRequest>,
    ) -> Result<Response<Self::ExportOrdersStream>, Status> {
        let order_ids = request.into_inner().order_ids;
        if order_ids.len() > EXPORT_IDS_MAX {
            let violation =
                contracts::validate::Violation::new("order_ids", "must name at most 1000");
            return refuse(vec![violation]);
        }
        let rest = match order_ids.is_empty() {
            true => Rest::After(0),
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
) -> Result<Option<(ExportOrdersResponse, Rest)>, Error> {
    match rest {
        Rest::After(after) => {
            let listed = export.after(after, EXPORT_ROWS).await?;
            let Some(last) = listed.last() else {
                return Ok(None);
            };
            let rest = Rest::After(last.sequence);
            let rows = listed.iter().map(|listed| row(&listed.order)).collect();
            Ok(Some((ExportOrdersResponse { rows }, rest)))
        }
        Rest::Named(mut order_ids) => {
            let some: Vec<_> = order_ids
                .drain(..order_ids.len().min(EXPORT_ROWS))
                .collect();
            if some.is_empty() {
                return Ok(None);
            }
            let rows = export.of(&some).await?.iter().map(row).collect();
            Ok(Some((
                ExportOrdersResponse { rows },
                Rest::Named(order_ids),
            )))
        }
    }
}

fn row(order: &Order) -> OrderRow {
    OrderRow {
        reservation_version: order.reservation_version,
        order: Some(convert::order(order)),
    }
}
