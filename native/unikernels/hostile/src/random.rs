// SPDX-License-Identifier: Apache-2.0
//! Numbers that repeat with their seed: xorshift64* (Vigna, "An experimental exploration of
//! Marsaglia's xorshift generators, scrambled").

/// A generator.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Any seed will do; 0 alone would give nothing but zeros.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | (1 << 63))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // The high half is the better one.
        (self.next() >> 32) % end
    }

    /// True once in `of` times.
    pub(crate) fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of several, of which there is at least one.
    pub(crate) fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A number as programs get them wrong: next to nothing, next to too much, next to a power of two,
    /// or anything at all.
    pub(crate) fn edge(&mut self) -> u64 {
        let near = self.below(3).wrapping_sub(1);
        match self.below(4) {
            0 => near,
            1 => (1_u64 << self.below(64)).wrapping_add(near),
            2 => u64::from(u32::MAX).wrapping_add(near),
            _ => self.next(),
        }
    }
}
