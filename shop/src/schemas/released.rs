//! The files as a commit has them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use evolution::Complaint;
use evolution::released::{self, Released};
use tokio::process::Command;

use crate::exit::{Exit, Failure};

/// What stands against the files in `directory`, beside those that `commit` has there: a branch, a
/// tag or a hash.
pub(crate) async fn check(directory: &Path, commit: &str) -> Result<Vec<Complaint>, Failure> {
    let released = files(directory, commit).await?;
    let complaints = released::check(&released, commit, |file| fs::read(file).ok());
    Ok(complaints)
}

async fn files(directory: &Path, commit: &str) -> Result<Vec<Released>, Failure> {
    let arguments = ["ls-tree", "-r", "-z", "--name-only", commit, "--", "."];
    let listed = git(directory, arguments).await?;
    let names = String::from_utf8_lossy(&listed);
    let mut released = Vec::new();
    for name in names.split_terminator('\0') {
        let content = git(directory, ["show", &format!("{commit}:./{name}")]).await?;
        let file = directory.join(name);
        released.push(Released { file, content });
    }
    Ok(released)
}

async fn git<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    directory: &Path,
    arguments: I,
) -> Result<Vec<u8>, Failure> {
    let usage = |detail: String| Failure::new(Exit::Usage, format!("git: {detail}"));
    let git = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .output();
    let output = git.await.map_err(|error| usage(error.to_string()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(usage(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}
