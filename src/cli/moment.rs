//! A moment as people write it: RFC 3339, or so long ago.
//!
//! **Invariant:** what is read as a time of day is never guessed at: without a zone it is refused.

use chrono::{DateTime, Utc};

/// Reads `2026-11-21T08:00:00Z`, `2h` or `3d 12h`.
///
/// # Errors
/// A sentence that says what would be understood.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    let ago = humantime::parse_duration(text).ok().and_then(|ago| chrono::Duration::from_std(ago).ok());
    let moment = ago.and_then(|ago| Utc::now().checked_sub_signed(ago));
    moment
        .ok_or_else(|| "neither RFC 3339 such as 2026-11-21T08:00:00Z, nor so long ago such as 90s, 2h, 3d".to_owned())
}

/// A length of time for people: its two largest units.
pub(super) fn length(seconds: f64) -> String {
    let whole = seconds.max(0.0);
    if whole < 10.0 {
        return format!("{whole:.1} s");
    }
    let seconds = whole as u64;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        7200..=172_799 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_so_long_ago() {
        assert_eq!(moment("2026-11-21T09:00:00+01:00").unwrap().to_rfc3339(), "2026-11-21T08:00:00+00:00");
        let hours = (Utc::now() - moment("1h 30m").unwrap()).num_minutes();
        assert!((90..=91).contains(&hours), "{hours}");
        for bad in ["yesterday", "2026-11-21", "2026-11-21T08:00:00", "5", "", "99999999999y"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_have_two_units() {
        let all = [0.25, 59.0, 125.0, 7300.0, 200_000.0].map(length);
        assert_eq!(all, ["0.2 s", "59 s", "2 min 5 s", "2 h 1 min", "2 d 7 h"]);
    }
}
