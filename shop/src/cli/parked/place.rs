//! What the flags of `shop parked` hold: a message's place, an age.

use std::fmt;
use std::str::FromStr;

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
}
