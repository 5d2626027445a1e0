// SPDX-License-Identifier: Apache-2.0
//! Superpages first: they make the domain's page tables small and its start fast.

use std::ops::Range;

use crate::error::XenError;

use super::layout::PAGE_SIZE;

/// Orders of extents to try: 1 GiB, 2 MiB, 4 KiB.
const ORDERS: [u32; 3] = [18, 9, 0];

/// Populates a range of addresses; `allocate` gets an order and frame numbers and tells how many of
/// them it could serve. False when even single pages have run out.
pub(crate) fn populate(
    range: &Range<u64>,
    mut allocate: impl FnMut(u32, &[u64]) -> Result<usize, XenError>,
) -> Result<bool, XenError> {
    let all = range.start / PAGE_SIZE..range.end / PAGE_SIZE;
    let mut missing = Vec::from([all]);
    for order in ORDERS {
        let mut left = Vec::new();
        for frames in missing {
            let size = 1 << order;
            let first = frames.start.next_multiple_of(size).min(frames.end);
            let last = (frames.end / size * size).max(first);
            let starts: Vec<u64> = (first..last).step_by(size as usize).collect();
            let served = if starts.is_empty() {
                0
            } else {
                allocate(order, &starts)?
            };
            let rest = starts.get(served).copied().unwrap_or(last);
            left.extend([frames.start..first, rest..frames.end]);
        }
        missing = left
            .into_iter()
            .filter(|frames| !frames.is_empty())
            .collect();
    }
    Ok(missing.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Populates with an allocator that has `superpages` for each order above 0.
    fn frames_by_order(range: Range<u64>, superpages: usize) -> (bool, Vec<(u32, usize)>) {
        let mut calls = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let complete = populate(&range, |order, starts| {
            let served = if order == 0 {
                starts.len()
            } else {
                starts.len().min(superpages)
            };
            for start in &starts[..served] {
                assert_eq!(start % (1 << order), 0);
                (*start..start + (1 << order)).for_each(|frame| assert!(seen.insert(frame)));
            }
            calls.push((order, served));
            Ok(served)
        });
        let complete = complete.unwrap();
        if complete {
            assert!(seen.into_iter().eq(range.start / 4096..range.end / 4096));
        }
        (complete, calls)
    }

    #[test]
    fn what_superpages_cover_takes_no_small_ones() {
        assert_eq!(frames_by_order(0..64 << 20, 100), (true, vec![(9, 32)]));
        let odd = frames_by_order(0..(1 << 30) + (2 << 20) + 4096, 100);
        assert_eq!(odd, (true, vec![(18, 1), (9, 1), (0, 1)]));
    }

    #[test]
    fn without_superpages_small_ones_do() {
        assert_eq!(
            frames_by_order(0..4 << 20, 1),
            (true, vec![(9, 1), (0, 512)])
        );
    }

    #[test]
    fn running_out_is_not_complete() {
        let complete = populate(&(0..4 << 20), |_, starts| Ok(starts.len() / 2));
        assert!(!complete.unwrap());
    }
}
