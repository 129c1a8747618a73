//! House rules for containers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use messaging::limits::DRAIN_MAX;

use crate::files::{projects, replaced, text};

/// Whether `image` names one version: `name:1.2` or longer, maybe with more behind it.
fn is_pinned(image: &str) -> bool {
    let Some((_, tag)) = image.rsplit_once(':') else {
        return false;
    };
    let version = tag.split('-').next().unwrap().trim_start_matches('v');
    let numbers = version
        .split('.')
        .filter(|number| number.parse::<u32>().is_ok());
    numbers.count() >= 2
}

#[test]
fn images_are_pinned_and_bounded() {
    let own = format!("distributed-messaging:{}", env!("CARGO_PKG_VERSION"));
    for project in projects() {
        for service in project.services() {
            let (name, image) = (service.name, service.image());
            assert!(is_pinned(image), "{name}: {image} may change");
            assert_eq!(service.is_program(), image == own, "{name}: {image}");
            let limit = service.value["mem_limit"].as_str();
            assert!(limit.is_some(), "{name} has no memory limit");
        }
    }
    for line in text("Dockerfile").lines() {
        if let Some(image) = line.strip_prefix("FROM ") {
            let image = image.split(' ').next().unwrap();
            assert!(is_pinned(image), "Dockerfile: {image} may change");
        }
    }
    assert!(!is_pinned("postgres"));
    assert!(!is_pinned("postgres:latest"));
    assert!(!is_pinned("postgres:15"));
}

/// Where the images of services with state keep it.
const STATE: [(&str, &str); 4] = [
    ("/redpanda:", "/var/lib/redpanda/data"),
    ("postgres:", "/var/lib/postgresql/data"),
    ("prom/prometheus:", "/prometheus"),
    ("grafana/grafana:", "/var/lib/grafana"),
];

#[test]
fn state_is_in_a_volume_of_its_own() {
    for project in projects() {
        let mut unused: BTreeSet<_> = project.value["volumes"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        for service in project.services() {
            let state = STATE
                .iter()
                .find(|(image, _)| service.image().contains(image));
            let volumes = service.list("volumes");
            let volumes: Vec<_> = volumes
                .iter()
                .filter(|volume| !volume.starts_with('.'))
                .collect();
            let Some((_, place)) = state else {
                assert!(
                    service.is_program() && volumes.is_empty(),
                    "{}",
                    service.name
                );
                assert_eq!(service.value["read_only"], true, "{}", service.name);
                continue;
            };
            let expected = format!("{}:{place}", service.name);
            assert_eq!(volumes, [&expected.as_str()], "{}", service.name);
            assert!(
                unused.remove(&service.name.to_owned()),
                "{} is not declared",
                service.name
            );
        }
        assert!(
            unused.is_empty(),
            "{}: nobody uses {unused:?}",
            project.files
        );
    }
}

#[test]
fn what_is_mounted_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for project in projects() {
        for service in project.services() {
            for mount in service.list("volumes") {
                let Some((file, _)) = mount.split_once(':').filter(|_| mount.starts_with('.'))
                else {
                    continue;
                };
                assert!(root.join(file).exists(), "{}: no {file}", service.name);
                assert!(
                    mount.ends_with(":ro"),
                    "{}: {mount} can be written",
                    service.name
                );
            }
        }
    }
}

#[test]
fn what_runs_is_watched_restarted_and_given_time_to_end() {
    for project in projects() {
        for service in project.services() {
            let name = service.name;
            let restarted = service.value.get("restart").is_some();
            assert_eq!(restarted, !service.is_passing(), "{name}: restart");
            assert_eq!(
                service.health_check().is_some(),
                !service.is_passing(),
                "{name}: health"
            );
            if service.is_program() {
                let grace = service.value["stop_grace_period"].as_str().unwrap();
                let seconds = grace.strip_suffix('s').unwrap().parse().unwrap();
                assert!(Duration::from_secs(seconds) > DRAIN_MAX, "{name}: {grace}");
            }
        }
    }
}

#[test]
fn a_service_with_tables_waits_for_its_migrations() {
    for project in projects() {
        let services = project.services();
        let condition = |service: &str, on: &str| {
            let service = services.iter().find(|other| other.name == service);
            service.unwrap().value["depends_on"][on]["condition"].clone()
        };
        for name in ["order", "inventory"] {
            let migrate = format!("{name}-migrate");
            assert_eq!(condition(name, &migrate), "service_completed_successfully");
            assert_eq!(condition(&migrate, "postgres"), "service_healthy");
            let user = |service: &str| {
                let service = services.iter().find(|other| other.name == service).unwrap();
                let store = service.variable("SHOP_STORE").unwrap();
                let (user, _) = store
                    .strip_prefix("postgres://")
                    .unwrap()
                    .split_once(':')
                    .unwrap();
                let (_, database) = store.rsplit_once('/').unwrap();
                (user.to_owned(), database.to_owned())
            };
            assert_eq!(user(name), (name.to_owned(), name.to_owned()));
            assert_eq!(user(&migrate), ("migrator".to_owned(), name.to_owned()));
        }
    }
}

#[test]
fn passwords_are_in_no_command_and_agree() {
    let mut defaults = BTreeMap::new();
    for file in ["compose.yaml", "compose.brokers.yaml"] {
        let text = text(file);
        replaced(&text, &mut defaults);
        let secret = |line: &&str| line.contains("PASSWORD");
        for line in text.lines().filter(secret) {
            let line = line.trim_start();
            let (name, _) = line.split_once(':').unwrap_or_default();
            let is_variable = !name.is_empty() && !name.contains(|c: char| c.is_ascii_lowercase());
            assert!(is_variable, "{file}: {line}");
        }
    }
    for (name, values) in &defaults {
        assert!(
            values.iter().all(|value| *value == values[0]),
            "{name}: {values:?}"
        );
    }
    let database = text("deploy/postgres/init.sql");
    let asked = database.lines().filter_map(|line| {
        let variable = line.strip_prefix("\\getenv ")?;
        variable.split_once(' ').map(|(_, name)| name)
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    for name in asked {
        assert!(defaults.contains_key(name), "postgres is not given {name}");
    }
}
