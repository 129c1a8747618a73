//! `shop parked`: messages set aside, for the people who run the store.

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;
use contracts::limits::PAGE_SIZE_MAX;
use contracts::proto::{
    DiscardParkedRequest, GetParkedRequest, ListActionsRequest, ListConflictsRequest,
    ListParkedRequest, ReplayParkedRequest,
};
use tonic::{Code, Status};

use super::asking::{Asking, Client};
use crate::exit::{Exit, Failure};
use crate::output::{Format, Lister, json, parked_sheet};
use crate::services::Service;

mod place;

pub(super) use place::At;

/// What to do about parked messages.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List parked messages, oldest first.
    List(ListArgs),
    /// Show a parked message: why, its headers, its payload.
    Show(ShowArgs),
    /// Decide the parked messages of a key again, in order. Status 1 if one of them stays parked.
    Replay(ReplayArgs),
    /// Take a parked message out for good, without effect; what stands behind it stays parked
    /// until it is replayed.
    Discard(DiscardArgs),
    /// List replays and discards, newest first: who, when, why, and what came of it.
    Actions(TrailArgs),
    /// List conflicts: messages that repeated an id with other content, and changed nothing.
    Conflicts(ConflictsArgs),
}

/// The flags of `shop parked list`.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    /// Only those that hold up this order or product.
    #[arg(long, value_name = "ID", default_value = "")]
    key: String,

    /// Only those set aside for this reason.
    #[arg(
        long,
        value_name = "REASON",
        value_parser = ["undecodable", "misrouted", "failed", "behind"]
    )]
    reason: Option<String>,

    /// Only those parked at least so long ago: 90s, 10m, 2h, 3d.
    #[arg(long, value_name = "AGE", value_parser = messaging::config::duration)]
    older_than: Option<Duration>,

    /// At most so many per service.
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,

    #[command(flatten)]
    asking: Asking,
}

/// The flags of `shop parked show`.
#[derive(clap::Args, Debug)]
pub struct ShowArgs {
    /// The message, as topic/partition@offset.
    message: At,

    #[command(flatten)]
    asking: Asking,
}

/// Who asks.
#[derive(clap::Args, Debug)]
pub(super) struct Operator {
    /// Who asks, for the record.
    #[arg(
        long,
        env = "USER",
        hide_env_values = true,
        value_name = "NAME",
        default_value = ""
    )]
    operator: String,
}

/// The flags of `shop parked replay`.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// The order or product, or one of its messages as topic/partition@offset.
    key: String,

    /// Say what would happen and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    asking: Asking,
}

/// The flags of `shop parked discard`.
#[derive(clap::Args, Debug)]
pub struct DiscardArgs {
    /// The message, as topic/partition@offset.
    message: At,

    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    asking: Asking,
}

/// The flags of `shop parked actions`.
#[derive(clap::Args, Debug)]
pub struct TrailArgs {
    /// At most so many per service.
    #[arg(long, value_name = "N", default_value = "50")]
    limit: NonZeroUsize,

    #[command(flatten)]
    asking: Asking,
}

/// The flags of `shop parked conflicts`.
#[derive(clap::Args, Debug)]
pub struct ConflictsArgs {
    /// Only those of this order or product.
    #[arg(long, value_name = "ID", default_value = "")]
    key: String,

    /// At most so many per service.
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,

    #[command(flatten)]
    asking: Asking,
}

/// Carries out `command`.
pub(super) async fn run(command: &ParkedCommand) -> Result<(), Failure> {
    match command {
        ParkedCommand::List(args) => list(args).await,
        ParkedCommand::Show(args) => show(args).await,
        ParkedCommand::Replay(args) => replay(args).await,
        ParkedCommand::Discard(args) => discard(args).await,
        ParkedCommand::Actions(args) => actions(args).await,
        ParkedCommand::Conflicts(args) => conflicts(args).await,
    }
}

impl Asking {
    /// Asks every service for something that is parked; where it is not, that is no failure unless
    /// it is so everywhere.
    async fn where_parked(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut(Service, Client) -> Result<(), Answer>,
    ) -> Result<(), Failure> {
        let mut found = false;
        let mut refused = Ok(());
        let asked = self.each(async |service, client| {
            match ask(service, client).await {
                Ok(()) => found = true,
                Err(Answer::Call(status)) if status.code() == Code::NotFound => {}
                Err(Answer::Call(status)) => return Err(status.into()),
                Err(Answer::Told(failure)) => {
                    found = true;
                    refused = Err(failure);
                }
            }
            Ok(())
        });
        asked.await?;
        if found {
            refused
        } else {
            Err(not_parked(what))
        }
    }
}

/// Why a service did not do what it was asked for.
enum Answer {
    /// Its status.
    Call(Status),
    /// What the command says about an answer.
    Told(Failure),
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Call(status)
    }
}

impl From<std::io::Error> for Answer {
    fn from(error: std::io::Error) -> Self {
        Self::Told(error.into())
    }
}

fn not_parked(what: &str) -> Failure {
    let message = format!(
        "NOT_FOUND: nothing of {what} is parked; shop parked list shows what is, \
         shop parked actions what was done"
    );
    Failure::new(Exit::Refused, message)
}

/// Asks for page after page until `limit` items have come, or all. `ask` takes a page's size and
/// token, and tells how many items came and the next page's token.
async fn pages<E>(
    limit: Option<NonZeroUsize>,
    mut ask: impl AsyncFnMut(i32, String) -> Result<(usize, String), E>,
) -> Result<(), E> {
    let mut left = limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(left).map_or(PAGE_SIZE_MAX, |left| left.min(PAGE_SIZE_MAX));
        let (came, next) = ask(page_size, page_token).await?;
        left = left.saturating_sub(came);
        if next.is_empty() || left == 0 {
            return Ok(());
        }
        page_token = next;
    }
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let mut lister = Lister::new(stdout(), args.asking.output);
    let age = args.older_than.unwrap_or_default().as_secs();
    let asked = args.asking.each(async |service, mut client| {
        pages(args.limit, async |page_size, page_token| {
            let request = args.asking.request(ListParkedRequest {
                key: args.key.clone(),
                reason: args.reason.clone().unwrap_or_default(),
                age_min_seconds: i64::try_from(age).unwrap_or(i64::MAX),
                page_size,
                page_token,
            });
            let page = client.list_parked(request).await?.into_inner();
            lister.page_of(service.name(), &page.messages)?;
            Ok((page.messages.len(), page.next_page_token))
        })
        .await
    });
    asked.await
}

async fn show(args: &ShowArgs) -> Result<(), Failure> {
    let asking = &args.asking;
    let what = args.message.to_string();
    let shown = asking.where_parked(&what, async |service, mut client| {
        let place = Some(args.message.place());
        let request = asking.request(GetParkedRequest { place });
        let parked = client.get_parked(request).await?.into_inner();
        let mut out = stdout();
        match asking.output {
            Format::Table => parked_sheet(&mut out, service.name(), &parked)?,
            Format::Json => writeln!(out, "{}", json::line_of(service.name(), &parked))?,
        }
        Ok(())
    });
    shown.await
}

async fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let asking = &args.asking;
    let at = At::from_str(&args.key).ok();
    let replayed = asking.where_parked(&args.key, async |service, mut client| {
        let request = asking.request(ReplayParkedRequest {
            aggregate_kind: String::new(),
            aggregate_id: at
                .as_ref()
                .map_or_else(|| args.key.clone(), |_| String::new()),
            place: at.as_ref().map(At::place),
            dry_run: args.dry_run,
            operator: args.operator.operator.clone(),
            reason: args.reason.clone(),
        });
        let answer = client.replay_parked(request).await?.into_inner();
        let mut out = stdout();
        match asking.output {
            Format::Table => {
                let mut lister = Lister::new(&mut out, Format::Table);
                lister.page_of(service.name(), &answer.outcomes)?;
                writeln!(out)?;
                Lister::new(&mut out, Format::Table).page(std::slice::from_ref(&answer))?;
            }
            Format::Json => writeln!(out, "{}", json::line_of(service.name(), &answer))?,
        }
        match answer.outcomes.last() {
            Some(last) if last.outcome == "parked" => Err(Answer::Told(Failure::new(
                Exit::Refused,
                format!("{service}: a message stays parked, and all that stands behind it"),
            ))),
            _ => Ok(()),
        }
    });
    replayed.await
}

async fn discard(args: &DiscardArgs) -> Result<(), Failure> {
    let asking = &args.asking;
    let what = args.message.to_string();
    let discarded = asking.where_parked(&what, async |service, mut client| {
        let request = asking.request(DiscardParkedRequest {
            place: Some(args.message.place()),
            operator: args.operator.operator.clone(),
            reason: args.reason.clone(),
        });
        let answer = client.discard_parked(request).await?.into_inner();
        let mut out = stdout();
        match asking.output {
            Format::Table => writeln!(
                out,
                "{service}: {what} is taken out; action {}",
                answer.action_id
            )?,
            Format::Json => writeln!(out, "{}", json::line_of(service.name(), &answer))?,
        }
        Ok(())
    });
    discarded.await
}

async fn actions(args: &TrailArgs) -> Result<(), Failure> {
    let mut lister = Lister::new(stdout(), args.asking.output);
    let asked = args.asking.each(async |service, mut client| {
        pages(Some(args.limit), async |page_size, page_token| {
            let request = args.asking.request(ListActionsRequest {
                page_size,
                page_token,
            });
            let page = client.list_actions(request).await?.into_inner();
            lister.page_of(service.name(), &page.actions)?;
            Ok((page.actions.len(), page.next_page_token))
        })
        .await
    });
    asked.await
}

async fn conflicts(args: &ConflictsArgs) -> Result<(), Failure> {
    let mut lister = Lister::new(stdout(), args.asking.output);
    let asked = args.asking.each(async |service, mut client| {
        pages(args.limit, async |page_size, page_token| {
            let request = args.asking.request(ListConflictsRequest {
                key: args.key.clone(),
                page_size,
                page_token,
            });
            let page = client.list_conflicts(request).await?.into_inner();
            lister.page_of(service.name(), &page.conflicts)?;
            Ok((page.conflicts.len(), page.next_page_token))
        })
        .await
    });
    asked.await
}
