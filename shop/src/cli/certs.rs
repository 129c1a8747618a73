//! `shop certs`.

use std::io::{Write, stdout};
use std::path::PathBuf;

use messaging::clock::{Clock, SystemClock};

use crate::certs::{self, Existing};
use crate::exit::{Exit, Failure};

/// The flags of `shop certs`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to put the files; it is made if need be.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,

    /// A further name or address of the machines that serve, beside localhost, 127.0.0.1 and ::1.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Keep the authority that is there, and make new certificates from it.
    #[arg(long)]
    renew: bool,

    /// Replace everything that is there, the authority too.
    #[arg(long, conflicts_with = "renew")]
    force: bool,
}

/// Makes the files, and says what they are good for.
pub(super) fn certs(args: &Args) -> Result<(), Failure> {
    let existing = match (args.renew, args.force) {
        (true, _) => Existing::Renew,
        (_, true) => Existing::Replace,
        _ => Existing::Refuse,
    };
    let made = certs::make(&args.out, &args.hosts, existing, SystemClock.now());
    made.map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
    let dir = args.out.display();
    let days = certs::LEAF_LASTS.as_secs() / (24 * 60 * 60);
    let text = format!(
        "\
Made in {dir}, for development: whoever has ca.key can pose as any server.
Valid for {days} days; then: shop certs --out {dir} --renew (a running store takes them as they come)

  the store             shop up --tls-dir {dir}
  the public API        --gateway https://localhost:8900 --ca {dir}/ca.pem
  the services          --ca {dir}/ca.pem --cert {dir}/client.pem --cert-key {dir}/client.key
  a gateway alone       --tls-cert {dir}/server.pem --tls-key {dir}/server.key
                        --services-ca {dir}/ca.pem --services-cert {dir}/gateway.pem
                        --services-key {dir}/gateway.key
  a service alone       --tls-cert {dir}/server.pem --tls-key {dir}/server.key
                        --tls-client-ca {dir}/ca.pem
"
    );
    Ok(stdout().write_all(text.as_bytes())?)
}
