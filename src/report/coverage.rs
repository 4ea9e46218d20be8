//! What the combinations of a plan cover, for people.

use crate::matrix::Coverage;
use std::fmt::Write as _;

/// A few lines for each scenario. Empty when nothing is known.
#[must_use]
pub fn coverage(all: &[Coverage]) -> String {
    let mut text = String::new();
    for one in all {
        let few = match (one.lower_bound, one.optimal) {
            (None, _) => String::new(),
            (Some(_), true) => ", optimal: no cover has fewer".to_owned(),
            (Some(bound), false) if one.combinations < bound => {
                format!(" of the {bound} or more of a whole cover")
            }
            (Some(bound), false) => format!("; no cover has fewer than {bound}"),
        };
        let _ = writeln!(
            text,
            "scenario {}: cover {}: {} of {} combinations{few}",
            one.scenario, one.asked, one.combinations, one.product
        );
        let counted = one.strengths.iter().map(|strength| {
            let what = match strength.strength {
                1 => "values",
                2 => "pairs",
                _ => "triples",
            };
            format!("{what} {} % ({} of {})", strength.per_cent(), strength.covered, strength.feasible)
        });
        let counted: Vec<String> = counted.collect();
        let _ = writeln!(text, "  covered: {}", counted.join(", "));
        if one.uncovered_pairs > 0 {
            let _ = writeln!(text, "  never together ({}):", one.uncovered_pairs);
            for pair in &one.uncovered {
                let _ = writeln!(text, "    {pair}");
            }
            let more = one.uncovered_pairs.saturating_sub(one.uncovered.len() as u64);
            if more > 0 {
                let _ = writeln!(text, "    and {more} more");
            }
        }
    }
    text
}
