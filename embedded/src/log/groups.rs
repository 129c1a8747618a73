//! Consumer groups: who is a member, and who was assigned what. Members live in memory only;
//! after a restart they join again and resume at their committed offsets.
//!
//! A rebalance starts when a member joins, leaves or falls silent. It ends when every member has
//! joined again, or at the deadline without those who have not. Time is looked at when a request
//! comes in and while members wait, so no task of its own is needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::limits::{GROUP_MEMBERS_MAX, GROUP_TEXT_BYTES_MAX, GROUPS_MAX};

/// All consumer groups.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Mutex<HashMap<String, Group>>,
    /// Makes member ids differ from those of an earlier run.
    run: i64,
}

/// What a member says when it joins.
#[derive(Debug, Clone)]
pub(super) struct Join {
    pub(super) group: String,
    /// Empty for a new member.
    pub(super) member: String,
    pub(super) client_id: String,
    pub(super) protocol_type: String,
    /// Assignment protocols it knows, in order of preference, with its subscription.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
}

/// A member's place in a new generation.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) protocol: String,
    pub(super) leader: String,
    pub(super) member: String,
    /// Everybody's subscription, for the leader only.
    pub(super) members: Vec<(String, Bytes)>,
}

#[derive(Debug)]
struct Group {
    phase: Phase,
    generation: i32,
    protocol_type: String,
    leader: String,
    members: BTreeMap<String, Member>,
    joined: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for all members to join, until the deadline.
    Joining { deadline: Instant },
    /// Waiting for the leader's assignment.
    Syncing,
    /// At work.
    Stable,
}

#[derive(Debug)]
struct Member {
    protocols: Vec<(String, Bytes)>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    seen: Instant,
    join: Option<oneshot::Sender<Joined>>,
    sync: Option<oneshot::Sender<Result<Bytes, ResponseError>>>,
    assignment: Bytes,
}

/// A wait of a joining member is cut into pieces no longer than this, to look at the time.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

impl Groups {
    /// No groups yet; `now_ms` tells this run from others.
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            groups: Mutex::default(),
            run: now_ms,
        }
    }

    /// Joins a group and waits until the rebalance is over.
    pub(super) async fn join(&self, join: Join) -> Result<Joined, ResponseError> {
        let group = join.group.clone();
        let mut joined = self.enter(join)?;
        loop {
            match timeout_at(Instant::now() + LOOK_INTERVAL, &mut joined).await {
                Ok(Ok(joined)) => return Ok(joined),
                Ok(Err(_)) => return Err(ResponseError::UnknownMemberId),
                Err(_) => self
                    .lock()
                    .get_mut(&group)
                    .map_or((), |g| g.look(Instant::now())),
            }
        }
    }

    fn enter(&self, join: Join) -> Result<oneshot::Receiver<Joined>, ResponseError> {
        let texts = [&join.group, &join.client_id, &join.protocol_type];
        if join.group.is_empty() || texts.iter().any(|text| text.len() > GROUP_TEXT_BYTES_MAX) {
            return Err(ResponseError::InvalidGroupId);
        }
        let now = Instant::now();
        let mut groups = self.lock();
        if groups.len() >= GROUPS_MAX && !groups.contains_key(&join.group) {
            groups.retain(|_, group| {
                group.look(now);
                !group.members.is_empty()
            });
            if groups.len() >= GROUPS_MAX {
                return Err(ResponseError::GroupMaxSizeReached);
            }
        }
        let group = groups
            .entry(join.group.clone())
            .or_insert_with(|| Group::new(now));
        group.look(now);
        group.enter(join, self.run, now)
    }

    /// Takes the leader's assignment, or waits for it, and returns the member's own share.
    pub(super) async fn sync(
        &self,
        group: &str,
        member: &str,
        generation: i32,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<Bytes, ResponseError> {
        let (assigned, deadline) = {
            let mut groups = self.lock();
            let group = groups
                .get_mut(group)
                .ok_or(ResponseError::UnknownMemberId)?;
            group.check(member, generation)?;
            group.sync(member, assignments)?
        };
        match timeout_at(deadline, assigned).await {
            Ok(Ok(assigned)) => assigned,
            Ok(Err(_)) | Err(_) => Err(ResponseError::RebalanceInProgress),
        }
    }

    /// Notes that a member is alive; tells it when it has to join again.
    pub(super) fn heartbeat(
        &self,
        group: &str,
        member: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let mut groups = self.lock();
        let group = groups
            .get_mut(group)
            .ok_or(ResponseError::UnknownMemberId)?;
        group.check(member, generation)?;
        match group.phase {
            Phase::Joining { .. } => Err(ResponseError::RebalanceInProgress),
            Phase::Syncing | Phase::Stable => Ok(()),
        }
    }

    /// Removes a member.
    pub(super) fn leave(&self, group: &str, member: &str) -> Result<(), ResponseError> {
        let mut groups = self.lock();
        let known = groups
            .get_mut(group)
            .ok_or(ResponseError::UnknownMemberId)?;
        known
            .members
            .remove(member)
            .ok_or(ResponseError::UnknownMemberId)?;
        if known.members.is_empty() {
            groups.remove(group);
        } else {
            known.rebalance(Instant::now());
        }
        Ok(())
    }

    /// Whether this member may commit offsets; a generation of -1 commits without membership,
    /// which only a group without members allows.
    pub(super) fn may_commit(
        &self,
        group: &str,
        member: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let mut groups = self.lock();
        let Some(group) = groups.get_mut(group) else {
            return if generation < 0 {
                Ok(())
            } else {
                Err(ResponseError::IllegalGeneration)
            };
        };
        group.look(Instant::now());
        if generation < 0 && group.members.is_empty() {
            return Ok(());
        }
        group.check(member, generation)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Joining { deadline: now },
            generation: 0,
            protocol_type: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            joined: 0,
        }
    }

    fn enter(
        &mut self,
        join: Join,
        run: i64,
        now: Instant,
    ) -> Result<oneshot::Receiver<Joined>, ResponseError> {
        if !join.member.is_empty() && !self.members.contains_key(&join.member) {
            return Err(ResponseError::UnknownMemberId);
        }
        let others = || self.members.iter().filter(|(id, _)| **id != join.member);
        let is_shared = |name: &String| others().all(|(_, other)| other.protocol(name).is_some());
        let agrees = join.protocols.iter().any(|(name, _)| is_shared(name))
            && (others().next().is_none() || self.protocol_type == join.protocol_type);
        if !agrees {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if join.member.is_empty() && self.members.len() >= GROUP_MEMBERS_MAX {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        let (answer, joined) = oneshot::channel();
        self.joined += 1;
        let id = if join.member.is_empty() {
            format!("{}-{run}-{}", join.client_id, self.joined)
        } else {
            join.member
        };
        self.protocol_type = join.protocol_type;
        let member = Member {
            protocols: join.protocols,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            seen: now,
            join: Some(answer),
            sync: None,
            assignment: Bytes::new(),
        };
        self.members.insert(id, member);
        self.rebalance(now);
        self.finish_joining(now);
        Ok(joined)
    }

    /// Checks a member and its generation, and notes that it is alive.
    fn check(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.look(Instant::now());
        let known = self
            .members
            .get_mut(member)
            .ok_or(ResponseError::UnknownMemberId)?;
        known.seen = Instant::now();
        if generation == self.generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    /// Removes silent members and ends a rebalance whose time is over.
    fn look(&mut self, now: Instant) {
        let before = self.members.len();
        self.members.retain(|_, member| {
            let waits = member.join.as_ref().is_some_and(|join| !join.is_closed())
                || member.sync.as_ref().is_some_and(|sync| !sync.is_closed());
            waits || now < member.seen + member.session_timeout
        });
        if self.members.len() < before {
            self.rebalance(now);
        }
        self.finish_joining(now);
    }

    /// Asks every member to join again.
    fn rebalance(&mut self, now: Instant) {
        if let Phase::Joining { .. } = self.phase
            && self.generation > 0
        {
            return;
        }
        let timeout = self
            .members
            .values()
            .map(|member| member.rebalance_timeout)
            .max();
        self.phase = Phase::Joining {
            deadline: now + timeout.unwrap_or_default(),
        };
        for member in self.members.values_mut() {
            if let Some(sync) = member.sync.take() {
                // A member that has gone joins again or falls silent.
                let _ = sync.send(Err(ResponseError::RebalanceInProgress));
            }
        }
    }

    /// Starts the next generation if all have joined, or the time to do so is over.
    fn finish_joining(&mut self, now: Instant) {
        let Phase::Joining { deadline } = self.phase else {
            return;
        };
        let all_joined = self.members.values().all(|member| member.join.is_some());
        if self.members.is_empty() || (!all_joined && now < deadline) {
            return;
        }
        self.members.retain(|_, member| member.join.is_some());
        let Some(leader) = self.choose_leader() else {
            return;
        };
        let Some(protocol) = self.choose_protocol(&leader) else {
            return;
        };
        self.generation += 1;
        self.phase = Phase::Syncing;
        self.leader = leader;
        let subscriptions: Vec<(String, Bytes)> = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.protocol(&protocol).unwrap_or_default()))
            .collect();
        for (id, member) in &mut self.members {
            member.seen = now;
            let members = if *id == self.leader {
                subscriptions.clone()
            } else {
                Vec::new()
            };
            let joined = Joined {
                generation: self.generation,
                protocol: protocol.clone(),
                leader: self.leader.clone(),
                member: id.clone(),
                members,
            };
            if let Some(join) = member.join.take() {
                // A member that has gone falls silent and is removed then.
                let _ = join.send(joined);
            }
        }
    }

    fn choose_leader(&self) -> Option<String> {
        let known = self.members.contains_key(&self.leader);
        if known {
            Some(self.leader.clone())
        } else {
            self.members.keys().next().cloned()
        }
    }

    /// The leader's favourite among what all members know.
    fn choose_protocol(&self, leader: &str) -> Option<String> {
        let is_shared = |name: &str| self.members.values().all(|m| m.protocol(name).is_some());
        let offered = &self.members.get(leader)?.protocols;
        offered
            .iter()
            .map(|(name, _)| name)
            .find(|name| is_shared(name))
            .cloned()
    }

    fn sync(
        &mut self,
        member: &str,
        assignments: Vec<(String, Bytes)>,
    ) -> Result<(oneshot::Receiver<Result<Bytes, ResponseError>>, Instant), ResponseError> {
        if let Phase::Joining { .. } = self.phase {
            return Err(ResponseError::RebalanceInProgress);
        }
        let (answer, assigned) = oneshot::channel();
        let known = self
            .members
            .get_mut(member)
            .ok_or(ResponseError::UnknownMemberId)?;
        let deadline = Instant::now() + known.rebalance_timeout;
        known.sync = Some(answer);
        if self.phase == Phase::Syncing && member == self.leader {
            for (id, assignment) in assignments {
                if let Some(member) = self.members.get_mut(&id) {
                    member.assignment = assignment;
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            for member in self.members.values_mut() {
                if let Some(sync) = member.sync.take() {
                    member.seen = Instant::now();
                    // A member that has gone asks again or falls silent.
                    let _ = sync.send(Ok(member.assignment.clone()));
                }
            }
        }
        Ok((assigned, deadline))
    }
}

impl Member {
    fn protocol(&self, name: &str) -> Option<Bytes> {
        let found = self.protocols.iter().find(|(known, _)| known == name);
        found.map(|(_, subscription)| subscription.clone())
    }
}

#[cfg(test)]
mod tests;
