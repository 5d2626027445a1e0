// SPDX-License-Identifier: Apache-2.0
//! What CPUID says of the guest's topology.
//!
//! Xen starts a domain with the machine's default policy, topology included; it numbers the vCPUs'
//! APIC ids by twos. The counts of logical processors grow to match, so that the guest takes every
//! vCPU for a core of its own (libxenguest does the same for `xl`'s domains).

use crate::domctl::CpuidLeaf;

const BASIC_FEATURES: u32 = 1;
const INTEL_CACHES: u32 = 4;
const AMD_FEATURES: u32 = 0x8000_0001;
const AMD_SIZES: u32 = 0x8000_0008;

const INTEL: [u32; 3] = [0x756e_6547, 0x4965_6e69, 0x6c65_746e];

/// Family, model and stepping: EAX of leaf 1.
pub(crate) fn processor_signature(leaves: &[CpuidLeaf]) -> u32 {
    leaves
        .iter()
        .find(|leaf| leaf.leaf == BASIC_FEATURES)
        .map_or(0, |leaf| leaf.a)
}

/// The leaves that have to change, given all of a domain's leaves.
pub(crate) fn topology_changes(leaves: &[CpuidLeaf]) -> Vec<CpuidLeaf> {
    let intel = leaves
        .iter()
        .any(|leaf| leaf.leaf == 0 && [leaf.b, leaf.d, leaf.c] == INTEL);
    let change = |leaf: &CpuidLeaf| match leaf.leaf {
        BASIC_FEATURES => Some(two_ids_a_core(*leaf)),
        INTEL_CACHES if intel && leaf.a & 0x1f != 0 => Some(double_intel_cores(*leaf)),
        AMD_FEATURES if !intel => Some(CpuidLeaf {
            c: leaf.c & !CMP_LEGACY,
            ..*leaf
        }),
        AMD_SIZES if !intel => Some(double_amd_cores(*leaf)),
        _ => None,
    };
    leaves.iter().filter_map(change).collect()
}

/// EDX.HTT: the count of logical processors in EBX is valid.
const HTT: u32 = 1 << 28;
/// ECX.CmpLegacy: the logical processors are cores without APIC id rules of their own.
const CMP_LEGACY: u32 = 1 << 1;

fn two_ids_a_core(leaf: CpuidLeaf) -> CpuidLeaf {
    let logical = ((leaf.b >> 16) & 0xff).max(1);
    let doubled = if logical & 0x80 == 0 {
        2 * logical
    } else {
        logical
    };
    CpuidLeaf {
        b: leaf.b & !(0xff << 16) | (doubled << 16),
        d: leaf.d | HTT,
        ..leaf
    }
}

/// EAX[31:26]: highest core number; EAX[25:14]: highest number of threads that share the cache.
fn double_intel_cores(leaf: CpuidLeaf) -> CpuidLeaf {
    let cores = ((leaf.a >> 26) << 1) | 1;
    CpuidLeaf {
        a: leaf.a & 0x3fff | ((cores & 0x3f) << 26),
        ..leaf
    }
}

/// ECX[7:0]: highest core number; ECX[15:12]: bits of the APIC id that number cores.
fn double_amd_cores(leaf: CpuidLeaf) -> CpuidLeaf {
    let cores = ((leaf.c & 0xff) << 1) | 1;
    let bits = (leaf.c >> 12) & 0xf;
    let bits = if bits == 0 { 0 } else { (bits + 1).min(0xf) };
    CpuidLeaf {
        c: leaf.c & !0xf0ff | (bits << 12) | cores.min(0xff),
        ..leaf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: CpuidLeaf = CpuidLeaf {
        leaf: 0,
        subleaf: u32::MAX,
        a: 0,
        b: 0,
        c: 0,
        d: 0,
    };

    #[test]
    fn logical_processors_double_and_never_overflow() {
        let basic = |logical: u32| CpuidLeaf {
            leaf: 1,
            b: (logical << 16) | 0xff,
            ..NONE
        };
        for (before, after) in [(0, 2), (1, 2), (64, 128), (128, 128), (255, 255)] {
            let changes = topology_changes(&[basic(before)]);
            assert_eq!(changes[0].b, (after << 16) | 0xff);
            assert_eq!(changes[0].d, HTT);
        }
    }

    #[test]
    fn each_vendor_gets_its_own_leaves_changed() {
        let [b, d, c] = INTEL;
        let vendor = CpuidLeaf { b, c, d, ..NONE };
        let caches = CpuidLeaf {
            leaf: 4,
            subleaf: 0,
            a: (3 << 26) | (1 << 14) | 0x121,
            ..NONE
        };
        let sizes = CpuidLeaf {
            leaf: AMD_SIZES,
            c: (2 << 12) | 3,
            ..NONE
        };
        let intel = topology_changes(&[vendor, caches, sizes]);
        assert_eq!(
            intel,
            [CpuidLeaf {
                a: (7 << 26) | 0x121,
                ..caches
            }]
        );
        let amd = topology_changes(&[caches, sizes]);
        assert_eq!(
            amd,
            [CpuidLeaf {
                c: (3 << 12) | 7,
                ..sizes
            }]
        );
    }
}
