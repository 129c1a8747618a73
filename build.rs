//! Build script of `contracts/`: gRPC code from `proto/`, the schema table from `schemas/`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

/// The gRPC contracts, relative to `contracts/`.
const PROTO: &str = "../proto";
/// The event contracts, relative to `contracts/`.
const SCHEMAS: &str = "../schemas";
/// The files that make up the API; what they import is found by itself.
const PROTO_FILES: [&str; 6] = [
    "shop/v1/order_service.proto",
    "shop/v1/inventory_service.proto",
    "shop/v1/internal.proto",
    "shop/v1/operations.proto",
    "shop/v1/audit.proto",
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    println!("cargo:rerun-if-changed={SCHEMAS}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    grpc(&out)?;
    fs::write(out.join("schemas.rs"), schema_table(&schemas()?)?)?;
    Ok(())
}

/// Compiles the protos without protoc, and keeps the descriptors with their comments for
/// reflection and JSON.
fn grpc(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTO_FILES)?;
    fs::write(
        out.join("shop.bin"),
        compiler.file_descriptor_set().encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Every `schemas/<namespace.Name>/v<N>.avsc`, by name, then by version.
fn schemas() -> Result<BTreeMap<String, BTreeMap<u32, PathBuf>>, Box<dyn Error>> {
    let mut found: BTreeMap<String, BTreeMap<u32, PathBuf>> = BTreeMap::new();
    for directory in fs::read_dir(SCHEMAS)? {
        let directory = directory?.path();
        if !directory.is_dir() {
            continue;
        }
        for file in fs::read_dir(&directory)? {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "avsc")
            {
                let version = file_stem(&path)?
                    .strip_prefix('v')
                    .and_then(|number| number.parse().ok())
                    .ok_or_else(|| format!("{}: expected v<N>.avsc", path.display()))?;
                found
                    .entry(file_name(&directory)?)
                    .or_default()
                    .insert(version, path);
            }
        }
    }
    Ok(found)
}

/// Rust source of the table of all schemas, and of a constant per message with its newest text. It
/// holds the texts, not their paths: checkouts that share a target directory share this file.
fn schema_table(
    schemas: &BTreeMap<String, BTreeMap<u32, PathBuf>>,
) -> Result<String, Box<dyn Error>> {
    let mut all = String::new();
    let mut newest = String::new();
    for (name, versions) in schemas {
        for (version, path) in versions {
            let text = fs::read_to_string(path)?;
            writeln!(
                all,
                "Schema {{ name: {name:?}, version: {version}, text: {text:?} }},"
            )?;
        }
        let (version, path) = versions
            .last_key_value()
            .ok_or_else(|| format!("schemas/{name} holds no v<N>.avsc"))?;
        let text = fs::read_to_string(path)?;
        let constant = constant_name(name);
        writeln!(newest, "/// `{name}`, version {version}.")?;
        writeln!(newest, "pub const {constant}: &str = {text:?};")?;
    }
    Ok(format!(
        "/// Every version of every schema, by name, then by version.\n\
         pub const ALL: &[Schema] = &[\n{all}];\n\
         /// The newest text of every schema.\n\
         pub mod newest {{\n{newest}}}\n"
    ))
}

/// `shop.order.PlaceOrder` -> `SHOP_ORDER_PLACE_ORDER`.
fn constant_name(schema: &str) -> String {
    let mut name = String::new();
    let mut after_lowercase = false;
    for letter in schema.chars() {
        if letter.is_ascii_uppercase() && after_lowercase {
            name.push('_');
        }
        after_lowercase = letter.is_ascii_lowercase();
        name.push(if letter == '.' {
            '_'
        } else {
            letter.to_ascii_uppercase()
        });
    }
    name
}

fn file_stem(path: &Path) -> Result<String, Box<dyn Error>> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(stem
        .ok_or_else(|| format!("{}: not UTF-8", path.display()))?
        .to_owned())
}

fn file_name(path: &Path) -> Result<String, Box<dyn Error>> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name
        .ok_or_else(|| format!("{}: not UTF-8", path.display()))?
        .to_owned())
}
