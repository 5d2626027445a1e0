// SPDX-License-Identifier: Apache-2.0
//! The page that Xen shares with each domain (struct shared_info, public/xen.h): event channels that
//! are pending, and the time.
//!
//! ```text
//!      0           2048       2560     3072
//!   ┌────────────┬──────────┬────────┬────────────┐
//!   │ 32 × vcpu  │ pending  │ mask   │ wall clock │
//!   └────────────┴──────────┴────────┴────────────┘
//! ```

use core::ops::Add;
use core::time::Duration;

use crate::hypercall;
use crate::page::Page;
use crate::processor::time_stamp;
use crate::start_info::StartInfo;

const PAGE_SIZE: u64 = 4096;

/// vCPU 0's struct vcpu_time_info.
const TIME_VERSION: usize = 32;
const TIME_STAMP: usize = 40;
const SYSTEM_TIME: usize = 48;
const MULTIPLIER: usize = 56;
const SHIFT: usize = 60;

const PENDING: usize = 2048;
/// Ports that the two-level event channels of a 64-bit domain have.
const MAX_PORTS: u32 = 4096;

const WALL_VERSION: usize = 3072;
const WALL_SECONDS: usize = 3076;
const WALL_NANOSECONDS: usize = 3080;
const WALL_SECONDS_HIGH: usize = 3084;

/// Time since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SystemTime {
    nanoseconds: u64,
}

impl SystemTime {
    /// Microseconds, as network stacks count.
    pub fn as_micros(self) -> u64 {
        self.nanoseconds / 1000
    }
}

impl Add<Duration> for SystemTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            nanoseconds: self.nanoseconds.saturating_add(nanoseconds),
        }
    }
}

/// The domain's event channels, and its clocks.
#[derive(Clone, Copy, Debug)]
pub struct EventChannels {
    page: Page,
}

impl EventChannels {
    /// Lets Xen put the shared page behind the end of memory. `None` when it will not.
    pub fn open(start: &StartInfo) -> Option<Self> {
        let address = start.end_of_memory();
        let page = Page::at(address)?;
        // SAFETY: no memory is there before, and none of the image's, as `at` has checked.
        unsafe { hypercall::map_shared_info(address / PAGE_SIZE) }.then_some(Self { page })
    }

    /// Sleeps until one of these channels is rung or the time has come. Returns at once when one has
    /// been rung since [`Self::take`].
    pub fn wait(&self, ports: &[u32], deadline: Option<SystemTime>) {
        // A time of 0 would mean never.
        let deadline = deadline.map_or(0, |time| time.nanoseconds.max(1));
        hypercall::poll(ports, deadline);
    }

    /// Whether a channel has been rung since the last time.
    pub fn take(&self, port: u32) -> bool {
        if port >= MAX_PORTS {
            return false;
        }
        let bit = 1 << (port % 64);
        self.page
            .clear_bits(PENDING + (port / 64 * 8) as usize, bit)
            & bit
            != 0
    }

    /// The time since the machine was started.
    pub fn system_time(&self) -> SystemTime {
        let nanoseconds = self.consistent(TIME_VERSION, || {
            let elapsed = time_stamp().wrapping_sub(self.page.load(TIME_STAMP));
            let elapsed = scale(
                elapsed,
                self.page.load(MULTIPLIER),
                self.page.load::<u8>(SHIFT),
            );
            self.page.load::<u64>(SYSTEM_TIME).wrapping_add(elapsed)
        });
        SystemTime { nanoseconds }
    }

    /// Time of day: since the start of 1970, UTC.
    pub fn wall_time(&self) -> Duration {
        let at_start = self.consistent(WALL_VERSION, || {
            let low: u32 = self.page.load(WALL_SECONDS);
            let high: u32 = self.page.load(WALL_SECONDS_HIGH);
            let nanoseconds: u32 = self.page.load(WALL_NANOSECONDS);
            let seconds = (u64::from(high) << 32) | u64::from(low);
            Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds.into())
        });
        at_start.saturating_add(Duration::from_nanos(self.system_time().nanoseconds))
    }

    /// Reads fields that Xen changes together; the version is odd while it does.
    fn consistent<T>(&self, version: usize, read: impl Fn() -> T) -> T {
        loop {
            let before: u32 = self.page.load(version);
            let result = read();
            if before % 2 == 0 && self.page.load::<u32>(version) == before {
                return result;
            }
        }
    }
}

/// Ticks of the time stamp counter as nanoseconds: shifted (to the right when the number, a signed one,
/// is negative), then a 32.32 fixed point product.
fn scale(ticks: u64, multiplier: u32, shift: u8) -> u64 {
    let shift = shift as i8;
    let ticks = if shift < 0 {
        ticks >> -shift
    } else {
        ticks << shift
    };
    ((u128::from(ticks) * u128::from(multiplier)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use core::ptr::NonNull;
    use core::sync::atomic::AtomicU64;

    use super::*;

    #[repr(align(4096))]
    struct Memory([AtomicU64; 512]);

    #[test]
    fn ticks_become_nanoseconds() {
        // 2.5 GHz: 0.4 ns a tick, 0.8 × 2³² after a shift by one to the right.
        assert_eq!(scale(2_500_000_000, 3_435_973_837, 0xff), 1_000_000_000);
        // 500 MHz: 2 ns a tick.
        assert_eq!(scale(500_000_000, 1 << 31, 2), 1_000_000_000);
    }

    #[test]
    fn a_ring_is_taken_once_and_the_others_stay() {
        static MEMORY: Memory = Memory([const { AtomicU64::new(0) }; 512]);
        // SAFETY: static, aligned, atomic.
        let page = unsafe { Page::from_raw(NonNull::from(&MEMORY.0).cast()) };
        let channels = EventChannels { page };
        page.store(PENDING + 8, (1_u64 << 3) | (1 << 5));
        assert!(channels.take(67));
        assert!(!channels.take(67));
        assert!(channels.take(69));
        assert!(!channels.take(MAX_PORTS));
        page.store(WALL_SECONDS, 1_000_000_000_u32);
        page.store(SYSTEM_TIME, 2_500_000_000_u64);
        assert_eq!(channels.wall_time().as_millis(), 1_000_000_002_500);
    }
}
