//! Where a report is written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Report, page, plots};
use crate::plan::Plan;

/// A folder for a report.
#[derive(Debug)]
pub struct Folder(PathBuf);

/// Why a report is not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made, or takes no files.
    #[error("cannot write into the folder {}: {source}; name another one", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of it cannot be written.
    #[error("cannot write {}: {source}; the report so far is incomplete", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A plot cannot be drawn.
    #[error("cannot draw {file}: {source}")]
    Plot {
        /// Which.
        file: &'static str,
        /// Why.
        source: plots::Failure,
    },
    /// The figures cannot be told as JSON.
    #[error("cannot tell the figures as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Folder {
    /// Makes the folder if need be, and tries whether it takes files, so that this is known before a
    /// load of hours.
    ///
    /// # Errors
    /// When it cannot be made, or takes no files.
    pub fn make(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path)
            .and_then(|()| tempfile::tempfile_in(path))
            .map_err(|source| Error::Folder {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self(path.to_owned()))
    }

    /// Writes `report.json`, `latency.svg`, `throughput.svg`, and `index.html` with all of them, in
    /// place of those of an earlier report; returns the path of the last.
    ///
    /// # Errors
    /// When one of them cannot be written; those before it are.
    pub fn write(&self, plan: &Plan, report: &Report) -> Result<PathBuf, Error> {
        self.file("report.json", &serde_json::to_string_pretty(report)?)?;
        let latency = self.plot("latency.svg", plots::latency(report))?;
        let throughput = self.plot("throughput.svg", plots::throughput(report))?;
        let page = page::page(plan, report, &latency, &throughput);
        self.file("index.html", &page)
    }

    fn plot(
        &self,
        file: &'static str,
        drawn: Result<String, plots::Failure>,
    ) -> Result<String, Error> {
        let svg = drawn.map_err(|source| Error::Plot { file, source })?;
        self.file(file, &svg)?;
        Ok(svg)
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::File { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;
    use crate::report::tests::report;

    #[test]
    fn a_report_is_four_files_in_place_of_an_earlier_one() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a").join("b");
        let folder = Folder::make(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        fs::write(path.join("latency.svg"), "an earlier one").unwrap();
        let page = folder.write(&plan(), &report()).unwrap();
        assert_eq!(page, path.join("index.html"));
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let index = read("index.html");
        assert!(index.contains(&read("latency.svg")) && index.contains(&read("throughput.svg")));
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        let told = serde_json::to_string(&report()).unwrap();
        assert_eq!(value(&read("report.json")), value(&told));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 4);
    }

    #[test]
    fn where_no_folder_can_be_the_path_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("report");
        let refused = Folder::make(&path).unwrap_err();
        assert!(matches!(refused, Error::Folder { .. }), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains(&path.display().to_string()), "{told}");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let above = tempfile::tempdir().unwrap();
        let folder = Folder::make(above.path()).unwrap();
        fs::create_dir(above.path().join("throughput.svg")).unwrap();
        let refused = folder.write(&plan(), &report()).unwrap_err();
        assert!(refused.to_string().contains("throughput.svg"), "{refused}");
    }
}
