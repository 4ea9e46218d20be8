//! Durations as people write them in scenario files: `90s`, `20m`, `1h30m`.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write `90s`, `20m` or `1h30m`")]
pub struct DurationError {
    text: String,
}

/// Reads `1h30m`-like text: numbers with the units `ms`, `s`, `m`, `h`, each at most once, largest first.
///
/// # Errors
/// The text has another form, is zero, or is longer than 7 days.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError { text: text.into() };
    let mut rest = text;
    let mut last_unit = u64::MAX;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| error())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(error()),
        };
        rest = &rest[letters..];
        if unit >= last_unit {
            return Err(error());
        }
        last_unit = unit;
        total = number.checked_mul(unit).and_then(|ms| total.checked_add(ms)).ok_or_else(error)?;
    }
    if total == 0 || total > 7 * 24 * 3_600_000 {
        return Err(error());
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration for people: `850ms`, `12s`, `3m05s`, `1h02m`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = (ms + 500) / 1000;
    if ms < 1000 {
        format!("{ms}ms")
    } else if s < 60 {
        format!("{s}s")
    } else if s < 3600 {
        format!("{}m{:02}s", s / 60, s % 60)
    } else {
        format!("{}h{:02}m", s / 3600, s % 3600 / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show() {
        for (text, ms, shown) in [
            ("850ms", 850, "850ms"),
            ("90s", 90_000, "1m30s"),
            ("20m", 1_200_000, "20m00s"),
            ("1h30m", 5_400_000, "1h30m"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration.as_millis(), ms);
            assert_eq!(show_duration(duration), shown);
        }
        for bad in
            ["", "20", "m", "20 m", "1m1h", "1s1s", "0s", "-1s", "1.5h", "200h", "99999999999999999999s"]
        {
            assert!(parse_duration(bad).is_err(), "`{bad}` is not a duration");
        }
    }
}
