//! What the flags of `shop parked` hold: a message's place, an age.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use contracts::proto::Place;

/// A message's place: `topic/partition@offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    topic: String,
    partition: i32,
    offset: i64,
}

impl At {
    /// As calls take it.
    pub(super) fn place(&self) -> Place {
        Place {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (topic, rest) = text.split_once('/')?;
            let (partition, offset) = rest.split_once('@')?;
            Some(Self {
                topic: Some(topic).filter(|topic| !topic.is_empty())?.to_owned(),
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            })
        };
        parse().ok_or_else(|| "write topic/partition@offset, as shop parked list does".to_owned())
    }
}

/// An age: a number with s, m, h or d.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with s, m, h or d, for example 10m".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["order.commands/3@17", "a/0@0"] {
            assert_eq!(text.parse::<At>().unwrap().to_string(), text);
        }
        for text in ["", "ORDER_001", "a/0", "a@0", "/0@0", "a/x@0", "a/0@"] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("2h"), Ok(Duration::from_secs(7_200)));
        for text in ["", "90", "h", "-1s", "1w", "9999999999999999999d", "1é"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
