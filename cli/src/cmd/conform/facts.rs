//! What a report says of kit, host and time.

use omnihal_conformance::report::Kit;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// The kit, as this program was built.
pub fn kit() -> Kit {
    Kit { version: env!("CARGO_PKG_VERSION").to_owned(), commit: env!("OMNIHAL_COMMIT").to_owned() }
}

/// The host.
pub fn host() -> BTreeMap<String, String> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let entries = [
        ("system", std::env::consts::OS.to_owned()),
        ("architecture", std::env::consts::ARCH.to_owned()),
        ("vector extensions", crate::host::extensions().unwrap_or_default().join(" ")),
        ("threads", threads.to_string()),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Now, in UTC (RFC 3339).
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Date of a day counted from 1970-01-01, in the Gregorian calendar: years begin in March, so that leap days are last (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates_through_leap_years() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }
}
