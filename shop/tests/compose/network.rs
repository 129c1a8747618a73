//! Every address leads to a service that listens there.

use std::collections::BTreeSet;

use crate::files::{Project, Service, projects, yaml};

/// Variables that say where a service listens: an address or a port.
const LISTEN_VARIABLES: [&str; 4] = [
    "SHOP_LISTEN",
    "SHOP_LISTEN_HTTP",
    "PGPORT",
    "GF_SERVER_HTTP_PORT",
];
/// Flags that do, as `ADDRESS:PORT` or `name://ADDRESS:PORT`, separated by commas.
const LISTEN_FLAGS: [&str; 4] = [
    "--kafka-addr",
    "--rpc-addr",
    "--schema-registry-addr",
    "--web.listen-address",
];

/// The ports on which a service listens for other containers.
fn ports(service: &Service<'_>) -> BTreeSet<u16> {
    let variables = LISTEN_VARIABLES
        .iter()
        .filter_map(|name| service.variable(name));
    let flags = LISTEN_FLAGS.iter().filter_map(|flag| service.flag(flag));
    let addresses = variables.chain(flags).flat_map(|value| value.split(','));
    addresses
        .map(|address| {
            let address = address.rsplit('/').next().unwrap();
            let (host, port) = address.rsplit_once(':').unwrap_or(("0.0.0.0", address));
            assert_eq!(
                host, "0.0.0.0",
                "{}: others cannot reach {address}",
                service.name
            );
            port.parse().unwrap()
        })
        .collect()
}

/// `host` and `port` of what is left of an address without scheme, user and path.
fn host_and_port(address: &str) -> (&str, u16) {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.rsplit_once('@').map_or(address, |(_, rest)| rest);
    let address = address.split('/').next().unwrap();
    let (host, port) = address.rsplit_once(':').expect("a port");
    (host, port.parse().expect("a port"))
}

/// Fails unless every service that answers to the host's name listens on the port.
fn reach(project: &Project, by: &str, address: &str) {
    let (host, port) = host_and_port(address);
    let answers = |service: &Service<'_>| {
        let aliases = service.value["networks"]["default"]["aliases"].as_array();
        let alias = |aliases: &Vec<_>| aliases.iter().any(|alias| *alias == host);
        service.name == host || aliases.is_some_and(alias)
    };
    let services = project.services().into_iter();
    let named: Vec<_> = services.filter(answers).collect();
    assert!(
        !named.is_empty(),
        "{}: {by}: nobody is {host}",
        project.files
    );
    for service in named {
        let listens = ports(&service).contains(&port);
        assert!(
            listens,
            "{}: {by}: {} does not listen on {port}",
            project.files, service.name
        );
    }
}

#[test]
fn programs_find_one_another() {
    for project in projects() {
        for service in project.programs() {
            let addresses = service
                .environment()
                .into_iter()
                .filter(|(name, value)| !LISTEN_VARIABLES.contains(name) && value.contains(':'));
            for (name, value) in addresses {
                for address in value.split(',') {
                    reach(&project, &format!("{} {name}", service.name), address);
                }
            }
        }
    }
}

#[test]
fn health_checks_ask_where_the_service_listens() {
    for project in projects() {
        for service in project.services() {
            let Some(words) = service.health_check() else {
                continue;
            };
            let asked = words.iter().filter_map(|word| {
                let port = match word.strip_prefix("--port=") {
                    Some(port) => port,
                    None => word.split_once("127.0.0.1:")?.1.split('/').next()?,
                };
                Some(port.parse::<u16>().unwrap())
            });
            let asked: Vec<_> = asked.collect();
            assert_eq!(asked.len(), 1, "{}: {words:?}", service.name);
            let listens = ports(&service).contains(&asked[0]);
            assert!(listens, "{} does not listen on {}", service.name, asked[0]);
        }
    }
}

#[test]
fn only_this_machine_gets_in_and_to_what_listens() {
    for project in projects() {
        let mut taken = BTreeSet::new();
        for service in project.services() {
            for published in service.list("ports") {
                let [host, outside, inside] = published.split(':').collect::<Vec<_>>()[..] else {
                    panic!("{}: {published} names no address", service.name);
                };
                assert_eq!(host, "127.0.0.1", "{}", service.name);
                assert!(taken.insert(outside), "{outside} is published twice");
                let listens = ports(&service).contains(&inside.parse().unwrap());
                assert!(listens, "{} does not listen on {inside}", service.name);
            }
        }
    }
}

#[test]
fn every_program_is_scraped_where_it_serves_metrics() {
    let prometheus = yaml("deploy/prometheus/prometheus.yml");
    let jobs = prometheus["scrape_configs"].as_array().unwrap();
    let scraped = jobs.iter().map(|job| {
        let found = &job["dns_sd_configs"][0];
        let (name, port) = (&found["names"][0], &found["port"]);
        assert_eq!(job["job_name"], *name);
        (name.as_str().unwrap().to_owned(), port.to_string())
    });
    let scraped: BTreeSet<_> = scraped.collect();
    for project in projects() {
        let serving = project.programs().into_iter().filter_map(|service| {
            let (_, port) = service.variable("SHOP_LISTEN_HTTP")?.split_once(':')?;
            Some((service.name.to_owned(), port.to_owned()))
        });
        assert_eq!(
            serving.collect::<BTreeSet<_>>(),
            scraped,
            "{}",
            project.files
        );
        let sources = yaml("deploy/grafana/provisioning/datasources/prometheus.yaml");
        let url = sources["datasources"][0]["url"].as_str().unwrap();
        reach(&project, "grafana", url);
    }
}

/// A client is sent on to the address that a broker advertises.
#[test]
fn brokers_advertise_where_they_can_be_reached() {
    for project in projects() {
        for broker in project.brokers() {
            let advertised = broker.flag("--advertise-kafka-addr").unwrap();
            let (inside, outside) = advertised.split_once(',').unwrap();
            let peers = broker.flag("--advertise-rpc-addr").unwrap();
            let inside = inside.strip_prefix("internal://").unwrap();
            for address in [inside, peers] {
                assert_eq!(host_and_port(address).0, broker.name);
                reach(&project, broker.name, address);
            }
            let outside = outside.strip_prefix("host://").unwrap();
            let listened = broker.flag("--kafka-addr").unwrap();
            let (_, port) = listened.rsplit_once(':').unwrap();
            let published = format!("{outside}:{port}");
            assert!(
                broker.list("ports").contains(&published.as_str()),
                "{} does not publish {published}",
                broker.name
            );
            for seed in broker.flag("--seeds").unwrap_or(peers).split(',') {
                reach(&project, broker.name, seed);
            }
        }
    }
}
