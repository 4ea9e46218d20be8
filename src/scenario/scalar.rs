//! What a plain (unquoted) scalar means: the core schema of YAML 1.2, and the words that older readers of YAML
//! take for something else.

use serde_json::Number;

/// The meaning of an unquoted text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Number(Number),
    /// Larger than JSON can hold exactly, infinite, or not a number.
    Unfit(&'static str),
    String,
    /// A string for YAML 1.2 and something else for YAML 1.1, such as `off`; says what.
    Ambiguous(&'static str),
}

/// Reads an unquoted text by the core schema.
pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Plain::Ambiguous("the boolean true");
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Plain::Ambiguous("the boolean false");
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return Plain::Unfit("infinity");
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Unfit("not a number"),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::String;
    }
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(unsigned) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return Plain::Ambiguous("an octal number");
        }
        let text = text.strip_prefix('+').unwrap_or(text);
        let number = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
        return number.map_or(Plain::Unfit("too large"), Plain::Number);
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(rest) = text.strip_prefix(prefix)
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_digit(radix))
        {
            let number = u64::from_str_radix(rest, radix);
            return number.map_or(Plain::Unfit("too large"), |n| Plain::Number(n.into()));
        }
    }
    if is_float(unsigned) {
        let float = text.parse::<f64>().ok().filter(|f| f.is_finite()).and_then(Number::from_f64);
        return float.map_or(Plain::Unfit("too large"), Plain::Number);
    }
    let number_1_1 = |t: &str| {
        let plain: String = t.chars().filter(|c| *c != '_').collect();
        t.contains('_') && (digits(&plain) || is_float(&plain))
    };
    if number_1_1(unsigned) {
        return Plain::Ambiguous("a number");
    }
    let mut parts = unsigned.split(':');
    let first = parts.next().is_some_and(digits);
    let rest: Vec<&str> = parts.collect();
    if first && !rest.is_empty() && rest.iter().all(|p| p.len() <= 2 && p.parse::<u8>().is_ok_and(|n| n < 60))
    {
        return Plain::Ambiguous("a number to the base 60");
    }
    Plain::String
}

/// `[0-9]* (. [0-9]*)? ([eE] [-+]? [0-9]+)?` with at least one digit before the exponent.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && (!whole.is_empty() || !fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let number = |n: f64| Plain::Number(Number::from_f64(n).unwrap());
        for (text, want) in [
            ("null", Plain::Null),
            ("~", Plain::Null),
            ("True", Plain::Bool(true)),
            ("tRUE", Plain::String),
            ("off", Plain::Ambiguous("the boolean false")),
            ("1.30", number(1.3)),
            ("1.", number(1.0)),
            (".5", number(0.5)),
            ("1e3", number(1000.0)),
            ("1e999", Plain::Unfit("too large")),
            ("-7", Plain::Number((-7).into())),
            ("+7", Plain::Number(7.into())),
            ("0x1F", Plain::Number(31.into())),
            ("0o17", Plain::Number(15.into())),
            ("017", Plain::Ambiguous("an octal number")),
            ("1_000", Plain::Ambiguous("a number")),
            ("12:30:45", Plain::Ambiguous("a number to the base 60")),
            ("10.0.0.0/8", Plain::String),
            ("1.2.3", Plain::String),
            ("2027-06-30", Plain::String),
            ("99999999999999999999", Plain::Unfit("too large")),
            (".inf", Plain::Unfit("infinity")),
            (".", Plain::String),
            ("-", Plain::String),
            ("+.e1", Plain::String),
            ("octavia", Plain::String),
        ] {
            assert_eq!(resolve(text), want, "`{text}`");
        }
    }
}
