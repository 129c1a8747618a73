//! The shape of a load: what `shop load` and `shop load limits` have in common.

use std::time::Duration;

use ::load::plan::{Names, Plan, Until, Way};

/// Callers that share a connection.
const CALLERS_PER_CONNECTION: usize = 32;

/// Who calls, how, and for what.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Shape {
    /// Callers that place orders one after the other (closed loop).
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) callers: u16,

    /// Place over streams (PlaceOrders), one per caller, instead of a call per order.
    #[arg(long)]
    pub(super) stream: bool,

    /// Products that the orders are of.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) products: u16,

    /// Skew of the products by Zipf's law: 0 takes all alike, 1 the second half as often as the first.
    #[arg(long, value_name = "EXPONENT", default_value_t = 0.0, value_parser = skew)]
    pub(super) skew: f64,

    /// Name orders at random, not by time.
    #[arg(long)]
    pub(super) random_ids: bool,

    /// What the dice begin with.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
}

impl Shape {
    /// A closed loop of plain orders that lasts for `time`.
    pub(super) fn plan(&self, time: Duration) -> Plan {
        Plan {
            way: if self.stream { Way::Stream } else { Way::Unary },
            skew: self.skew,
            names: match self.random_ids {
                true => Names::Random,
                false => Names::Rising,
            },
            seed: self.seed,
            ..Plan::plain(self.callers.into(), self.products.into(), Until::Time(time))
        }
    }

    /// Connections that the callers share.
    pub(super) fn connections(&self) -> usize {
        usize::from(self.callers).div_ceil(CALLERS_PER_CONNECTION)
    }
}

fn skew(text: &str) -> Result<f64, String> {
    let skew = text.parse().ok().filter(|skew| (0.0..=10.0).contains(skew));
    skew.ok_or_else(|| "an exponent is a number from 0 to 10".to_owned())
}
