//! A small seeded generator, so that equal seeds give equal covers on every machine.

/// xoshiro256++ (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021), seeded by splitmix64.
#[derive(Debug, Clone)]
pub(super) struct Random([u64; 4]);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut state = seed;
        Random(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        }))
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let shifted = b << 17;
        let c = c ^ a;
        let d = d ^ b;
        self.0 = [a ^ d, b ^ c, c ^ shifted, d.rotate_left(45)];
        result
    }

    /// A number below `bound`, which must not be 0.
    #[inline]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// True once in 2^32 / `share` times on average.
    #[inline]
    pub(super) fn chance(&mut self, share: u32) -> bool {
        ((self.next() >> 32) as u32) < share
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The likelihood, in 2^-32, with which annealing accepts what is worse by so much.
pub(super) fn acceptance(temperature: f64) -> [u32; 32] {
    std::array::from_fn(|worse| (likelihood(worse as f64 / temperature) * f64::from(u32::MAX)) as u32)
}

/// e to the power of -`x`, from operations that give the same result on every machine, which library functions need not.
fn likelihood(x: f64) -> f64 {
    // (1 - x/n)^n with the first correction, by repeated squaring: exact enough for a share of moves.
    let n = 1_u32 << 20;
    let small = x / f64::from(n);
    let mut power = 1.0 - small + small * small / 2.0;
    for _ in 0..20 {
        power *= power;
    }
    power
}
