// SPDX-License-Identifier: Apache-2.0
//! The vCPU itself.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc, CpuidResult};

/// CPUID leaf 1, ECX: the processor has a random number generator.
const RDRAND: u32 = 1 << 30;

/// A number that nobody can foretell where the processor has a generator; the time stamp counter
/// otherwise.
pub fn random_seed() -> u64 {
    if cpuid(1).ecx & RDRAND != 0 {
        if let Some(number) = hardware_random() {
            return number;
        }
    }
    time_stamp()
}

/// A leaf of CPUID.
#[allow(
    unused_unsafe,
    reason = "later compilers take it for safe, as it is here"
)]
pub(crate) fn cpuid(leaf: u32) -> CpuidResult {
    // SAFETY: every processor in long mode has CPUID.
    unsafe { __cpuid(leaf) }
}

fn hardware_random() -> Option<u64> {
    // Intel's advice: ten tries, as the generator may be busy.
    (0..10).find_map(|_| {
        let number: u64;
        let valid: u8;
        // SAFETY: the caller has seen that the instruction exists; it writes these registers only.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) number, out(reg_byte) valid, options(nomem, nostack));
        }
        (valid == 1).then_some(number)
    })
}

/// The time stamp counter.
pub(crate) fn time_stamp() -> u64 {
    // SAFETY: CR4.TSD is clear, and every processor in long mode has the instruction.
    unsafe { _rdtsc() }
}

/// Stops for good: a halted vCPU without interrupts is off.
pub fn idle_forever() -> ! {
    loop {
        // SAFETY: touches no memory; there is nothing left to be done.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
