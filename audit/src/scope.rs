//! Parts of the store that fit into memory: ids by their hash.

/// The ids whose hash begins with these bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    prefix: u32,
    bits: u32,
}

/// Most bits of a scope: with so many passes nobody waits for the end.
const BITS_MAX: u32 = 16;

impl Scope {
    /// All ids.
    pub const ALL: Self = Self { prefix: 0, bits: 0 };

    /// As many equal parts as hold `items` with at most `items_max` each.
    #[must_use]
    pub fn parts(items: u64, items_max: usize) -> Vec<Self> {
        let mut bits = 0;
        while bits < BITS_MAX && items >> bits > items_max as u64 {
            bits += 1;
        }
        (0..1 << bits).map(|prefix| Self { prefix, bits }).collect()
    }

    /// Both halves; `None` when it is too small to be split.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let half = |last| Self {
            prefix: self.prefix << 1 | last,
            bits: self.bits + 1,
        };
        (self.bits < BITS_MAX).then(|| [half(0), half(1)])
    }

    /// Whether `id` belongs to it.
    #[must_use]
    pub fn holds(self, id: &str) -> bool {
        self.bits == 0 || fnv(id.as_bytes()) >> (32 - self.bits) == self.prefix
    }
}

/// FNV-1a, folded to 32 bits with its high bits mixed (they choose the scope).
fn fnv(bytes: &[u8]) -> u32 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_halves_hold_every_id_once() {
        let ids: Vec<_> = (0..1_000).map(|number| format!("ORDER-{number}")).collect();
        let mut scopes = Scope::parts(1_000, 150);
        assert_eq!(scopes.len(), 8);
        let last = scopes.pop().unwrap();
        scopes.extend(last.halves().unwrap());
        for id in &ids {
            assert_eq!(scopes.iter().filter(|scope| scope.holds(id)).count(), 1);
        }
        for scope in scopes {
            let held = ids.iter().filter(|id| scope.holds(id)).count();
            assert!((30..200).contains(&held), "{scope:?} holds {held}");
        }
    }

    #[test]
    fn what_fits_is_one_part() {
        assert_eq!(Scope::parts(10, 10), [Scope::ALL]);
        assert!(Scope::ALL.holds("anything"));
    }
}
