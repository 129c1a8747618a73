//! Proves that a request's arrays and strings fit into its bytes before the codec sees it.
//!
//! The codec reserves memory for as many elements as an array announces, so four hostile bytes
//! could end the process. A shape names the fields of a request in order: `B` `H` `I` `L` are
//! 1, 2, 4 and 8 bytes, `s` a string with a 2 byte length, `b` bytes with a 4 byte length (-1 is
//! null for both), `[...]` an array of what stands between the brackets.

use super::limits::REQUEST_ELEMENTS_MAX;

/// Whether `body` has this shape, to the last byte, with a bearable number of elements.
pub(super) fn fits(shape: &str, body: &[u8]) -> bool {
    let mut walk = Walk { body, elements: 0 };
    walk.fields(shape.as_bytes()).is_some() && walk.body.is_empty()
}

struct Walk<'a> {
    body: &'a [u8],
    elements: usize,
}

impl Walk<'_> {
    fn fields(&mut self, mut shape: &[u8]) -> Option<()> {
        while let Some((kind, rest)) = shape.split_first() {
            shape = rest;
            match kind {
                b'B' => self.skip(1)?,
                b'H' => self.skip(2)?,
                b'I' => self.skip(4)?,
                b'L' => self.skip(8)?,
                b's' => {
                    let length = i16::from_be_bytes(self.take()?);
                    self.skip_nullable(i32::from(length))?;
                }
                b'b' => {
                    let length = i32::from_be_bytes(self.take()?);
                    self.skip_nullable(length)?;
                }
                _ => {
                    let (element, behind) = shape.split_at_checked(closing(shape)?)?;
                    self.array(element)?;
                    shape = behind.get(1..)?;
                }
            }
        }
        Some(())
    }

    fn array(&mut self, element: &[u8]) -> Option<()> {
        let count = i32::from_be_bytes(self.take()?).max(0);
        self.elements += usize::try_from(count).ok()?;
        if self.elements > REQUEST_ELEMENTS_MAX {
            return None;
        }
        (0..count).try_for_each(|_| self.fields(element))
    }

    fn skip_nullable(&mut self, length: i32) -> Option<()> {
        self.skip(usize::try_from(length.max(0)).ok()?)
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.body = self.body.get(bytes..)?;
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.body.split_first_chunk()?;
        self.body = rest;
        Some(*taken)
    }
}

/// Where the array that was just opened is closed.
fn closing(shape: &[u8]) -> Option<usize> {
    let mut depth = 1;
    shape.iter().position(|kind| {
        match kind {
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_request_of_the_shape_fits() {
        let body = [
            &[0, 2][..],
            b"ab",
            &[0, 0, 0, 2],
            &[0, 0, 0, 7],
            &[0, 0, 0, 8],
        ]
        .concat();
        assert!(fits("s[I]", &body));
    }

    #[test]
    fn an_array_longer_than_its_bytes_does_not_fit() {
        assert!(!fits("[I]", &[0x7f, 0xff, 0xff, 0xff]));
        assert!(!fits("[I]", &[0, 0, 0, 2, 0, 0, 0, 1]));
    }

    #[test]
    fn nested_arrays_are_walked_and_trailing_bytes_refused() {
        let body = [0, 0, 0, 1, 0, 1, b'x', 0, 0, 0, 1, 0, 0, 0, 5];
        assert!(fits("[s[I]]", &body));
        assert!(!fits("[s[I]]", &[&body[..], &[0]].concat()));
    }

    #[test]
    fn null_strings_and_arrays_fit() {
        assert!(fits(
            "sb[I]",
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        ));
    }
}
