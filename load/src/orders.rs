//! The orders to place, one after the other, and the stock that they need.

use std::sync::Arc;

use contracts::proto::order::OnShortage;
use contracts::proto::{Order, OrderLine, PlaceOrderRequest, ReceiveStockRequest};
use messaging::ids::Ids;

use crate::dice::{Dice, Zipf};
use crate::plan::{Names, Plan};

/// Most that one receipt books in.
const RECEIPT_MAX: i32 = 1_000_000;
/// Receipts of each product.
const RECEIPTS: u32 = 5;
/// How far back a repetition reaches.
const REPEATED_MAX: usize = 1_024;
/// The product that there is one of.
const SCARCE: &str = "LOAD_SCARCE";

/// An order to place.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request: PlaceOrderRequest,
    /// Whether it repeats an earlier one, so that nothing new comes of it.
    pub(crate) repeats: bool,
    /// Whether it is to be cancelled when it is acknowledged.
    pub(crate) is_cancelled: bool,
}

impl Call {
    pub(crate) fn order_id(&self) -> &str {
        let order = self.request.order.as_ref();
        order.map_or("", |order| &order.order_id)
    }
}

/// Makes calls by a plan.
pub(crate) struct Orders {
    plan: Plan,
    ids: Arc<dyn Ids>,
    dice: Dice,
    zipf: Zipf,
    /// Earlier orders, for repetitions; the oldest makes room.
    earlier: Vec<Order>,
    placed: usize,
}

impl Orders {
    pub(crate) fn new(plan: &Plan, ids: Arc<dyn Ids>) -> Self {
        Self {
            dice: Dice::new(plan.seed),
            zipf: Zipf::new(plan.products, plan.skew),
            plan: plan.clone(),
            ids,
            earlier: Vec::new(),
            placed: 0,
        }
    }

    /// The receipts without which no order would be reserved.
    pub(crate) fn stock(&self) -> Vec<ReceiveStockRequest> {
        let receipt = |product_id: String, quantity: i32| ReceiveStockRequest {
            receipt_id: self.ids.fresh().to_string(),
            product_id,
            quantity,
        };
        let plenty = (0..self.plan.products)
            .flat_map(|n| (0..RECEIPTS).map(move |_| product(n)))
            .map(|product_id| receipt(product_id, RECEIPT_MAX));
        let scarce = (self.plan.shortages > 0.0).then(|| receipt(SCARCE.to_owned(), 1));
        plenty.chain(scarce).collect()
    }

    pub(crate) fn next(&mut self) -> Call {
        let repeats = !self.earlier.is_empty() && self.dice.happens(self.plan.duplicates);
        let order = if repeats { self.again() } else { self.fresh() };
        Call {
            is_cancelled: !repeats && self.dice.happens(self.plan.cancels),
            request: PlaceOrderRequest {
                request_id: self.ids.fresh().to_string(),
                order: Some(order),
                wait_for: self
                    .plan
                    .waits_for_reserved
                    .then(|| contracts::proto::order::Status::Reserved.into()),
            },
            repeats,
        }
    }

    fn again(&mut self) -> Order {
        let earlier = u64::try_from(self.earlier.len()).unwrap_or(1);
        let drawn = usize::try_from(self.dice.number() % earlier).unwrap_or_default();
        self.earlier[drawn].clone()
    }

    fn fresh(&mut self) -> Order {
        let scarce = self.dice.happens(self.plan.shortages);
        let line = OrderLine {
            product_id: match scarce {
                true => SCARCE.to_owned(),
                false => product(self.zipf.draw(&mut self.dice)),
            },
            quantity: if scarce { 2 } else { 1 },
            unit_price_minor: 1_000,
        };
        let order = Order {
            order_id: self.name(),
            customer_id: "LOAD".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![line],
            on_shortage: match scarce {
                true => OnShortage::Reject.into(),
                false => OnShortage::Backorder.into(),
            },
            ..Order::default()
        };
        if self.plan.duplicates > 0.0 {
            match self.earlier.get_mut(self.placed % REPEATED_MAX) {
                Some(oldest) => *oldest = order.clone(),
                None => self.earlier.push(order.clone()),
            }
        }
        self.placed += 1;
        order
    }

    fn name(&self) -> String {
        match self.plan.names {
            Names::Rising => self.ids.fresh().to_string(),
            Names::Random => format!("{:016x}{:016x}", self.ids.random(), self.ids.random()),
        }
    }
}

fn product(number: usize) -> String {
    format!("LOAD_{number:06}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use messaging::ids::SystemIds;

    use super::*;
    use crate::plan::tests::plan;

    fn orders(plan: &Plan) -> Orders {
        Orders::new(plan, Arc::new(SystemIds))
    }

    fn calls(plan: &Plan) -> Vec<Call> {
        let mut orders = orders(plan);
        (0..10_000).map(|_| orders.next()).collect()
    }

    fn share(calls: &[Call], is: impl Fn(&Call) -> bool) -> f64 {
        let counted = u32::try_from(calls.iter().filter(|call| is(call)).count()).unwrap();
        f64::from(counted) / 10_000.0
    }

    #[test]
    fn a_plain_plan_places_another_order_each_time() {
        let calls = calls(&plan());
        let ids: HashSet<_> = calls.iter().map(Call::order_id).collect();
        assert_eq!(ids.len(), calls.len());
        assert!(calls.iter().all(|call| !call.repeats && !call.is_cancelled));
    }

    #[test]
    fn repetitions_cancellations_and_shortages_come_as_often_as_planned() {
        let calls = calls(&Plan {
            duplicates: 0.2,
            cancels: 0.25,
            shortages: 0.1,
            ..plan()
        });
        let line = |call: &Call| call.request.order.as_ref().unwrap().lines[0].clone();
        for (found, planned) in [
            (share(&calls, |call| call.repeats), 0.2),
            (share(&calls, |call| call.is_cancelled), 0.8 * 0.25),
            (share(&calls, |call| line(call).product_id == SCARCE), 0.1),
        ] {
            assert!((found - planned).abs() < 0.02, "{found} for {planned}");
        }
    }

    #[test]
    fn a_repetition_has_the_content_of_an_earlier_order_and_an_id_of_its_own() {
        let mut placed = HashSet::new();
        for call in calls(&Plan {
            duplicates: 0.5,
            ..plan()
        }) {
            assert_eq!(call.repeats, placed.contains(call.order_id()));
            placed.insert(call.order_id().to_owned());
        }
    }

    #[test]
    fn there_is_stock_of_every_product() {
        let orders = orders(&Plan {
            products: 3,
            shortages: 0.1,
            ..plan()
        });
        let products: HashSet<_> = orders
            .stock()
            .into_iter()
            .map(|receipt| receipt.product_id)
            .collect();
        assert_eq!(products.len(), 4);
    }
}
