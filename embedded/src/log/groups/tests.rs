//! Groups as their members see them; time is the test's.

use std::sync::Arc;

use super::*;

const GROUP: &str = "readers";
const SESSION: Duration = Duration::from_secs(6);

fn join(member: &str, protocols: &[&str]) -> Join {
    let known = |name: &&str| ((*name).to_owned(), Bytes::from_static(b"topics"));
    Join {
        group: GROUP.to_owned(),
        member: member.to_owned(),
        client_id: "kcat".to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: protocols.iter().map(known).collect(),
        session_timeout: SESSION,
        rebalance_timeout: SESSION * 2,
    }
}

/// A group at work with one member.
async fn with_one_member() -> (Arc<Groups>, Joined) {
    let groups = Arc::new(Groups::new(1));
    let joined = groups.join(join("", &["range"])).await.unwrap();
    let share = vec![(joined.member.clone(), Bytes::from_static(b"all"))];
    let got = groups
        .sync(GROUP, &joined.member, joined.generation, share)
        .await;
    assert_eq!(got.unwrap(), "all");
    (groups, joined)
}

#[tokio::test(start_paused = true)]
async fn the_first_member_leads_and_assigns() {
    let (groups, joined) = with_one_member().await;
    assert_eq!((joined.generation, joined.protocol.as_str()), (1, "range"));
    assert_eq!(joined.leader, joined.member);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(groups.heartbeat(GROUP, &joined.member, 1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_second_member_starts_a_rebalance_that_both_finish() {
    let (groups, first) = with_one_member().await;
    let enters = async {
        groups
            .join(join("", &["roundrobin", "range"]))
            .await
            .unwrap()
    };
    let returns = async {
        let told = || groups.heartbeat(GROUP, &first.member, 1);
        while told() != Err(ResponseError::RebalanceInProgress) {
            tokio::task::yield_now().await;
        }
        groups.join(join(&first.member, &["range"])).await.unwrap()
    };
    let (second, first) = tokio::join!(enters, returns);
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!(
        (&first.leader, &second.leader),
        (&first.member, &first.member)
    );
    assert_eq!(second.protocol, "range", "what both know");
    assert_eq!((first.members.len(), second.members.len()), (2, 0));

    let share = |of: &Joined, what: &'static [u8]| (of.member.clone(), Bytes::from_static(what));
    let shares = vec![share(&first, b"even"), share(&second, b"odd")];
    let (odd, even) = tokio::join!(
        groups.sync(GROUP, &second.member, 2, Vec::new()),
        groups.sync(GROUP, &first.member, 2, shares)
    );
    assert_eq!(
        (even.unwrap(), odd.unwrap()),
        (Bytes::from("even"), Bytes::from("odd"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_replaced_after_its_session() {
    let (groups, silent) = with_one_member().await;
    let started = Instant::now();
    let joined = groups.join(join("", &["range"])).await.unwrap();
    assert!(started.elapsed() >= SESSION, "it is given its time");
    assert!(
        started.elapsed() <= SESSION + LOOK_INTERVAL * 2,
        "{:?}",
        started.elapsed()
    );
    assert_eq!(joined.leader, joined.member);
    let heard = groups.heartbeat(GROUP, &silent.member, 1);
    assert_eq!(heard, Err(ResponseError::UnknownMemberId));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_makes_room_at_once() {
    let (groups, first) = with_one_member().await;
    groups.leave(GROUP, &first.member).unwrap();
    assert_eq!(
        groups.leave(GROUP, &first.member),
        Err(ResponseError::UnknownMemberId)
    );
    let started = Instant::now();
    groups.join(join("", &["range"])).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn strangers_and_old_generations_are_refused() {
    let (groups, first) = with_one_member().await;
    let member = first.member.as_str();
    assert_eq!(
        groups.heartbeat(GROUP, member, 7),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        groups.heartbeat(GROUP, "x", 1),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        groups.heartbeat("x", member, 1),
        Err(ResponseError::UnknownMemberId)
    );
    let refused = groups.join(join("x", &["range"])).await.unwrap_err();
    assert_eq!(refused, ResponseError::UnknownMemberId);
    let refused = groups.join(join("", &["sticky"])).await.unwrap_err();
    assert_eq!(refused, ResponseError::InconsistentGroupProtocol);
}

#[tokio::test(start_paused = true)]
async fn only_members_commit_while_there_are_any() {
    let (groups, first) = with_one_member().await;
    assert_eq!(groups.may_commit(GROUP, &first.member, 1), Ok(()));
    let unknown = Err(ResponseError::UnknownMemberId);
    assert_eq!(groups.may_commit(GROUP, "", -1), unknown);
    assert_eq!(groups.may_commit("nobody", "", -1), Ok(()));
    groups.leave(GROUP, &first.member).unwrap();
    assert_eq!(groups.may_commit(GROUP, "", -1), Ok(()));
}
