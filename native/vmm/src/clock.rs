// SPDX-License-Identifier: Apache-2.0
//! The host's wall clock, and how log lines and journals write it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const NANOSECONDS_A_SECOND: i64 = 1_000_000_000;
const SECONDS_A_DAY: i64 = 86_400;

/// A moment by the host's CLOCK_REALTIME, in nanoseconds since 1970. Shown as RFC 3339 in UTC with
/// nine digits behind the second, which is what kubelet parses fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WallTime(pub(crate) i64);

impl WallTime {
    /// Now. By way of libc, which knows where the kernel's fast clock is from the start; rustix
    /// looks for it at the first use, with system calls that a VMM no longer has then.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOSECONDS_A_SECOND);
        let nanoseconds = self.0.rem_euclid(NANOSECONDS_A_SECOND);
        let (year, month, day) = date_of(seconds.div_euclid(SECONDS_A_DAY));
        let second = seconds.rem_euclid(SECONDS_A_DAY);
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanoseconds:09}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar. Years are
/// counted from 1 March, so that the leap day is a year's last.
fn date_of(days_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_TO_1970: i64 = 719_468; // from 0000-03-01
    const DAYS_AN_ERA: i64 = 146_097; // 400 years
    let days = days_since_1970 + DAYS_TO_1970;
    let era = days.div_euclid(DAYS_AN_ERA);
    let day_of_era = days.rem_euclid(DAYS_AN_ERA);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / (DAYS_AN_ERA - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_date_writes() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
            (1_735_689_599_000_000_000, "2024-12-31T23:59:59.000000000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ];
        for (nanoseconds, text) in cases {
            assert_eq!(WallTime(nanoseconds).to_string(), text);
        }
    }

    #[test]
    fn now_is_after_this_was_written() {
        assert!(WallTime::now().0 > 1_760_000_000_000_000_000);
    }
}
