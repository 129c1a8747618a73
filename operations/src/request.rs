//! What requests may hold; pages and their tokens.

use contracts::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use contracts::proto;
use messaging::context::ContentHash;
use messaging::shard::ShardId;
use messaging::status::{Violation, invalid};
use messaging::store::{ParkReason, Place};
use tonic::Status;

use crate::limits::TEXT_LEN_MAX;

/// A place that must be given.
pub(crate) fn place(place: Option<proto::Place>) -> Result<(ShardId, Place), Status> {
    let place = place.filter(|place| !place.topic.is_empty());
    let place = place.ok_or_else(|| violated("place", "must name topic, partition and offset"))?;
    let found = Place {
        topic: place.topic,
        offset: place.offset,
    };
    Ok((ShardId(place.partition), found))
}

/// Text for the record, bounded.
pub(crate) fn text(field: &str, text: &str) -> Result<(), Status> {
    match text.chars().count() <= TEXT_LEN_MAX {
        true => Ok(()),
        false => Err(violated(
            field,
            &format!("must be at most {TEXT_LEN_MAX} characters long"),
        )),
    }
}

/// The reason of this name; `None` for no filter.
pub(crate) fn reason(name: &str) -> Result<Option<ParkReason>, Status> {
    let wrong = || violated("reason", "must be undecodable, misrouted, failed or behind");
    match name {
        "" => Ok(None),
        name => ParkReason::of(name).map(Some).ok_or_else(wrong),
    }
}

/// A page of a list: its size, and the row number that it begins behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) size: usize,
    pub(crate) from: Option<i64>,
    list: String,
}

impl Page {
    /// Checks size and token of a request for `list`, a name that tells lists with other filters
    /// apart.
    pub(crate) fn parse(size: i32, token: &str, list: String) -> Result<Self, Status> {
        let size = if size == 0 { PAGE_SIZE_DEFAULT } else { size };
        if !(1..=PAGE_SIZE_MAX).contains(&size) {
            return Err(violated("page_size", "must be from 0 to 1000"));
        }
        let mut page = Self {
            size: usize::try_from(size).unwrap_or_default(),
            from: None,
            list,
        };
        if !token.is_empty() {
            let number = token.split_once('-').and_then(|(number, mark)| {
                let number = i64::from_str_radix(number, 16).ok()?;
                (mark == page.mark()).then_some(number)
            });
            let wrong = "must be the next_page_token of an answer to the same filters";
            page.from = Some(number.ok_or_else(|| violated("page_token", wrong))?);
        }
        Ok(page)
    }

    /// The token of the page behind row `number`.
    pub(crate) fn token(&self, number: i64) -> String {
        format!("{number:x}-{}", self.mark())
    }

    fn mark(&self) -> String {
        let hash = ContentHash::of(self.list.as_bytes());
        let bytes = hash.0[..4].iter();
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// INVALID_ARGUMENT for one field.
pub(crate) fn violated(field: &str, description: &str) -> Status {
    invalid([Violation {
        field: field.to_owned(),
        description: description.to_owned(),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_within_its_own_list_only() {
        let page = Page::parse(0, "", "parked a".to_owned()).unwrap();
        assert_eq!((page.size, page.from), (100, None));
        let token = page.token(255);
        let next = Page::parse(7, &token, "parked a".to_owned()).unwrap();
        assert_eq!((next.size, next.from), (7, Some(255)));
        for (size, token, list) in [
            (7, token.as_str(), "parked b"),
            (7, "é", "parked a"),
            (1_001, "", "parked a"),
            (-1, "", "parked a"),
        ] {
            let refused = Page::parse(size, token, list.to_owned()).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{token}");
        }
    }

    #[test]
    fn reasons_have_the_names_that_lists_show() {
        assert_eq!(reason("").unwrap(), None);
        assert_eq!(reason("behind").unwrap(), Some(ParkReason::Behind));
        assert!(reason("BEHIND").is_err());
    }
}
