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

/// Lists the shards of every service.
pub(super) async fn shards(args: &Args) -> Result<(), Failure> {
    let asking = &args.asking;
    let mut lister = Lister::new(stdout(), asking.output);
    let asked = asking.each(async |service, mut client| {
        let request = asking.request(ListShardsRequest {});
        let answer = client.list_shards(request).await?.into_inner();
        lister.page_of(service.name(), &answer.shards)?;
        Ok(())
    });
    asked.await
}
