//! The workspace arena: where intermediate tensors lie, planned from their lifetimes before anything is allocated.

/// A tensor to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// Bytes.
    pub bytes: usize,
    /// First call that uses it.
    pub first: usize,
    /// Last call that uses it.
    pub last: usize,
}

/// Offsets of all tensors, and the bytes that the arena needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArenaPlan {
    /// Offset of each tensor, in the order given.
    pub offsets: Vec<usize>,
    /// Bytes of the arena.
    pub bytes: usize,
}

impl ArenaPlan {
    /// Every tensor at the start of an arena without end: for asking about layouts before anything has a place.
    pub fn unplaced(tensors: usize) -> Self {
        ArenaPlan { offsets: vec![0; tensors], bytes: usize::MAX / 2 }
    }
}

/// Places tensors so that no two that live at the same time overlap: in order of first use, in the smallest gap that fits.
pub fn plan(tensors: &[Lifetime], align: usize) -> ArenaPlan {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&i| (tensors[i].first, std::cmp::Reverse(tensors[i].bytes)));
    let mut ends: Vec<usize> = (0..tensors.len()).collect();
    ends.sort_by_key(|&i| tensors[i].last);
    let mut ending = ends.into_iter().peekable();
    let mut space = Space::default();
    let mut offsets = vec![0; tensors.len()];
    let size = |i: usize| tensors[i].bytes.max(1).next_multiple_of(align);
    for i in order {
        while let Some(done) = ending.next_if(|&e| tensors[e].last < tensors[i].first) {
            space.release(offsets[done], size(done));
        }
        offsets[i] = space.take(size(i));
    }
    ArenaPlan { offsets, bytes: space.top }
}

/// Free gaps below the top, ascending and never adjacent.
#[derive(Default)]
struct Space {
    gaps: Vec<(usize, usize)>,
    top: usize,
}

impl Space {
    fn take(&mut self, bytes: usize) -> usize {
        let fits = self.gaps.iter().enumerate().filter(|(_, gap)| gap.1 >= bytes).min_by_key(|(_, gap)| gap.1);
        if let Some((at, &(offset, len))) = fits {
            if len == bytes {
                self.gaps.remove(at);
            } else {
                self.gaps[at] = (offset + bytes, len - bytes);
            }
            return offset;
        }
        // The last gap may touch the top: grow it instead of leaving it behind.
        let offset = match self.gaps.last() {
            Some(&(offset, len)) if offset + len == self.top => {
                self.gaps.pop();
                offset
            }
            _ => self.top,
        };
        self.top = offset + bytes;
        offset
    }

    fn release(&mut self, offset: usize, bytes: usize) {
        let at = self.gaps.partition_point(|gap| gap.0 < offset);
        self.gaps.insert(at, (offset, bytes));
        if at + 1 < self.gaps.len() && offset + bytes == self.gaps[at + 1].0 {
            self.gaps[at].1 += self.gaps.remove(at + 1).1;
        }
        if at > 0 && self.gaps[at - 1].0 + self.gaps[at - 1].1 == offset {
            self.gaps[at - 1].1 += self.gaps.remove(at).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disjoint(tensors: &[Lifetime], plan: &ArenaPlan) -> bool {
        tensors.iter().enumerate().all(|(i, a)| {
            tensors.iter().enumerate().skip(i + 1).all(|(j, b)| {
                let apart_in_time = a.last < b.first || b.last < a.first;
                let (x, y) = (plan.offsets[i], plan.offsets[j]);
                apart_in_time || x + a.bytes <= y || y + b.bytes <= x
            })
        })
    }

    #[test]
    fn tensors_that_live_together_never_overlap() {
        // A fixed linear congruential sequence stands in for random lifetimes.
        let mut state = 12345u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        let tensors: Vec<_> = (0..400)
            .map(|_| {
                let first = next(200) as usize;
                Lifetime { bytes: 1 + next(5000) as usize, first, last: first + next(12) as usize }
            })
            .collect();
        let plan = plan(&tensors, 64);
        assert!(disjoint(&tensors, &plan));
        let together: usize = (0..212)
            .map(|t| tensors.iter().filter(|x| x.first <= t && t <= x.last).map(|x| x.bytes.next_multiple_of(64)).sum())
            .max()
            .unwrap();
        assert!(plan.bytes >= together && plan.bytes < 2 * together, "{} for {together}", plan.bytes);
    }

    #[test]
    fn a_chain_needs_two_places() {
        let tensors: Vec<_> = (0..10).map(|i| Lifetime { bytes: 100, first: i, last: i + 1 }).collect();
        assert_eq!(plan(&tensors, 64).bytes, 256);
    }
}
