//! What a registry holds, and what it must be given.

use evolution::files::{History, Version};
use evolution::{Complaint, Level, Rule, schema};
use messaging::message::Registration;
use messaging::registry::access::Access;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::subjects::Subjects;
use messaging::registry::{self, SchemaId, SchemaRegistry};

use super::examples_of;

/// A registry, for whoever looks after it.
pub(crate) struct Registry {
    subjects: Subjects,
    schemas: ConfluentRegistry,
}

/// What became of one version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// The subject.
    pub(crate) subject: String,
    /// The version's number here; the registry may count otherwise.
    pub(crate) version: u32,
    /// Its id, if it is registered.
    pub(crate) id: Option<SchemaId>,
    /// Whether it was there before.
    pub(crate) before: bool,
}

impl Registry {
    /// The registry at `url`; nothing is sent yet.
    pub(crate) fn new(url: &str, access: &Access) -> Result<Self, registry::Error> {
        Ok(Self {
            subjects: Subjects::secured(url, access)?,
            schemas: ConfluentRegistry::secured(url, access)?,
        })
    }

    /// What stands against the subjects of one schema: another level, versions that are not among
    /// the files.
    pub(crate) async fn check(&self, history: &History) -> Result<Vec<Complaint>, registry::Error> {
        let (Some(subject), Some(newest)) = (subject_of(history), history.versions.last()) else {
            return Ok(vec![]);
        };
        let complain = |what: String, fix: String| Complaint {
            file: newest.file.clone(),
            field: String::new(),
            rule: Rule::Registry,
            what,
            fix,
        };
        let registered = self.subjects.versions(&subject).await?;
        let level = self.subjects.level(&subject).await?;
        let lax = (!registered.is_empty() && level != Level::FullTransitive).then(|| {
            complain(
                format!("the level of {subject} is {level}, not FULL_TRANSITIVE"),
                "let it be set: shop schemas register".to_owned(),
            )
        });
        let foreign = registered
            .iter()
            .filter(|(_, text)| !is_among(history, text));
        let foreign = foreign.map(|(number, text)| {
            complain(
                format!(
                    "version {number} of {subject} is not among the files{}",
                    clash(newest, text)
                ),
                "find who registered it: bring its text here as a version, or delete it there"
                    .to_owned(),
            )
        });
        Ok(foreign.chain(lax).collect())
    }

    /// Which versions of one schema the registry knows.
    pub(crate) async fn status(
        &self,
        history: &History,
    ) -> Result<Vec<Registered>, registry::Error> {
        let Some(subject) = subject_of(history) else {
            return Ok(vec![]);
        };
        let mut found = Vec::new();
        for version in &history.versions {
            let id = self.known(&subject, version).await?;
            found.push(registered(&subject, version, id, id.is_some()));
        }
        Ok(found)
    }

    /// Sets the level of a schema's subject and registers every version that is missing.
    pub(crate) async fn register(
        &self,
        history: &History,
    ) -> Result<Vec<Registered>, registry::Error> {
        let Some(subject) = subject_of(history) else {
            return Ok(vec![]);
        };
        if self.subjects.own_level(&subject).await? != Some(Level::FullTransitive) {
            let level = Level::FullTransitive;
            self.subjects.set_level(&subject, level).await?;
        }
        let mut done = Vec::new();
        for version in &history.versions {
            let before = self.known(&subject, version).await?;
            let id = match before {
                Some(id) => id,
                None => self.schemas.register(&subject, &version.text).await?,
            };
            done.push(registered(&subject, version, Some(id), before.is_some()));
        }
        Ok(done)
    }

    async fn known(
        &self,
        subject: &str,
        version: &Version,
    ) -> Result<Option<SchemaId>, registry::Error> {
        match self.schemas.lookup(subject, &version.text).await {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.kind == registry::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn registered(subject: &str, version: &Version, id: Option<SchemaId>, before: bool) -> Registered {
    Registered {
        subject: subject.to_owned(),
        version: version.number,
        id,
        before,
    }
}

/// The subject of the messages that have this schema.
fn subject_of(history: &History) -> Option<String> {
    examples_of(history).map(|examples| Registration::subject(&examples.registration))
}

/// Whether a text is one of the versions, apart from white space and the order of keys.
fn is_among(history: &History, text: &str) -> bool {
    let wanted = schema::canonical(text);
    let mut versions = history.versions.iter();
    versions.any(|version| schema::canonical(&version.text) == wanted)
}

/// What does not fit between our newest version and a foreign one, as the end of a sentence.
fn clash(newest: &Version, foreign: &str) -> String {
    let (Ok(ours), Ok(theirs)) = (schema::parse(&newest.text), schema::parse(foreign)) else {
        return String::new();
    };
    match evolution::check(Level::FullTransitive, &ours, &theirs) {
        findings if findings.is_empty() => String::new(),
        findings => format!(", and {}", findings.join("; ")),
    }
}
