//! Parked messages decided again: the same judgement as a batch of the log gets, and what it means
//! for rows that are parked.

use crate::context::{Context, Outgoing};
use crate::mutant::{self, Mutant};
use crate::runtime::decide::{Decided, Refused, Scene, Verdict, judge, refused};
use crate::runtime::item::Item;
use crate::store::{Effects, Outcome, OutcomeKind, Reparked, Seen};

/// What a replay came to.
#[derive(Debug)]
pub(crate) struct Replayed<E> {
    /// To commit beside the state; the outbox is still empty.
    pub(crate) decided: Decided<E>,
    /// What became of the messages, in order, up to one that stays parked.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether the last of them stays parked, and with it all that stands behind.
    pub(crate) stuck: bool,
}

/// Decides parked messages of one aggregate in order over `state`, up to the first that stays
/// parked. `seen` must not name the aggregate as parked.
pub(crate) fn replay<C: Context>(
    scene: &Scene<'_, C>,
    items: &[Item<C::Message>],
    seen: &mut Seen,
    mut state: Option<&mut C::State>,
) -> Result<Replayed<C::Event>, Refused> {
    let mut replayed = Replayed {
        decided: Decided::of(Effects::default()),
        outcomes: Vec::new(),
        stuck: false,
    };
    for item in items {
        let verdict = judge(scene.context, item, seen, state.as_deref_mut())
            .map_err(|error| refused(item, &error.to_string()))?;
        let outcome = outcome(scene, item, &verdict)?;
        replayed.outcomes.push(outcome);
        match verdict {
            Verdict::Park(unreadable) => {
                replayed.decided.effects.reparked.push(Reparked {
                    place: item.place(),
                    reason: unreadable.reason,
                    detail: unreadable.detail,
                });
                replayed.decided.tally.parked += 1;
                if scene.traced {
                    replayed.decided.told.push("parked");
                }
                replayed.stuck = true;
                return Ok(replayed);
            }
            verdict => {
                if !mutant::on(Mutant::ReplayedStayParked) {
                    replayed.decided.effects.unparked.push(item.place());
                }
                replayed.decided.record(scene, item, verdict, seen);
            }
        }
    }
    Ok(replayed)
}

/// A verdict in the words of the trail.
fn outcome<C: Context>(
    scene: &Scene<'_, C>,
    item: &Item<C::Message>,
    verdict: &Verdict<C::Event>,
) -> Result<Outcome, Refused> {
    let (kind, detail) = match verdict {
        Verdict::Ignored => (OutcomeKind::Ignored, String::new()),
        Verdict::Duplicate => (OutcomeKind::Duplicate, String::new()),
        Verdict::Conflict(_) => (OutcomeKind::Conflict, String::new()),
        Verdict::Park(unreadable) => (OutcomeKind::Parked, unreadable.detail.clone()),
        Verdict::Applied { events, .. } => {
            let types = types(scene, events).map_err(|detail| refused(item, &detail))?;
            (OutcomeKind::Applied, types)
        }
    };
    Ok(Outcome {
        place: item.place(),
        kind,
        detail,
        record: None,
    })
}

/// The types of `events`, in order.
fn types<C: Context>(
    scene: &Scene<'_, C>,
    events: &[Outgoing<C::Event>],
) -> Result<String, String> {
    let types: Result<Vec<&str>, String> = events
        .iter()
        .map(|outgoing| {
            let encoded = scene.context.encode(scene.writer, &outgoing.event);
            encoded
                .map(|encoded| encoded.message_type)
                .map_err(|error| error.to_string())
        })
        .collect();
    Ok(types?.join(", "))
}
