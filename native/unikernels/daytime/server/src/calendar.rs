// SPDX-License-Identifier: Apache-2.0
//! From seconds since 1970 to a date, in the Gregorian calendar and in UTC.

use core::fmt;
use core::time::Duration;

const DAY: u64 = 24 * 60 * 60;
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A time as RFC 867 suggests to write it: "Tuesday, February 22, 1982 17:37:43-PST".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayTime {
    seconds: u64,
}

impl DayTime {
    /// The time so long after the start of 1970.
    pub fn since_1970(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
        }
    }

    /// (year, month from 0, day of the month from 1)
    fn date(self) -> (u64, usize, u64) {
        let mut days = self.seconds / DAY;
        let mut year = 1970;
        while days >= year_length(year) {
            days -= year_length(year);
            year += 1;
        }
        let mut month = 0;
        while days >= month_length(year, month) {
            days -= month_length(year, month);
            month += 1;
        }
        (year, month, days + 1)
    }
}

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_length(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_length(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekday = WEEKDAYS[(self.seconds / DAY % 7) as usize];
        let (year, month, day) = self.date();
        let time = self.seconds % DAY;
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        let month = MONTHS[month];
        write!(
            formatter,
            "{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC"
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let text = |seconds| DayTime::since_1970(Duration::from_secs(seconds)).to_string();
        assert_eq!(text(0), "Thursday, January 1, 1970 00:00:00-UTC");
        assert_eq!(text(951_868_799), "Tuesday, February 29, 2000 23:59:59-UTC");
        assert_eq!(
            text(1_000_000_000),
            "Sunday, September 9, 2001 01:46:40-UTC"
        );
        assert_eq!(text(4_107_542_400), "Monday, March 1, 2100 00:00:00-UTC");
    }
}
