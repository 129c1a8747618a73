use super::*;

const LOCK: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

struct Given {
    locks: Locks,
    now: Instant,
}

fn given() -> Given {
    let timeouts = Timeouts {
        lock: LOCK,
        idle_in_transaction: IDLE,
    };
    Given {
        locks: Locks::within(timeouts),
        now: Instant::now(),
    }
}

impl Given {
    fn begin<const N: usize>(&mut self) -> [TxId; N] {
        [(); N].map(|()| self.locks.begin(self.now))
    }

    /// Whether the lock is held; `Err` when the transaction is lost.
    fn ask(&mut self, id: TxId, row: &str) -> Result<bool, Lost> {
        let asked = self.locks.ask(id, &lock(row), self.now)?;
        Ok(matches!(asked, Asked::Held))
    }

    fn until(&mut self, id: TxId, row: &str) -> Instant {
        match self.locks.ask(id, &lock(row), self.now).unwrap() {
            Asked::Wait { until, .. } => until,
            Asked::Held => panic!("{row} was free"),
        }
    }

    fn arrive(&mut self, id: TxId) -> Result<(), Lost> {
        self.locks.arrive(id, self.now)
    }

    fn end(&mut self, id: TxId) {
        self.locks.end(id, self.now);
    }
}

fn lock(row: &str) -> Lock {
    Lock::Row("t", row.as_bytes().to_vec())
}

#[test]
fn waiters_are_served_in_the_order_of_asking() {
    let mut given = given();
    let [first, second, third] = given.begin();
    assert_eq!(given.ask(first, "a"), Ok(true));
    assert_eq!(given.ask(third, "a"), Ok(false));
    assert_eq!(given.ask(second, "a"), Ok(false));
    let [other] = given.begin();
    assert_eq!(given.ask(other, "b"), Ok(true), "another row is free");
    given.end(other);
    given.end(first);
    assert_eq!(given.ask(second, "a"), Ok(false));
    assert_eq!(given.ask(third, "a"), Ok(true));
    given.end(third);
    assert_eq!(given.ask(second, "a"), Ok(true));
    assert_eq!(given.ask(second, "a"), Ok(true), "one's own lock is held");
    given.end(second);
    assert!(given.locks.held.is_empty() && given.locks.transactions.is_empty());
}

#[test]
fn who_waits_too_long_is_undone_and_the_holder_is_not() {
    let mut given = given();
    let [holder, waiter] = given.begin();
    given.ask(waiter, "b").unwrap();
    given.ask(holder, "a").unwrap();
    assert_eq!(given.until(waiter, "a"), given.now + LOCK);
    given.now += LOCK;
    assert_eq!(given.ask(waiter, "a"), Err(Lost::LockTimeout));
    assert_eq!(
        given.arrive(waiter),
        Err(Lost::LockTimeout),
        "it stays undone"
    );
    assert_eq!(given.arrive(holder), Ok(()));
    assert_eq!(given.ask(holder, "b"), Ok(true), "what it held is free");
}

#[test]
fn a_holder_that_rests_too_long_is_undone_by_who_waits_for_it() {
    let mut given = given();
    let [holder, waiter] = given.begin();
    given.ask(holder, "a").unwrap();
    given.now += IDLE - SECOND;
    assert_eq!(given.until(waiter, "a"), given.now + SECOND);
    given.now += SECOND;
    assert_eq!(given.ask(waiter, "a"), Ok(true));
    assert_eq!(given.arrive(holder), Err(Lost::Idle));
}

#[test]
fn a_statement_starts_the_holders_rest_again() {
    let mut given = given();
    let [holder, waiter] = given.begin();
    given.ask(holder, "a").unwrap();
    given.now += IDLE - SECOND;
    given.arrive(holder).unwrap();
    given.now += SECOND;
    assert_eq!(given.ask(waiter, "a"), Ok(false));
}

#[test]
fn who_rests_too_long_finds_out_even_if_nobody_waited() {
    let mut given = given();
    let [alone] = given.begin();
    given.ask(alone, "a").unwrap();
    given.now += IDLE;
    assert_eq!(given.arrive(alone), Err(Lost::Idle));
    assert!(given.locks.held.is_empty());
}

#[test]
fn a_waiter_that_nobody_asks_after_is_passed_over_when_its_time_is_up() {
    let mut given = given();
    let [holder, paused, waiter] = given.begin();
    given.ask(holder, "a").unwrap();
    given.ask(paused, "a").unwrap();
    given.now += LOCK;
    assert_eq!(given.ask(waiter, "a"), Ok(false));
    given.end(holder);
    assert_eq!(given.ask(waiter, "a"), Ok(true));
    assert_eq!(given.arrive(paused), Err(Lost::LockTimeout));
}

#[test]
fn a_paused_waiter_does_not_keep_what_it_holds() {
    let mut given = given();
    let [holder, paused, waiter] = given.begin();
    given.ask(holder, "a").unwrap();
    given.ask(paused, "b").unwrap();
    given.ask(paused, "a").unwrap();
    given.now += LOCK;
    assert_eq!(given.ask(waiter, "b"), Ok(true));
    assert_eq!(given.arrive(paused), Err(Lost::LockTimeout));
}

#[test]
fn of_those_that_wait_for_each_other_the_youngest_is_undone() {
    for youngest_asks_last in [true, false] {
        let mut given = given();
        let [a, b, c] = given.begin();
        for (id, own) in [(a, "a"), (b, "b"), (c, "c")] {
            assert_eq!(given.ask(id, own), Ok(true));
        }
        assert_eq!(given.ask(b, "c"), Ok(false));
        let asks = if youngest_asks_last {
            [(a, "b"), (c, "a")]
        } else {
            [(c, "a"), (a, "b")]
        };
        given.ask(asks[0].0, asks[0].1).unwrap();
        let closes = given.ask(asks[1].0, asks[1].1);
        assert_eq!(closes.is_err(), youngest_asks_last);
        assert_eq!(given.arrive(c), Err(Lost::Deadlock));
        assert_eq!(given.ask(b, "c"), Ok(true));
        given.end(b);
        assert_eq!(given.ask(a, "b"), Ok(true));
    }
}

#[test]
fn a_statement_given_up_in_the_middle_of_its_wait_gets_nothing() {
    let mut given = given();
    let [holder, waiter, next] = given.begin();
    given.ask(holder, "a").unwrap();
    given.ask(waiter, "a").unwrap();
    given.arrive(waiter).unwrap();
    given.ask(next, "a").unwrap();
    given.end(holder);
    assert_eq!(given.ask(next, "a"), Ok(true));
}

#[cfg(feature = "test-util")]
#[test]
fn nobody_gives_up_a_transaction_that_the_database_is_committing() {
    let mut given = given();
    let [committing, waiter] = given.begin();
    given.ask(committing, "a").unwrap();
    given.locks.committing(committing);
    given.now += IDLE * 2;
    assert_eq!(given.until(waiter, "a"), given.now + LOCK);
    assert_eq!(given.arrive(committing), Ok(()));
}

#[test]
fn a_waiter_that_goes_away_is_nobodys_holder() {
    let mut given = given();
    let [holder, gone, waiter] = given.begin();
    given.ask(holder, "a").unwrap();
    given.ask(gone, "a").unwrap();
    given.ask(waiter, "a").unwrap();
    given.end(gone);
    given.end(holder);
    assert_eq!(given.ask(waiter, "a"), Ok(true));
}
