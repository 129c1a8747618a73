//! `shop shards`: who owns what, and how far it has come.

use std::io::stdout;

use contracts::proto::ListShardsRequest;

use super::asking::Asking;
use crate::exit::Failure;
use crate::output::Lister;

/// The flags of `shop shards`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    asking: Asking,
}

/// Lists the shards of every service; of one that does not answer, why not.
pub(super) async fn shards(args: &Args) -> Result<(), Failure> {
    let asking = &args.asking;
    let mut found = Vec::new();
    let asked = asking.each(async |service, mut client| {
        let request = asking.request(ListShardsRequest {});
        let answer = client.list_shards(request).await?.into_inner();
        found.extend(answer.shards.into_iter().map(|shard| (service, shard)));
        Ok(())
    });
    let asked = asked.await;
    let rows: Vec<_> = found
        .iter()
        .map(|(service, shard)| (service.name(), shard))
        .collect();
    Lister::new(stdout(), asking.output).page_of_several(&rows)?;
    asked
}
