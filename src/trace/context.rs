//! W3C trace context (<https://www.w3.org/TR/trace-context/>): where a span stands in its trace; pure.

use std::fmt;
use std::str::FromStr;

/// The header, and the gRPC metadata key, that carries a [`SpanContext`].
pub const TRACEPARENT: &str = "traceparent";
/// The header that carries what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// Who made the parent span records it, and so should its children.
const SAMPLED: u8 = 0x01;
/// The trace id is random in its last 56 bits (Level 2, section 3.2.2.5.2).
const RANDOM: u8 = 0x02;
/// The bits that decide whether a trace begun here is recorded: those that are random.
const CHANCE_BITS: u32 = 56;

/// A span's place: its trace, its own id, and whether the trace is recorded.
///
/// Its text is the value of the header `traceparent`: `version-traceid-parentid-flags` in lower-case
/// hexadecimal (section 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span; never zero.
    pub span_id: u64,
    flags: u8,
}

impl SpanContext {
    /// The first span of a trace that begins here, which is recorded with the chance `ratio`.
    ///
    /// `trace_id` must be random; zero, which stands for no trace, becomes one.
    #[must_use]
    pub fn root(trace_id: u128, span_id: u64, ratio: f64) -> Self {
        let sampled = if is_chosen(trace_id, ratio) {
            SAMPLED
        } else {
            0
        };
        Self {
            trace_id: trace_id.max(1),
            span_id: span_id.max(1),
            flags: sampled | RANDOM,
        }
    }

    /// A span below this one, recorded as this one is. Flags that are not known here are not passed on
    /// (section 4.3).
    #[must_use]
    pub fn child(self, span_id: u64) -> Self {
        Self {
            span_id: span_id.max(1),
            flags: self.flags & (SAMPLED | RANDOM),
            ..self
        }
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The flags, as the header carries them.
    #[must_use]
    pub fn flags(self) -> u8 {
        self.flags
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace_id,
            span_id,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent of the W3C's trace context")]
pub struct Malformed;

impl FromStr for SpanContext {
    type Err = Malformed;

    /// Versions to come may append fields, and are read as version 00 (section 4.3).
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.split('-');
        let mut hex = |len: usize| {
            let part = parts.next().filter(|part| part.len() == len);
            let part = part.filter(|part| part.bytes().all(is_lower_hex));
            part.and_then(|part| u128::from_str_radix(part, 16).ok())
                .ok_or(Malformed)
        };
        let version = hex(2)?;
        let trace_id = hex(32)?;
        // Two and sixteen digits always fit.
        let span_id = u64::try_from(hex(16)?).map_err(|_| Malformed)?;
        let flags = u8::try_from(hex(2)?).map_err(|_| Malformed)?;
        let too_long = version == 0 && parts.next().is_some();
        if version == 0xff || trace_id == 0 || span_id == 0 || too_long {
            return Err(Malformed);
        }
        Ok(Self {
            trace_id,
            span_id,
            flags,
        })
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Whether a trace of this id is among the share `ratio` that is recorded. The answer is the same
/// everywhere, for the id alone decides.
fn is_chosen(trace_id: u128, ratio: f64) -> bool {
    let range = 1_u64 << CHANCE_BITS;
    let chance = u64::try_from(trace_id % u128::from(range)).unwrap_or(u64::MAX);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a chance need not be exact beyond 53 bits"
    )]
    let (chance, range) = (chance as f64, range as f64);
    // All of them also where rounding makes the chance as large as the range.
    ratio >= 1.0 || chance < ratio * range
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let context: SpanContext = TRACE.parse().unwrap();
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span_id, 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), TRACE);
        let unsampled: SpanContext = TRACE.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn a_version_to_come_may_say_more_and_version_00_may_not() {
        let later = format!("cc{}-what-more", &TRACE[2..]);
        let context: SpanContext = later.parse().unwrap();
        assert_eq!(context.to_string(), TRACE, "this is version 00");
        assert_eq!(
            format!("{TRACE}-more").parse::<SpanContext>(),
            Err(Malformed)
        );
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let (zeros, id) = ("0".repeat(32), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            String::new(),
            "00".to_owned(),
            "00-nothing".to_owned(),
            TRACE.to_uppercase(),
            format!("ff{}", &TRACE[2..]),
            TRACE.replace(id, &zeros),
            TRACE.replace("00f067aa0ba902b7", "0000000000000000"),
            TRACE.replace("4bf9", "+bf9"),
            TRACE[..TRACE.len() - 1].to_owned(),
            format!("{TRACE} "),
        ] {
            assert_eq!(bad.parse::<SpanContext>(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_child_is_in_the_same_trace_and_recorded_as_its_parent() {
        let parent: SpanContext = TRACE.replace("-01", "-fd").parse().unwrap();
        let child = parent.child(7);
        assert_eq!((child.trace_id, child.span_id), (parent.trace_id, 7));
        assert_eq!(child.flags(), 0x01, "unknown flags end here");
        assert_eq!(parent.child(0).span_id, 1, "zero is no span");
    }

    proptest! {
        #[test]
        fn every_context_survives_its_text(trace_id in 1_u128.., span_id in 1_u64.., ratio in 0.0..1.0) {
            let context = SpanContext::root(trace_id, span_id, ratio);
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn all_are_recorded_at_one_and_none_at_nothing(trace_id: u128) {
            prop_assert!(SpanContext::root(trace_id, 1, 1.0).is_sampled());
            prop_assert!(!SpanContext::root(trace_id, 1, 0.0).is_sampled());
        }

        #[test]
        fn who_is_recorded_at_a_share_is_so_at_every_larger_one(trace_id: u128, less in 0.0..1.0, more in 0.0..1.0) {
            let recorded = |ratio| SpanContext::root(trace_id, 1, ratio).is_sampled();
            prop_assert!(less > more || !recorded(less) || recorded(more));
        }
    }

    #[test]
    fn the_share_is_kept() {
        // Ids spread evenly over what decides.
        let ids =
            (0..10_000_u128).map(|number| (1 << 100) + number * (1_u128 << 56).div_ceil(10_000));
        let recorded = ids.filter(|id| SpanContext::root(*id, 1, 0.25).is_sampled());
        assert_eq!(recorded.count(), 2_500);
    }
}
