//! What "accepted means durable" asks of the brokers (README, "On a cluster").

use std::collections::BTreeSet;

use crate::files::{one_broker, projects, three_brokers, yaml};

#[test]
fn acknowledged_means_on_disk() {
    for project in projects() {
        for broker in project.brokers() {
            assert_eq!(broker.flag("--mode"), None, "development modes skip fsync");
            let mounts = broker.list("volumes").into_iter();
            let mut settings = mounts.filter_map(|mount| {
                let (file, place) = mount.split_once(':')?;
                (place == "/etc/redpanda/.bootstrap.yaml:ro").then_some(file)
            });
            // A later file takes the place of an earlier one.
            let settings = yaml(settings.next_back().expect("cluster settings"));
            assert_eq!(
                settings["write_caching_default"], "false",
                "{}",
                broker.name
            );
            assert_eq!(settings["auto_create_topics_enabled"], false);
            let replicas = settings.get("default_topic_replications");
            let brokers = project.brokers().len();
            assert_eq!(
                replicas.map_or(1, |count| count.as_u64().unwrap()),
                brokers as u64
            );
        }
    }
}

#[test]
fn three_brokers_hold_three_replicas_and_everybody_knows_all_of_them() {
    let project = three_brokers();
    let brokers = project.brokers();
    assert_eq!(brokers.len(), 3);
    let nodes = brokers
        .iter()
        .map(|broker| broker.flag("--node-id").unwrap());
    assert_eq!(nodes.collect::<BTreeSet<_>>().len(), 3);
    let names: BTreeSet<_> = brokers
        .iter()
        .map(|broker| format!("{}:9092", broker.name))
        .collect();
    for service in project.programs() {
        let Some(log) = service.variable("SHOP_LOG") else {
            assert!(service.is_passing(), "{}", service.name);
            continue;
        };
        let known: BTreeSet<_> = log.split(',').map(str::to_owned).collect();
        assert_eq!(known, names, "{}", service.name);
        let replicas = service.variable("SHOP_REPLICATION_FACTOR");
        let creates = service.name != "shop";
        assert_eq!(replicas, creates.then_some("3"), "{}", service.name);
    }
}

#[test]
fn both_files_name_the_same_broker() {
    let images = |brokers: &[crate::files::Service<'_>]| -> BTreeSet<String> {
        brokers
            .iter()
            .map(|broker| broker.image().to_owned())
            .collect()
    };
    let project = three_brokers();
    assert_eq!(images(&project.brokers()), images(&one_broker().brokers()));
}
