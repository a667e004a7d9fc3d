//! Products of query heads with key rows, exponentials and sums, in orders that do not depend on tile sizes.
//!
//! Each is written once over a [`Vector`] of eight lanes and compiled for plain arrays and for AVX2 with FMA.
//! The order of a sum is part of a kernel's contract:
//! * a dot product keeps [`LANES`] partial sums, channel `i` in lane `i % LANES`, folded in halves at the end;
//! * a value product adds key after key to each channel;
//! * a sum of probabilities keeps [`LANES`] partial sums by the key's place in the row's list.

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2;
mod vector;

use vector::Vector;

/// Partial sums of a dot product: one AVX2 register. Rows are padded with zeros to a multiple.
pub(crate) const LANES: usize = 8;

/// Heads and keys of a tile of dot products: with 12 sums, 3 keys and a query, the 16 registers of AVX2 are full.
const DOT_HEADS: usize = 4;
const DOT_KEYS: usize = 3;

/// Heads and channel groups of a tile of value products: 8 independent sums hide the latency of the multiply-add.
const VALUE_HEADS: usize = 4;
const VALUE_GROUPS: usize = 2;

/// Defines each function as its generic body, compiled for the baseline and for AVX2 with FMA, chosen at run time.
macro_rules! versions {
    ($($(#[doc = $doc:literal])+ $name:ident = $body:ident ( $($a:ident : $t:ty),* $(,)? ) $(-> $r:ty)?;)+) => {$(
        $(#[doc = $doc])+
        pub(crate) fn $name($($a: $t),*) $(-> $r)? {
            #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($a: $t),*) $(-> $r)? {
                    $body::<avx2::Register>($($a),*)
                }
                // SAFETY: both features were just detected.
                return unsafe { wide($($a),*) };
            }
            $body::<vector::Plain>($($a),*)
        }
    )+};
}

versions! {
    /// `out[h, k] = scale * (q[h] . keys[k])` for rows of `width` channels, a multiple of [`LANES`].
    scores = scores_body(q: &[f32], keys: &[f32], width: usize, scale: f32, out: Columns);
    /// `out[k] = sum_h w[h] * relu(q[h] . keys[k])`, head after head; a NaN product stays NaN.
    relu_scores = relu_scores_body(q: &[f32], w: &[f32], keys: &[f32], width: usize, out: &mut [f32]);
    /// `out[h] += sum_k p[h * stride + k] * keys[k]`, key after key, for rows of `width` channels, a multiple of [`LANES`].
    values = values_body(p: &[f32], stride: usize, keys: &[f32], width: usize, out: &mut [f32]);
    /// `x[i] = e^(x[i] - max)`; returns their sum.
    exp_sum = exp_sum_body(x: &mut [f32], max: f32) -> f32;
    /// One slot of a softmax over slots, channel by channel: with `e = e^(gate - max)`, adds `e` to `den` and `e * kv` to `num`.
    pool_slot = pool_slot_body(gate: &[f32], kv: &[f32], max: &[f32], den: &mut [f32], num: &mut [f32]);
    /// The largest number of a row, at least `floor`; NaN does not count.
    largest = largest_body(x: &[f32], floor: f32) -> f32;
    /// The sum of the squares of a row.
    sum_squares = sum_squares_body(x: &[f32]) -> f32;
}

/// Neighbouring columns of a matrix whose other columns belong to other tasks.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    ptr: *mut f32,
    stride: usize,
}

impl Columns {
    /// The columns from `ptr` on, in rows that are `stride` apart.
    ///
    /// # Safety
    /// As many rows and columns as the queries and keys they are given with must be valid for writes and touched by nobody else.
    pub(crate) unsafe fn new(ptr: *mut f32, stride: usize) -> Columns {
        Columns { ptr, stride }
    }
}

/// `a * b + c` of two numbers, fused as the vectors are.
#[inline(always)]
fn madd<V: Vector>(a: f32, b: f32, c: f32) -> f32 {
    if V::FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The dot products of `H` rows of `q` with `K` rows of `keys`.
#[inline(always)]
fn dots<V: Vector, const H: usize, const K: usize>(q: &[f32], keys: &[f32], width: usize) -> [[f32; K]; H] {
    let q: [&[f32]; H] = std::array::from_fn(|h| &q[h * width..][..width]);
    let keys: [&[f32]; K] = std::array::from_fn(|k| &keys[k * width..][..width]);
    let mut sums = [[V::zero(); K]; H];
    for i in (0..width / LANES).map(|chunk| chunk * LANES) {
        let mut key = [V::zero(); K];
        for (key, row) in key.iter_mut().zip(&keys) {
            // SAFETY: each row has `width` channels, and `i + LANES` is at most that.
            *key = unsafe { V::load(row.as_ptr().add(i)) };
        }
        for (sums, row) in sums.iter_mut().zip(&q) {
            // SAFETY: as above.
            let query = unsafe { V::load(row.as_ptr().add(i)) };
            for (sum, key) in sums.iter_mut().zip(key) {
                *sum = query.madd(key, *sum);
            }
        }
    }
    let mut dots = [[0.0; K]; H];
    for (dots, sums) in dots.iter_mut().zip(sums) {
        for (dot, sum) in dots.iter_mut().zip(sums) {
            *dot = fold(sum.lanes());
        }
    }
    dots
}

/// Calls `$tile!(H, h, K, k)` for tiles that cover `$heads` x `$keys`.
macro_rules! tiles {
    ($tile:ident, $heads:expr, $H:ident, $keys:expr, $K:ident) => {
        let mut h = 0;
        while h < $heads {
            let tall = h + $H <= $heads;
            let mut k = 0;
            while k < $keys {
                let wide = k + $K <= $keys;
                match (tall, wide) {
                    (true, true) => $tile!($H, h, $K, k),
                    (true, false) => $tile!($H, h, 1, k),
                    (false, true) => $tile!(1, h, $K, k),
                    (false, false) => $tile!(1, h, 1, k),
                }
                k += if wide { $K } else { 1 };
            }
            h += if tall { $H } else { 1 };
        }
    };
}

#[inline(always)]
fn scores_body<V: Vector>(q: &[f32], keys: &[f32], width: usize, scale: f32, out: Columns) {
    macro_rules! tile {
        ($H:expr, $h:ident, $K:expr, $k:ident) => {
            for (i, row) in dots::<V, { $H }, { $K }>(&q[$h * width..], &keys[$k * width..], width).iter().enumerate() {
                for (j, dot) in row.iter().enumerate() {
                    // SAFETY: head and key are below those of `q` and `keys`, which `out` was made for.
                    unsafe { out.ptr.add(($h + i) * out.stride + $k + j).write(scale * dot) };
                }
            }
        };
    }
    tiles!(tile, q.len() / width, DOT_HEADS, keys.len() / width, DOT_KEYS);
}

#[inline(always)]
fn relu_scores_body<V: Vector>(q: &[f32], w: &[f32], keys: &[f32], width: usize, out: &mut [f32]) {
    out.fill(0.0);
    macro_rules! tile {
        ($H:expr, $h:ident, $K:expr, $k:ident) => {
            for (i, row) in dots::<V, { $H }, { $K }>(&q[$h * width..], &keys[$k * width..], width).iter().enumerate() {
                for (j, &dot) in row.iter().enumerate() {
                    // Not `max`, which would turn NaN into 0.
                    let relu = if dot < 0.0 { 0.0 } else { dot };
                    out[$k + j] = madd::<V>(w[$h + i], relu, out[$k + j]);
                }
            }
        };
    }
    tiles!(tile, w.len(), DOT_HEADS, out.len(), DOT_KEYS);
}

#[inline(always)]
fn values_body<V: Vector>(p: &[f32], stride: usize, keys: &[f32], width: usize, out: &mut [f32]) {
    macro_rules! tile {
        ($H:expr, $h:ident, $G:expr, $g:ident) => {
            weigh::<V, { $H }, { $G }>(&p[$h * stride..], stride, keys, width, $g * LANES, &mut out[$h * width..])
        };
    }
    tiles!(tile, out.len() / width, VALUE_HEADS, width / LANES, VALUE_GROUPS);
}

/// Adds the keys' channels from `at` on to `H` rows of `out`.
#[inline(always)]
fn weigh<V: Vector, const H: usize, const G: usize>(
    p: &[f32],
    stride: usize,
    keys: &[f32],
    width: usize,
    at: usize,
    out: &mut [f32],
) {
    let count = keys.len() / width;
    let p: [&[f32]; H] = std::array::from_fn(|h| &p[h * stride..][..count]);
    let mut sums = [[V::zero(); G]; H];
    for (h, sums) in sums.iter_mut().enumerate() {
        let row = &out[h * width + at..][..G * LANES];
        for (g, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the row has `G` groups of lanes.
            *sum = unsafe { V::load(row.as_ptr().add(g * LANES)) };
        }
    }
    for k in 0..count {
        let key = &keys[k * width + at..][..G * LANES];
        let mut groups = [V::zero(); G];
        for (g, group) in groups.iter_mut().enumerate() {
            // SAFETY: the key has `G` groups of lanes.
            *group = unsafe { V::load(key.as_ptr().add(g * LANES)) };
        }
        for (sums, p) in sums.iter_mut().zip(&p) {
            let p = V::splat(p[k]);
            for (sum, group) in sums.iter_mut().zip(groups) {
                *sum = p.madd(group, *sum);
            }
        }
    }
    for (h, sums) in sums.into_iter().enumerate() {
        let row = &mut out[h * width + at..][..G * LANES];
        for (g, sum) in sums.into_iter().enumerate() {
            row[g * LANES..][..LANES].copy_from_slice(&sum.lanes());
        }
    }
}

/// e^x to about one unit in the last place; 0 below the smallest normal number, infinite above 88.02.
#[inline(always)]
fn exp<V: Vector>(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first has trailing zeros, so that a small multiple of it is exact.
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let t = madd::<V>(x, std::f32::consts::LOG2_E, ROUND);
    let n = t - ROUND;
    let r = madd::<V>(n, -LN2_LO, madd::<V>(n, -LN2_HI, x));
    // Polynomial for (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2, coefficients as in Cephes' expf.
    let mut y = 1.987_569_2e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        y = madd::<V>(y, r, c);
    }
    let y = madd::<V>(y, r * r, r) + 1.0;
    let exponent = (t.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).wrapping_add(127);
    let y = y * f32::from_bits((exponent as u32) << 23);
    // Outside these bounds the exponent field would wrap.
    let y = if x < -87.336_54 { 0.0 } else { y };
    let y = if x > 88.02 { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

#[inline(always)]
fn exp_sum_body<V: Vector>(x: &mut [f32], max: f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp::<V>(*x - max);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *x = exp::<V>(*x - max);
        *sum += *x;
    }
    fold(sums)
}

#[inline(always)]
fn pool_slot_body<V: Vector>(gate: &[f32], kv: &[f32], max: &[f32], den: &mut [f32], num: &mut [f32]) {
    let n = gate.len();
    let (kv, max, den, num) = (&kv[..n], &max[..n], &mut den[..n], &mut num[..n]);
    for i in 0..n {
        let e = exp::<V>(gate[i] - max[i]);
        den[i] += e;
        num[i] = madd::<V>(e, kv[i], num[i]);
    }
}

#[inline(always)]
fn largest_body<V: Vector>(x: &[f32], floor: f32) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut best = [floor; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        best.iter_mut().zip(chunk).for_each(|(a, &b)| *a = larger(*a, b));
    }
    best.into_iter().chain(rest.iter().copied()).fold(floor, larger)
}

#[inline(always)]
fn sum_squares_body<V: Vector>(x: &[f32]) -> f32 {
    let mut sums = [[0f32; LANES]; 4];
    let (chunks, rest) = x.as_chunks::<{ 4 * LANES }>();
    for chunk in chunks {
        for (part, sums) in sums.iter_mut().enumerate() {
            for (l, sum) in sums.iter_mut().enumerate() {
                let x = chunk[part * LANES + l];
                *sum = madd::<V>(x, x, *sum);
            }
        }
    }
    for (i, &x) in rest.iter().enumerate() {
        let sum = &mut sums[i / LANES][i % LANES];
        *sum = madd::<V>(x, x, *sum);
    }
    let [a, b, c, d] = sums.map(fold);
    (a + b) + (c + d)
}
