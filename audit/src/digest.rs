//! Short hashes that stand for what an audit need not keep: whole texts, lines, records.

use contracts::inventory::Line;
use messaging::context::ContentHash;
use messaging::log::Record;

/// The first 64 bits of a SHA-256. Two of them are only ever compared where an honest store has
/// equal things, a handful per order.
pub(crate) type Digest = u64;

/// The digest of a content hash.
pub(crate) fn short(hash: ContentHash) -> Digest {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.0[..8]);
    Digest::from_be_bytes(bytes)
}

/// The digest of parts, each with its length, so that no two lists of parts share one.
pub(crate) fn parts<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Digest {
    let mut bytes = Vec::with_capacity(256);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    short(ContentHash::of(&bytes))
}

/// The digest of a text.
pub(crate) fn text(text: &str) -> Digest {
    parts([text.as_bytes()])
}

/// The digest of products and their quantities, in the sequence given.
pub(crate) fn lines<'l>(lines: impl IntoIterator<Item = (&'l str, i32)>) -> Digest {
    let mut bytes = Vec::with_capacity(256);
    for (product, quantity) in lines {
        bytes.extend_from_slice(&(product.len() as u64).to_be_bytes());
        bytes.extend_from_slice(product.as_bytes());
        bytes.extend_from_slice(&quantity.to_be_bytes());
    }
    short(ContentHash::of(&bytes))
}

/// Products and quantities of a message's lines.
pub(crate) fn pairs(of: &[Line]) -> impl Iterator<Item = (&str, i32)> {
    of.iter()
        .map(|line| (line.product_id.as_str(), line.quantity))
}

/// The digest of a record: key, value and headers.
pub(crate) fn record(record: &Record) -> Digest {
    let key_and_value = [&record.key, &record.value]
        .into_iter()
        .map(|part| part.as_deref().unwrap_or_default());
    let headers = record
        .headers
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value]);
    parts(key_and_value.chain(headers))
}
