//! The parts of the store, by the names that flags and files use.

use std::fmt;

use clap::ValueEnum;

use super::address::Address;

/// A part that runs in this process or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Part {
    /// The public gRPC API.
    Gateway,
    /// Orders: consumer, tables, queries.
    Order,
    /// Stock: consumer, tables, queries.
    Inventory,
    /// The embedded log.
    Log,
    /// The embedded schema registry.
    Registry,
}

impl Part {
    /// All parts, as banner and ready file list them.
    pub const ALL: [Self; 5] = [
        Self::Gateway,
        Self::Order,
        Self::Inventory,
        Self::Log,
        Self::Registry,
    ];

    /// Its name in flags, in the ready file and in `/readyz`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Log => "log",
            Self::Registry => "registry",
        }
    }

    /// The flag with its address.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Gateway => "--listen-gateway",
            Self::Order => "--listen-order",
            Self::Inventory => "--listen-inventory",
            Self::Log => "--listen-log",
            Self::Registry => "--listen-registry",
        }
    }

    /// Where it listens unless told otherwise.
    #[must_use]
    pub fn default_address(self) -> Address {
        Address::local(match self {
            Self::Gateway => 8900,
            Self::Inventory => 8901,
            Self::Order => 8902,
            Self::Log => 9092,
            Self::Registry => 8081,
        })
    }

    /// Where a process that runs only this part serves metrics and readiness unless told
    /// otherwise: beside the one that runs the others.
    #[must_use]
    pub fn default_http(self) -> Address {
        Address::local(match self {
            Self::Inventory => 9101,
            Self::Order => 9102,
            Self::Gateway => 9103,
            Self::Log => 9104,
            Self::Registry => 9105,
        })
    }

    /// The parts that it calls.
    #[must_use]
    pub fn needs(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[Self::Order, Self::Inventory, Self::Log, Self::Registry],
            Self::Order | Self::Inventory => &[Self::Log, Self::Registry],
            Self::Log | Self::Registry => &[],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
