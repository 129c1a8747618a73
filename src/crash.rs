//! Named places between two steps that a crash may part, where tests on real processes make one.
//!
//! Only the feature `crash-points` gives them a meaning: then the environment variable
//! `SHOP_CRASH_AT=PLACE:N` ends the process, as kill -9 does, when it comes to the place for the
//! Nth time, and `SHOP_STOP_AT=PLACE:N` lets it stand still there until somebody wakes it (SIGCONT).
//! Without the feature the places are empty functions and the variables are never read.

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A turn's transaction has begun and proved ownership.
    TurnBegun,
    /// A turn has written everything and not said COMMIT.
    BeforeCommit,
    /// A turn waits for the answer to COMMIT. `SHOP_CRASH_AT=inside-commit:N:MICROSECONDS` says how
    /// long it waits before the end comes.
    InsideCommit,
    /// A turn is committed, and nobody has been told.
    AfterCommit,
    /// Outbox rows are about to be appended.
    BeforeAppend,
    /// The log has acknowledged outbox rows, and nothing tells of it.
    AfterAppend,
    /// A command is about to be appended.
    BeforeSubmit,
    /// The log has acknowledged a command, and the client has no answer.
    AfterSubmit,
}

impl Point {
    /// Every place.
    pub const ALL: [Self; 8] = [
        Self::TurnBegun,
        Self::BeforeCommit,
        Self::InsideCommit,
        Self::AfterCommit,
        Self::BeforeAppend,
        Self::AfterAppend,
        Self::BeforeSubmit,
        Self::AfterSubmit,
    ];

    /// Its name in `SHOP_CRASH_AT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TurnBegun => "turn-begun",
            Self::BeforeCommit => "before-commit",
            Self::InsideCommit => "inside-commit",
            Self::AfterCommit => "after-commit",
            Self::BeforeAppend => "before-append",
            Self::AfterAppend => "after-append",
            Self::BeforeSubmit => "before-submit",
            Self::AfterSubmit => "after-submit",
        }
    }
}

#[cfg(feature = "crash-points")]
pub use armed::{During, during, here};

/// Comes to `point`: nothing happens in this build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn here(point: Point) {
    let _ = point;
}

/// Stays at a place until it is dropped.
#[cfg(not(feature = "crash-points"))]
#[derive(Debug)]
#[must_use = "dropping it leaves the place"]
pub struct During;

/// Stays at `point` until the result is dropped: nothing happens in this build.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub const fn during(point: Point) -> During {
    let _ = point;
    During
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::process::Command;
    use std::str::FromStr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    use super::Point;

    /// Ends only when the process of this number stands still: a signal takes a moment to arrive, and
    /// the thread that waits for this must not go on before.
    const STAND_STILL: &str = r#"
        kill -s STOP "$0"
        until grep -q '^State:[[:space:]]*T' "/proc/$0/status"; do :; done
    "#;

    /// What is still to happen; a variable that cannot be read is a mistake in a test, and loud.
    static PLAN: LazyLock<Mutex<Option<Plan>>> = LazyLock::new(|| {
        let given = [Deed::End, Deed::StandStill]
            .into_iter()
            .find_map(|deed| Some((deed, std::env::var(deed.variable()).ok()?)));
        Mutex::new(given.map(|(deed, text)| {
            let variable = deed.variable();
            let plan = text.parse();
            let plan: Plan = plan
                .unwrap_or_else(|()| panic!("{variable}={text}: write PLACE:N or PLACE:N:MICROS"));
            Plan { deed, ..plan }
        }))
    });

    /// What happens at the place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Deed {
        End,
        StandStill,
    }

    impl Deed {
        /// Names the place and the visit.
        fn variable(self) -> &'static str {
            match self {
                Self::End => "SHOP_CRASH_AT",
                Self::StandStill => "SHOP_STOP_AT",
            }
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Plan {
        deed: Deed,
        point: Point,
        /// Visits to come, the last of which is the end.
        left: u64,
        /// How long after the visit has begun, for a place where a process stays.
        delay: Duration,
    }

    impl FromStr for Plan {
        type Err = ();

        fn from_str(text: &str) -> Result<Self, ()> {
            let mut parts = text.split(':');
            let name = parts.next().unwrap_or_default();
            let mut number = |default: u64| match parts.next() {
                None => Ok(default),
                Some(text) => text.parse().map_err(|_| ()),
            };
            Ok(Self {
                deed: Deed::End,
                point: Point::ALL
                    .into_iter()
                    .find(|point| point.name() == name)
                    .ok_or(())?,
                left: number(1)?,
                delay: Duration::from_micros(number(0)?),
            })
        }
    }

    /// Comes to `point`; if this is the visit, what was planned happens.
    pub fn here(point: Point) {
        if let Some(plan) = the_visit(point) {
            carry_out(plan);
        }
    }

    /// Stays at a place until it is dropped.
    #[derive(Debug)]
    #[must_use = "dropping it leaves the place"]
    pub struct During(Option<Arc<AtomicBool>>);

    /// Stays at `point` until the result is dropped; if this is the visit, what was planned happens
    /// before that, or at a later visit after half the delay if this one is too short.
    pub fn during(point: Point) -> During {
        let Some(plan) = the_visit(point) else {
            return During(None);
        };
        let left = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&left);
        std::thread::spawn(move || {
            std::thread::sleep(plan.delay);
            if !watched.load(Ordering::SeqCst) {
                return carry_out(plan);
            }
            *PLAN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Plan {
                left: 1,
                delay: plan.delay / 2,
                ..plan
            });
        });
        During(Some(left))
    }

    impl Drop for During {
        fn drop(&mut self) {
            if let Some(left) = &self.0 {
                left.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The plan, if it is about this visit.
    fn the_visit(point: Point) -> Option<Plan> {
        let mut plan = PLAN.lock().unwrap_or_else(PoisonError::into_inner);
        let due = plan.as_mut().filter(|plan| plan.point == point)?;
        due.left = due.left.saturating_sub(1);
        if due.left > 0 {
            return None;
        }
        plan.take()
    }

    fn carry_out(plan: Plan) {
        let (variable, place) = (plan.deed.variable(), plan.point.name());
        match plan.deed {
            Deed::End => {
                eprintln!("{variable}: the end at {place}");
                // No destructor runs and no buffer is written, as after SIGKILL.
                std::process::abort()
            }
            Deed::StandStill => {
                eprintln!("{variable}: standing still at {place}");
                let own = std::process::id().to_string();
                let stopped = Command::new("sh").args(["-c", STAND_STILL, &own]).status();
                eprintln!("{variable}: going on after {place}: {stopped:?}");
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_plan_is_read() {
            let plan = |point, left, micros| Plan {
                deed: Deed::End,
                point,
                left,
                delay: Duration::from_micros(micros),
            };
            assert_eq!("after-append".parse(), Ok(plan(Point::AfterAppend, 1, 0)));
            assert_eq!("turn-begun:3".parse(), Ok(plan(Point::TurnBegun, 3, 0)));
            assert_eq!(
                "inside-commit:3:250".parse(),
                Ok(plan(Point::InsideCommit, 3, 250))
            );
            for nonsense in ["", "nowhere:1", "turn-begun:x", "turn-begun:1:y"] {
                assert_eq!(nonsense.parse::<Plan>(), Err(()), "{nonsense}");
            }
        }
    }
}
