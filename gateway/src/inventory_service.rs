//! `shop.v1.InventoryService`: receipts into the log, queries to the inventory service.

use contracts::proto::inventory_service_server::InventoryService;
use contracts::proto::{
    GetStockRequest, GetStockResponse, ListStockRequest, ListStockResponse, ReceiveStockRequest,
    ReceiveStockResponse,
};
use messaging::server::Deadline;
use tonic::{Request, Response, Status};

use crate::commands::Commands;
use crate::origin::Origin;
use crate::queries::StockQueries;
use crate::visitor::Door;
use crate::{limits, request};

/// The public inventory service.
pub struct Inventory {
    pub(crate) door: Door,
    pub(crate) commands: Commands,
    pub(crate) queries: StockQueries,
}

#[tonic::async_trait]
impl InventoryService for Inventory {
    async fn receive_stock(
        &self,
        request: Request<ReceiveStockRequest>,
    ) -> Result<Response<ReceiveStockResponse>, Status> {
        let deadline = Deadline::of(&request);
        let visitor = self.door.enter(&request)?;
        // A receipt is recognised by its receipt_id; the message's own id is always fresh.
        let mut origin = Origin::new("", visitor);
        let command = request::receive(request.into_inner())?;
        let message_id = self.commands.name(&mut origin);
        let budget = limits::budget(deadline.remaining());
        self.commands
            .submit(&command, &message_id, &origin, budget)
            .await?;
        Ok(Response::new(ReceiveStockResponse {
            receipt_id: command.receipt_id,
            product_id: command.product_id,
        }))
    }

    async fn get_stock(
        &self,
        request: Request<GetStockRequest>,
    ) -> Result<Response<GetStockResponse>, Status> {
        let deadline = Deadline::of(&request);
        let visitor = self.door.enter(&request)?;
        request::id("product_id", &request.get_ref().product_id)?;
        self.queries
            .get(request.into_inner(), &visitor, deadline)
            .await
    }

    async fn list_stock(
        &self,
        request: Request<ListStockRequest>,
    ) -> Result<Response<ListStockResponse>, Status> {
        let deadline = Deadline::of(&request);
        let visitor = self.door.enter(&request)?;
        self.queries
            .list(request.into_inner(), &visitor, deadline)
            .await
    }
}
