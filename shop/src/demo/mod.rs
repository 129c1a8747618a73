//! `shop demo`: what the store promises, told and shown in a store of its own.
//!
//! The stories run on a `stage`: a store in a temporary directory whose Inventory can be
//! taken away and brought back. Every step checks what it shows; a step that shows something else
//! fails the demo. Nothing sleeps: each wait watches for what it waits for, within a limit.

use crate::exit::Failure;

mod stage;
mod stories;
mod told;

/// The flags of `shop demo`: none.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {}

/// Tells and shows the four stories.
///
/// # Errors
/// When a story does not come out as told, or the store cannot start.
pub async fn run(_: Args) -> Result<(), Failure> {
    told::say(
        "A store of its own, in a temporary directory: gateway, order, inventory, log, registry.",
    );
    let mut stage = stage::Stage::set().await?;
    let told = tell(&mut stage).await;
    stage.clear().await;
    told?;
    told::say("\nAll four stories came out as told. The temporary store is gone.");
    Ok(())
}

async fn tell(stage: &mut stage::Stage) -> Result<(), Failure> {
    stories::placed(stage).await?;
    stories::duplicated(stage).await?;
    stories::inventory_offline(stage).await?;
    stories::out_of_stock(stage).await
}
