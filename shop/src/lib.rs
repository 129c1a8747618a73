//! The whole store in one process, and its command-line client.
//!
//! | room | what happens there |
//! |---|---|
//! | [`cli`] | the commands with their flags: one file per family |
//! | [`up`] | the parts of the store in this process: plan, start, ready file, banner, drain |
//! | [`client`] | the channel to the gateway, and what its errors mean to a caller |
//! | [`services`] | the services themselves, the log and the registry, for operators' commands |
//! | `schemas` | the event schemas: checked as files, against what was released, against a registry |
//! | [`output`] | tables for people, JSON for programs |
//! | [`seed`] | the stock of the walkthrough |
//! | [`token`] | the token that says who gives a command |
//! | [`tail`] | the log's messages as lines |
//! | [`explain`] | an order's way through the services, and what it waits for |
//! | [`demo`] | the four stories of the walkthrough, told and shown |
//! | [`limits`] | the physical limits of a store on this machine, for `shop load` |
//! | [`exit`] | exit statuses |

pub mod certs;
pub mod cli;
pub mod client;
pub mod demo;
pub mod exit;
pub mod explain;
pub mod limits;
pub mod output;
mod schemas;
pub mod seed;
pub mod services;
pub mod tail;
pub mod tls;
pub mod token;
pub mod up;
