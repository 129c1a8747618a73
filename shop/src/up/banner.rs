//! What `shop up` says once everything serves.

use std::fmt::{self, Write};

use super::part::Part;
use super::store::Store;

/// How the user starts this program: through cargo in a checkout, or by its own name.
fn program() -> String {
    if std::env::var_os("CARGO").is_some() {
        return "cargo shop".to_owned();
    }
    std::env::args().next().unwrap_or_else(|| "shop".to_owned())
}

fn purpose(part: Part) -> &'static str {
    match part {
        Part::Gateway => "gRPC: the public API, reflection, health",
        Part::Order => "gRPC: queries, operators' calls, health",
        Part::Inventory => "gRPC: queries, operators' calls, health",
        Part::Log => "Kafka protocol",
        Part::Registry => "Confluent schema registry API",
    }
}

/// Where each thing listens, and three commands to paste next.
pub(super) fn text(store: &Store, seeded: bool) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let plan = store.plan();
    write!(out, "\nThe store is ready: pid {}", std::process::id())?;
    if plan.uses_data_dir() {
        write!(out, ", data in {}", plan.data_dir.display())?;
    }
    writeln!(out, "\n")?;
    for part in Part::ALL {
        let place = place(store, part);
        let what = match store.here(part) {
            Some(_) => purpose(part),
            None => "runs elsewhere, expected here",
        };
        let what = match plan.elsewhere.store(part) {
            Some((_, database)) if plan.here.contains(&part) => {
                format!("{what}; data in {database}")
            }
            _ => what.to_owned(),
        };
        writeln!(out, "  {:<10} {place:<22} {what}", part.name())?;
    }
    let http = store.http().to_string();
    writeln!(out, "  {:<10} {http:<22} /metrics /livez /readyz", "http")?;
    if seeded {
        writeln!(out, "\nIn stock: {}", stock())?;
    }
    writeln!(out, "\nTry next, in another terminal:\n")?;
    for command in commands(store) {
        writeln!(out, "  {command}")?;
    }
    writeln!(out, "\nCtrl-C stops it.")?;
    Ok(out)
}

/// Where it is, without what every address of its kind begins with.
fn place(store: &Store, part: Part) -> String {
    let endpoint = store.plan().endpoint(part);
    let place = endpoint.strip_prefix("http://");
    place.unwrap_or(&endpoint).to_owned()
}

fn stock() -> String {
    let products = crate::seed::STOCK.map(|(product, quantity)| format!("{quantity} {product}"));
    products.join(", ")
}

/// Commands that work as they stand: addresses are named where they are not the defaults.
fn commands(store: &Store) -> [String; 3] {
    let program = program();
    let option = |flag: &str, part: Part| {
        if place(store, part) == part.default_address().to_string() {
            String::new()
        } else {
            format!(" {flag} {}", store.plan().endpoint(part))
        }
    };
    let tls = store.plan().tls.as_ref().and_then(|dir| dir.client().ca);
    let tls = tls
        .map(|ca| format!(" --ca {}", ca.display()))
        .unwrap_or_default();
    let gateway = option("--gateway", Part::Gateway);
    let log = option("--log", Part::Log);
    let registry = option("--registry", Part::Registry);
    [
        format!("{program} place examples/order-1.json --wait RESERVED{gateway}{tls}"),
        format!("{program} stock{gateway}{tls}"),
        format!("{program} tail --from-start{log}{registry}"),
    ]
}
