//! Random numbers that are a function of where they are used.

/// Philox4x32 with 10 rounds: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
/// A keyed bijection of a 128-bit counter; there is no state to carry along.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    // Multipliers and Weyl increments (golden ratio, sqrt(3) - 1) as in the paper.
    const M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let product = |a: u32, b: u32| {
        let p = u64::from(a) * u64::from(b);
        ((p >> 32) as u32, p as u32)
    };
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let (high0, low0) = product(M[0], c0);
        let (high1, low1) = product(M[1], c2);
        [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
        k0 = k0.wrapping_add(W[0]);
        k1 = k1.wrapping_add(W[1]);
    }
    [c0, c1, c2, c3]
}

/// The number in `[0, 1)` that chooses the token at `position` of a sequence sampled with `seed`: the upper 24 bits
/// of the first Philox word, so every value is exact in f32. Seed is the key, position the low half of the counter.
pub fn uniform(seed: u64, position: u64) -> f32 {
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    let [low, high] = halves(position);
    let word = philox4x32_10([low, high, 0, 0], halves(seed))[0];
    (word >> 8) as f32 / (1u32 << 24) as f32
}
