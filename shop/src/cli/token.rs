//! `shop token`: tokens for development, without an identity provider.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messaging::auth::Expected;
use messaging::auth::issuer::{Grant, Issuer};
use messaging::clock::{Clock, SystemClock};

use crate::exit::{Exit, Failure};

/// The private key's file; whoever reads it can be anybody.
const KEY: &str = "key.pkcs8";
/// The file that --auth-jwks names.
const JWKS: &str = "jwks.json";

/// The flags of `shop token`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whom it is about: the customer.
    #[arg(long, value_name = "ID")]
    subject: String,

    /// What it allows beside own orders: stock, operations, or both, separated by commas.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = ["stock", "operations"])]
    scope: Vec<String>,

    /// How long it holds: a number with s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    ttl: Duration,

    /// Where the key is kept, beside jwks.json for --auth-jwks; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "data/keys")]
    key_dir: PathBuf,

    /// Who makes it, as --auth-issuer says.
    #[arg(
        long,
        env = "SHOP_AUTH_ISSUER",
        value_name = "ISSUER",
        default_value = "shop-token"
    )]
    issuer: String,

    /// Whom it is for, as --auth-audience says.
    #[arg(
        long,
        env = "SHOP_AUTH_AUDIENCE",
        value_name = "AUDIENCE",
        default_value = "shop"
    )]
    audience: String,
}

/// Prints a token, and nothing else.
pub(super) fn token(args: &Args) -> Result<(), Failure> {
    let issuer = issuer(&args.key_dir)?;
    let granted = Grant {
        subject: &args.subject,
        scope: &args.scope.join(" "),
        lasts: args.ttl,
    };
    let expected = Expected {
        issuer: args.issuer.clone(),
        audience: args.audience.clone(),
    };
    let token = issuer.token(granted, &expected, SystemClock.now());
    writeln!(io::stdout(), "{token}")?;
    Ok(())
}

/// The key in `folder`, made there if there is none, and its key set beside it.
fn issuer(folder: &Path) -> Result<Issuer, Failure> {
    let refused = |path: &Path, error: &dyn std::fmt::Display| {
        let message = format!("--key-dir {}: {error}", path.display());
        Failure::new(Exit::Usage, message)
    };
    let path = folder.join(KEY);
    fs::create_dir_all(folder).map_err(|error| refused(folder, &error))?;
    let made = Issuer::generate().map_err(|error| refused(&path, &error))?;
    match create(&path, &made) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(refused(&path, &error));
        }
        // Made now, or before.
        Ok(()) | Err(_) => {}
    }
    let key = fs::read(&path).map_err(|error| refused(&path, &error))?;
    let issuer = Issuer::new(&key).map_err(|error| refused(&path, &error))?;
    let (path, jwks) = (folder.join(JWKS), issuer.jwks());
    if fs::read_to_string(&path).ok().as_ref() != Some(&jwks) {
        fs::write(&path, jwks).map_err(|error| refused(&path, &error))?;
    }
    Ok(issuer)
}

/// Writes a new file that only its owner reads.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// `90s`, `15m`, `1h`, `7d`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return None,
        };
        number.parse::<u32>().ok()?.checked_mul(unit)
    };
    match seconds() {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds.into())),
        _ => Err("a time is a number with s, m, h or d, for example 15m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use messaging::auth::{KeySet, token};

    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["", "h", "1", "0s", "1w", "-1s", "é", "9999999d"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("a/b");
        let expected = Expected {
            issuer: "I".to_owned(),
            audience: "A".to_owned(),
        };
        let granted = Grant {
            subject: "C1",
            scope: "stock",
            lasts: Duration::from_secs(60),
        };
        let now = SystemClock.now();
        let first = issuer(&keys).unwrap().token(granted, &expected, now);
        let again = issuer(&keys).unwrap().token(granted, &expected, now);
        assert_eq!(first, again, "the same key");
        let mode = fs::metadata(keys.join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let set = KeySet::parse(&fs::read(keys.join(JWKS)).unwrap()).unwrap();
        let claims = token::verify(&first, &set, &expected, now).unwrap();
        assert!(claims.subject == "C1" && claims.has("stock"));
    }
}
