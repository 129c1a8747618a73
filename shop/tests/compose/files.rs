//! The Compose files as values: variables replaced by their defaults, the second file laid over the
//! first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The image of the store's own programs.
const PROGRAMS: &str = "distributed-messaging:";

/// A file of the checkout.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A YAML file of the checkout.
pub(crate) fn yaml(path: &str) -> Value {
    let text = replaced(&text(path), &mut BTreeMap::new());
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `text` with every `${NAME:-default}` replaced by its default, which goes into `defaults`.
pub(crate) fn replaced(text: &str, defaults: &mut BTreeMap<String, Vec<String>>) -> String {
    let mut parts = text.split("${");
    let mut replaced = parts.next().unwrap().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').unwrap();
        let (name, default) = variable.split_once(":-").expect("a default");
        let known = defaults.entry(name.to_owned()).or_default();
        known.push(default.to_owned());
        replaced += default;
        replaced += rest;
    }
    replaced
}

/// What `docker compose` makes of one file, or of two.
pub(crate) struct Project {
    /// The files' names, for messages.
    pub(crate) files: &'static str,
    pub(crate) value: Value,
}

/// The store with one broker.
pub(crate) fn one_broker() -> Project {
    Project {
        files: "compose.yaml",
        value: yaml("compose.yaml"),
    }
}

/// The store with three.
pub(crate) fn three_brokers() -> Project {
    let mut value = yaml("compose.yaml");
    lay_over(&mut value, yaml("compose.brokers.yaml"));
    Project {
        files: "compose.yaml with compose.brokers.yaml",
        value,
    }
}

/// Both.
pub(crate) fn projects() -> [Project; 2] {
    [one_broker(), three_brokers()]
}

/// Compose's merge: mappings by key, commands replaced, other lists appended.
fn lay_over(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, over) in over {
                match under.get_mut(&key) {
                    Some(Value::Array(list)) if key != "command" => {
                        list.extend(over.as_array().unwrap().clone());
                    }
                    Some(under) => lay_over(under, over),
                    None => {
                        under.insert(key, over);
                    }
                }
            }
        }
        (under, over) => *under = over,
    }
}

impl Project {
    /// All services by name.
    pub(crate) fn services(&self) -> Vec<Service<'_>> {
        let services = self.value["services"].as_object().unwrap();
        let mut found = Vec::new();
        for (name, value) in services {
            found.push(Service { name, value });
        }
        found
    }

    /// Those that run a program of the store.
    pub(crate) fn programs(&self) -> Vec<Service<'_>> {
        let services = self.services().into_iter();
        services.filter(Service::is_program).collect()
    }

    /// Those that run a broker of the log.
    pub(crate) fn brokers(&self) -> Vec<Service<'_>> {
        let services = self.services().into_iter();
        services
            .filter(|service| service.image().contains("/redpanda:"))
            .collect()
    }
}

/// A service of a project.
#[derive(Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
}

impl<'a> Service<'a> {
    pub(crate) fn image(&self) -> &'a str {
        self.value["image"].as_str().unwrap()
    }

    pub(crate) fn is_program(&self) -> bool {
        self.image().starts_with(PROGRAMS)
    }

    /// Whether it ends by itself, or is started by hand.
    pub(crate) fn is_passing(&self) -> bool {
        self.name.ends_with("-migrate") || self.value.get("profiles").is_some()
    }

    /// The list under `key`; empty if there is none.
    pub(crate) fn list(&self, key: &str) -> Vec<&'a str> {
        strings(&self.value[key])
    }

    /// The program with its arguments.
    pub(crate) fn words(&self) -> Vec<&'a str> {
        [self.list("entrypoint"), self.list("command")].concat()
    }

    /// The health check's program with its arguments.
    pub(crate) fn health_check(&self) -> Option<Vec<&'a str>> {
        let words = strings(self.value.get("healthcheck")?.get("test")?);
        assert_eq!(words[0], "CMD", "{}: without a shell", self.name);
        Some(words[1..].to_vec())
    }

    pub(crate) fn environment(&self) -> Vec<(&'a str, &'a str)> {
        let Some(environment) = self.value["environment"].as_object() else {
            return Vec::new();
        };
        let text = |(name, value): (&'a String, &'a Value)| {
            let value = value.as_str();
            (name.as_str(), value.expect("variables are strings"))
        };
        environment.iter().map(text).collect()
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.value["environment"].get(name)?.as_str()
    }

    /// The value of `flag=value` in the command.
    pub(crate) fn flag(&self, flag: &str) -> Option<&'a str> {
        let words = self.words().into_iter();
        let mut values = words.filter_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
        values.next()
    }
}

fn strings(value: &Value) -> Vec<&str> {
    let words = value.as_array().map(Vec::as_slice).unwrap_or_default();
    words
        .iter()
        .map(|word| word.as_str().expect("words are strings"))
        .collect()
}
