//! What will run where: the flags of `shop up`, checked, before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Args;
use super::address::Address;
use super::part::Part;

/// Where the store keeps its data unless told otherwise.
const DATA_DIR: &str = "data";
/// Where a process with several parts serves metrics and readiness unless told otherwise.
const HTTP_PORT: u16 = 9100;

/// What runs in this process, and where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The parts that run here.
    pub here: BTreeSet<Part>,
    /// Where each part listens, or is expected when it runs elsewhere.
    pub addresses: BTreeMap<Part, Address>,
    /// Where metrics and readiness are served.
    pub http: Address,
    /// The directory of `log/`, `registry/`, `order.db` and `inventory.db`.
    pub data_dir: PathBuf,
    /// Partitions of every topic.
    pub partitions: i32,
}

/// Flags that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `--without` leaves nothing.
    #[error("--without leaves out every part")]
    Nothing,
    /// A part elsewhere cannot be found at port 0.
    #[error("{part} runs elsewhere and {by} needs it: {flag} must name its port")]
    PortOfAbsentPart {
        /// The part that runs elsewhere.
        part: Part,
        /// A part that runs here and calls it.
        by: Part,
        /// The flag with its address.
        flag: &'static str,
    },
}

impl Plan {
    /// The plan that the flags make.
    ///
    /// # Errors
    /// When they do not go together.
    pub fn new(args: &Args) -> Result<Self, Error> {
        let here: BTreeSet<Part> = if args.only.is_empty() {
            let left_out = |part: &Part| !args.without.contains(part);
            Part::ALL.into_iter().filter(left_out).collect()
        } else {
            args.only.iter().copied().collect()
        };
        let addresses = Part::ALL.map(|part| {
            let given = args.listen(part).cloned();
            (part, given.unwrap_or_else(|| part.default_address()))
        });
        let default_http = || match here.iter().collect::<Vec<_>>()[..] {
            [part] => part.default_http(),
            _ => Address::local(HTTP_PORT),
        };
        let plan = Self {
            addresses: BTreeMap::from(addresses),
            http: args.listen_http.clone().unwrap_or_else(default_http),
            data_dir: args.data_dir.clone().unwrap_or_else(|| DATA_DIR.into()),
            partitions: args.partitions,
            here,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Error> {
        if self.here.is_empty() {
            return Err(Error::Nothing);
        }
        for &by in &self.here {
            for &part in by.needs() {
                if !self.here.contains(&part) && self.addresses[&part].port() == 0 {
                    let flag = part.flag();
                    return Err(Error::PortOfAbsentPart { part, by, flag });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut Args)) -> Result<Plan, Error> {
        let mut args = Args::default();
        change(&mut args);
        Plan::new(&args)
    }

    #[test]
    fn without_flags_everything_runs_at_the_documented_places() {
        let plan = plan(|_| {}).unwrap();
        assert_eq!(plan.here, Part::ALL.into_iter().collect());
        let places: Vec<_> = plan
            .addresses
            .iter()
            .map(|(part, address)| format!("{part} {address}"))
            .collect();
        assert_eq!(
            places,
            [
                "gateway 127.0.0.1:8900",
                "order 127.0.0.1:8902",
                "inventory 127.0.0.1:8901",
                "log 127.0.0.1:9092",
                "registry 127.0.0.1:8081",
            ]
        );
        assert_eq!(plan.http.to_string(), "127.0.0.1:9100");
        assert_eq!(plan.data_dir, PathBuf::from("data"));
        assert_eq!(plan.partitions, 4);
    }

    #[test]
    fn a_single_part_runs_beside_the_others() {
        let others = plan(|args| args.without = vec![Part::Inventory]).unwrap();
        let single = plan(|args| args.only = vec![Part::Inventory]).unwrap();
        assert!(others.here.is_disjoint(&single.here));
        assert_eq!(others.addresses, single.addresses);
        assert_ne!(others.http, single.http);
    }

    #[test]
    fn a_part_elsewhere_must_have_a_port() {
        let error = plan(|args| {
            args.without = vec![Part::Log];
            args.listen_log = Some(Address::local(0));
        });
        assert_eq!(
            error.unwrap_err().to_string(),
            "log runs elsewhere and gateway needs it: --listen-log must name its port"
        );
        plan(|args| {
            args.only = vec![Part::Log];
            args.listen_gateway = Some(Address::local(0));
        })
        .unwrap();
    }

    #[test]
    fn nothing_is_no_plan() {
        let error = plan(|args| args.without = Part::ALL.to_vec());
        assert_eq!(error, Err(Error::Nothing));
    }
}
