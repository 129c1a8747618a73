//! The gRPC service: what the gateway asks of Inventory.

use std::sync::Arc;

use contracts::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, is_id};
use contracts::proto::stock_query_service_server::StockQueryService;
use contracts::proto::{
    GetStockResponse, ListStockRequest, ListStockResponse, StockLevel,
    StockQueryServiceGetStockRequest, StockQueryServiceGetStockResponse,
    StockQueryServiceListStockRequest, StockQueryServiceListStockResponse,
};
use contracts::validate::{self, Violation};
use messaging::status;
use tonic::{Request, Response, Status};

use crate::domain::stock::Stock;
use crate::store::Queries;

pub mod export;

/// Answers queries from committed stock.
#[derive(Clone)]
pub struct StockQueries {
    queries: Arc<dyn Queries>,
}

impl StockQueries {
    /// Reads through `queries`.
    #[must_use]
    pub fn new(queries: Arc<dyn Queries>) -> Self {
        Self { queries }
    }
}

#[tonic::async_trait]
impl StockQueryService for StockQueries {
    async fn get_stock(
        &self,
        request: Request<StockQueryServiceGetStockRequest>,
    ) -> Result<Response<StockQueryServiceGetStockResponse>, Status> {
        let product_id = request.into_inner().request.unwrap_or_default().product_id;
        check(validate::id("product_id", &product_id))?;
        let found = self.queries.stock(&product_id).await;
        match found.map_err(|error| status::of_store(&error))? {
            Some(stock) => Ok(Response::new(StockQueryServiceGetStockResponse {
                response: Some(GetStockResponse {
                    stock: Some(level(product_id, stock)),
                }),
            })),
            None => Err(Status::not_found(format!(
                "product {product_id} was never received; a receipt accepted a moment ago may \
                 still be on its way"
            ))),
        }
    }

    async fn list_stock(
        &self,
        request: Request<StockQueryServiceListStockRequest>,
    ) -> Result<Response<StockQueryServiceListStockResponse>, Status> {
        let request = request.into_inner().request.unwrap_or_default();
        let size = page_size(&request)?;
        // One more than asked for tells whether another page follows.
        let listed = self.queries.page(&request.page_token, size + 1).await;
        let mut stock: Vec<_> = listed
            .map_err(|error| status::of_store(&error))?
            .into_iter()
            .map(|(product, stock)| level(product.to_string(), stock))
            .collect();
        let more = stock.len() > size as usize;
        stock.truncate(size as usize);
        let next_page_token = match stock.last() {
            Some(last) if more => last.product_id.clone(),
            _ => String::new(),
        };
        Ok(Response::new(StockQueryServiceListStockResponse {
            response: Some(ListStockResponse {
                stock,
                next_page_token,
            }),
        }))
    }
}

/// The size of the page asked for. A page token is the last product id of the page before.
fn page_size(request: &ListStockRequest) -> Result<u32, Status> {
    let size = match request.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size => size,
    };
    let size = u32::try_from(size)
        .ok()
        .filter(|_| (1..=PAGE_SIZE_MAX).contains(&size));
    let bad_size = size
        .is_none()
        .then(|| Violation::new("page_size", "must be from 1 to 1000, or 0 for 100"));
    let token = &request.page_token;
    let bad_token = (!token.is_empty() && !is_id(token)).then(|| {
        Violation::new(
            "page_token",
            "must be the next_page_token of an earlier answer",
        )
    });
    check(bad_size.into_iter().chain(bad_token))?;
    Ok(size.unwrap_or_default())
}

fn check(violations: impl IntoIterator<Item = Violation>) -> Result<(), Status> {
    let violations: Vec<_> = violations
        .into_iter()
        .map(|violation| status::Violation {
            field: violation.field,
            description: violation.description,
        })
        .collect();
    if violations.is_empty() {
        return Ok(());
    }
    Err(status::invalid(violations))
}

fn level(product_id: String, stock: Stock) -> StockLevel {
    StockLevel {
        product_id,
        on_hand: stock.on_hand,
        reserved: stock.reserved,
        available: stock.available(),
        version: stock.version,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use contracts::proto::GetStockRequest;
    use messaging::store::{Error, ErrorKind};
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;
    use crate::domain::ids::ProductId;

    /// Queries on rows given by the test; `None` is a database that fails.
    struct Rows(Option<BTreeMap<String, Stock>>);

    impl Rows {
        fn rows(&self) -> Result<&BTreeMap<String, Stock>, Error> {
            let failed = || Error::new(ErrorKind::Retry, "query stock", "secret of the driver");
            self.0.as_ref().ok_or_else(failed)
        }
    }

    #[async_trait]
    impl Queries for Rows {
        async fn stock(&self, product_id: &str) -> Result<Option<Stock>, Error> {
            Ok(self.rows()?.get(product_id).copied())
        }

        async fn page(&self, after: &str, limit: u32) -> Result<Vec<(ProductId, Stock)>, Error> {
            let behind = self.rows()?.iter().filter(|(id, _)| id.as_str() > after);
            let page = behind.map(|(id, stock)| (ProductId::from(id), *stock));
            Ok(page.take(limit as usize).collect())
        }
    }

    fn service(products: &[&str]) -> StockQueries {
        let stock = Stock {
            on_hand: 10,
            reserved: 3,
            version: 2,
        };
        let rows = products
            .iter()
            .map(|id| ((*id).to_owned(), stock))
            .collect();
        StockQueries::new(Arc::new(Rows(Some(rows))))
    }

    async fn get(service: &StockQueries, id: &str) -> Result<StockLevel, Status> {
        let request = StockQueryServiceGetStockRequest {
            request: Some(GetStockRequest {
                product_id: id.to_owned(),
            }),
        };
        let answer = service.get_stock(Request::new(request)).await?;
        Ok(answer.into_inner().response.unwrap().stock.unwrap())
    }

    async fn list(
        service: &StockQueries,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<String>, String), Status> {
        let request = StockQueryServiceListStockRequest {
            request: Some(ListStockRequest {
                page_size,
                page_token: page_token.to_owned(),
            }),
        };
        let answer = service.list_stock(Request::new(request)).await?;
        let answer = answer.into_inner().response.unwrap();
        let ids = answer.stock.into_iter().map(|level| level.product_id);
        Ok((ids.collect(), answer.next_page_token))
    }

    fn bad_fields(status: &Status) -> Vec<String> {
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        violations.iter().map(|bad| bad.field.clone()).collect()
    }

    #[tokio::test]
    async fn a_known_product_shows_what_is_available() {
        let level = get(&service(&["A"]), "A").await.unwrap();
        assert_eq!(
            (
                level.on_hand,
                level.reserved,
                level.available,
                level.version
            ),
            (10, 3, 7, 2)
        );
    }

    #[tokio::test]
    async fn an_unknown_product_is_not_found_and_a_bad_id_is_named() {
        let service = service(&["A"]);
        assert_eq!(get(&service, "B").await.unwrap_err().code(), Code::NotFound);
        assert_eq!(
            bad_fields(&get(&service, "B C").await.unwrap_err()),
            ["product_id"]
        );
    }

    #[tokio::test]
    async fn pages_follow_each_other_and_the_last_one_says_so() {
        let service = service(&["A", "B", "C", "D"]);
        let (first, token) = list(&service, 2, "").await.unwrap();
        assert_eq!((first, token.as_str()), (vec!["A".into(), "B".into()], "B"));
        let (second, token) = list(&service, 2, &token).await.unwrap();
        assert_eq!((second, token.as_str()), (vec!["C".into(), "D".into()], ""));
        let (all, token) = list(&service, 0, "").await.unwrap();
        assert_eq!((all.len(), token.as_str()), (4, ""));
    }

    #[tokio::test]
    async fn every_bad_field_of_a_list_call_is_named_at_once() {
        let service = service(&[]);
        for size in [-1, 1_001] {
            let status = list(&service, size, "no such").await.unwrap_err();
            assert_eq!(bad_fields(&status), ["page_size", "page_token"]);
        }
    }

    #[tokio::test]
    async fn a_database_that_fails_is_unavailable_without_details() {
        let service = StockQueries::new(Arc::new(Rows(None)));
        let status = get(&service, "A").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!format!("{status:?}").contains("secret"));
    }
}
