//! Random numbers that begin with a seed, and products by Zipf's law.

/// SplitMix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number, all alike.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
        let share = (self.number() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }

    /// Whether what happens with this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }
}

/// Zipf's law over the numbers from 0.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// The share of each number and all before it.
    up_to: Vec<f64>,
}

impl Zipf {
    /// Over `count` numbers, the n-th with the weight 1 / n^skew.
    pub(crate) fn new(count: usize, skew: f64) -> Self {
        let weights = (1..=count.max(1)).map(|rank| {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 products")]
            let rank = rank as f64;
            rank.powf(-skew)
        });
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for share in &mut up_to {
            *share /= sum;
        }
        Self { up_to }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let share = dice.share();
        let drawn = self.up_to.partition_point(|up_to| *up_to <= share);
        drawn.min(self.up_to.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(skew: f64) -> Vec<u32> {
        let (zipf, mut dice) = (Zipf::new(10, skew), Dice::new(1));
        let mut counts = vec![0; 10];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut dice)] += 1;
        }
        counts
    }

    #[test]
    fn without_skew_all_are_drawn_alike() {
        for count in counts(0.0) {
            assert!((9_500..10_500).contains(&count), "{count}");
        }
    }

    #[test]
    fn with_skew_one_the_second_comes_half_as_often_as_the_first() {
        let counts = counts(1.0);
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{counts:?}");
        assert!(counts.is_sorted_by(|one, other| one > other), "{counts:?}");
    }

    #[test]
    fn a_seed_is_a_sequence() {
        let numbers = |seed| {
            let mut dice = Dice::new(seed);
            [dice.number(), dice.number()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn what_is_certain_happens_and_what_is_impossible_does_not() {
        let mut dice = Dice::new(3);
        assert!((0..1_000).all(|_| dice.happens(1.0) && !dice.happens(0.0)));
    }
}
