//! Tells the compiler's version and its optimisation: counts of instructions hold for one of each.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=RUSTC");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = told.unwrap_or_default();
    println!("cargo:rustc-env=RUSTC_VERSION={}", version.trim());
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=OPTIMISATION={level}");
}
