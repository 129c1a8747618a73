//! Every flag and every variable exists in the program that gets it, and takes the value.

use clap::{Command, CommandFactory};

use crate::files::{Service, projects};

/// The command line of a program of the image.
fn command_line(program: &str) -> Command {
    let mut command = match program {
        "gateway" => gateway::cli::Cli::command(),
        "inventory" => inventory::cli::Cli::command(),
        "order" => order::cli::Cli::command(),
        "shop" => shop::cli::Cli::command(),
        other => panic!("the image has no program {other}"),
    };
    command.build();
    command
}

/// The flag that `variable` stands for in `command`.
fn flag_of(command: &Command, variable: &str) -> Option<String> {
    let mut flags = command.get_arguments();
    let flag = flags.find(|flag| flag.get_env().is_some_and(|name| name == variable))?;
    Some(format!("--{}", flag.get_long()?))
}

fn parse(command: Command, words: &[String], service: &Service<'_>) {
    if let Err(error) = command.try_get_matches_from(words) {
        panic!("{}: {words:?}: {error}", service.name);
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn services_start_with_what_they_are_given() {
    for project in projects() {
        for service in project.programs() {
            let words = service.words();
            let program = command_line(words[0]);
            if words[0] == "shop" {
                continue;
            }
            // The variables belong to the subcommand, if there is one.
            let command = match words.get(1) {
                Some(word) => program.find_subcommand(word).expect("a subcommand"),
                None => &program,
            };
            let mut line = owned(&words);
            for (variable, value) in service.environment() {
                let flag = flag_of(command, variable)
                    .unwrap_or_else(|| panic!("{}: {variable} is unknown", service.name));
                line.push(format!("{flag}={value}"));
            }
            parse(program, &line, &service);
        }
    }
}

#[test]
fn the_client_knows_its_variables() {
    for project in projects() {
        let services = project.programs();
        let client = services.iter().find(|service| service.name == "shop");
        let client = client.expect("a client");
        assert_eq!(client.words(), ["shop"]);
        let program = command_line("shop");
        let audit = program.find_subcommand("audit").unwrap();
        for (variable, value) in client.environment() {
            let flag = flag_of(audit, variable)
                .unwrap_or_else(|| panic!("shop audit does not know {variable}"));
            let line = owned(&["shop", "audit", &format!("{flag}={value}")]);
            parse(program.clone(), &line, client);
        }
        // It reaches everything that it can be told about.
        for flag in audit.get_arguments() {
            let Some(variable) = flag.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let is_address = flag.get_value_names().is_some_and(|names| {
                names
                    .iter()
                    .any(|name| *name == "URL" || *name == "HOST:PORT")
            });
            let told = client.variable(variable).is_some();
            assert!(told || !is_address, "shop is not told {variable}");
        }
    }
}

#[test]
fn health_checks_are_commands_of_the_image() {
    for project in projects() {
        for service in project.programs() {
            let Some(words) = service.health_check() else {
                assert!(service.is_passing(), "{} has no health check", service.name);
                continue;
            };
            parse(command_line(words[0]), &owned(&words), &service);
        }
    }
}

#[test]
fn an_unknown_variable_is_noticed() {
    let order = command_line("order");
    assert_eq!(flag_of(&order, "SHOP_STORE").unwrap(), "--store");
    assert_eq!(flag_of(&order, "SHOP_STORES"), None);
    let migrate = order.find_subcommand("migrate").unwrap();
    assert_eq!(flag_of(migrate, "SHOP_LOG"), None);
}
