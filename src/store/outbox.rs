//! The byte form in which records wait in a database: compact, versioned, independent of the log.
//!
//! Integers are big endian. A byte string is its length + 1 (`u32`; 0 stands for "none") and its
//! bytes.
//!
//! ```text
//! version (u8 = 1) | count (u32) | record*
//! record: timestamp (i64) | key | value | header count (u32) | (name | value)*
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::clock::Timestamp;
use crate::envelope::header_name;
use crate::log::Record;

/// The form that is written. A reader refuses any other.
const VERSION: u8 = 1;
/// Timestamp, two lengths and a count: what every record takes at least.
const RECORD_BYTES_MIN: usize = 8 + 4 + 4 + 4;
/// Two lengths: what every header takes at least.
const HEADER_BYTES_MIN: usize = 4 + 4;

/// Writes `records` as bytes.
#[must_use]
pub fn encode(records: &[Record]) -> Bytes {
    let size: usize = records
        .iter()
        .map(|record| RECORD_BYTES_MIN + record.size() + HEADER_BYTES_MIN * record.headers.len())
        .sum();
    let mut out = BytesMut::with_capacity(1 + 4 + size);
    out.put_u8(VERSION);
    put_len(&mut out, records.len());
    for record in records {
        out.put_i64(record.timestamp.0);
        put_bytes(&mut out, record.key.as_deref());
        put_bytes(&mut out, record.value.as_deref());
        put_len(&mut out, record.headers.len());
        for (name, value) in &record.headers {
            put_bytes(&mut out, Some(name.as_bytes()));
            put_bytes(&mut out, Some(value));
        }
    }
    out.freeze()
}

/// Reads back what [`encode`] wrote; keys and values share `bytes`.
///
/// # Errors
/// When `bytes` are anything else.
pub fn decode(mut bytes: Bytes) -> Result<Vec<Record>, Error> {
    let version = bytes.try_get_u8().map_err(|_| Error::Truncated)?;
    if version != VERSION {
        return Err(Error::Version { version });
    }
    let count = take_count(&mut bytes, RECORD_BYTES_MIN)?;
    let records = (0..count)
        .map(|_| take_record(&mut bytes))
        .collect::<Result<Vec<_>, _>>()?;
    match bytes.len() {
        0 => Ok(records),
        extra => Err(Error::Trailing { extra }),
    }
}

fn take_record(bytes: &mut Bytes) -> Result<Record, Error> {
    let timestamp = Timestamp(bytes.try_get_i64().map_err(|_| Error::Truncated)?);
    let key = take_bytes(bytes)?;
    let value = take_bytes(bytes)?;
    let headers = (0..take_count(bytes, HEADER_BYTES_MIN)?)
        .map(|_| {
            let name = take_bytes(bytes)?.ok_or(Error::Header)?;
            let name = std::str::from_utf8(&name).map_err(|_| Error::Header)?;
            Ok((header_name(name), take_bytes(bytes)?.ok_or(Error::Header)?))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(Record {
        key,
        value,
        headers,
        timestamp,
    })
}

/// Reads a count of things that take `bytes_min` each, never more than the rest can hold.
fn take_count(bytes: &mut Bytes, bytes_min: usize) -> Result<usize, Error> {
    let count = bytes.try_get_u32().map_err(|_| Error::Truncated)?;
    let count = usize::try_from(count).map_err(|_| Error::Truncated)?;
    if count > bytes.len() / bytes_min {
        return Err(Error::Truncated);
    }
    Ok(count)
}

fn take_bytes(bytes: &mut Bytes) -> Result<Option<Bytes>, Error> {
    let len = bytes.try_get_u32().map_err(|_| Error::Truncated)?;
    let Some(len) = len.checked_sub(1) else {
        return Ok(None);
    };
    match usize::try_from(len) {
        Ok(len) if len <= bytes.len() => Ok(Some(bytes.split_to(len))),
        _ => Err(Error::Truncated),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => out.put_u32(0),
        Some(bytes) => {
            put_len(out, bytes.len() + 1);
            out.put_slice(bytes);
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "batches stay below the log's message limit, three orders of magnitude under 4 GiB"
)]
fn put_len(out: &mut BytesMut, len: usize) {
    out.put_u32(u32::try_from(len).expect("a length below 4 GiB"));
}

/// Why bytes are not records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Written by another version of this program.
    #[error("records are stored in form {version}, this program reads form {VERSION}")]
    Version {
        /// The form found.
        version: u8,
    },
    /// They end too early, or a length is nonsense.
    #[error("stored records are cut short")]
    Truncated,
    /// A header without a readable name or without a value.
    #[error("a stored record has an unreadable header")]
    Header,
    /// They go on too long.
    #[error("{extra} bytes follow the stored records")]
    Trailing {
        /// How many bytes too many.
        extra: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    fn blob() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn record() -> impl Strategy<Value = Record> {
        (
            of(blob()),
            of(blob()),
            vec((".{0,8}".prop_map(header_name), blob()), 0..4),
            any::<i64>(),
        )
            .prop_map(|(key, value, headers, time)| Record {
                key,
                value,
                headers,
                timestamp: Timestamp(time),
            })
    }

    proptest! {
        #[test]
        fn records_survive_their_byte_form(records in vec(record(), 0..5)) {
            prop_assert_eq!(decode(encode(&records)), Ok(records));
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(garbage in vec(any::<u8>(), 0..60)) {
            // What happens to be readable reads back as itself.
            if let Ok(records) = decode(Bytes::from(garbage.clone())) {
                prop_assert_eq!(&encode(&records)[..], &garbage[..]);
            }
        }

        #[test]
        fn records_cut_anywhere_are_an_error(records in vec(record(), 1..3), at in any::<prop::sample::Index>()) {
            let whole = encode(&records);
            let cut = whole.slice(..at.index(whole.len()));
            prop_assert_eq!(decode(cut), Err(Error::Truncated));
        }
    }

    #[test]
    fn another_form_is_refused_by_name() {
        assert_eq!(
            decode(Bytes::from_static(&[2, 0, 0, 0, 0])),
            Err(Error::Version { version: 2 })
        );
        let longer = [&encode(&[])[..], &[7]].concat();
        assert_eq!(
            decode(Bytes::from(longer)),
            Err(Error::Trailing { extra: 1 })
        );
    }
}
