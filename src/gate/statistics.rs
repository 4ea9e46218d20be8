//! What a number of green runs says about the rate of failures.

/// The confidence of every bound.
pub const CONFIDENCE: f64 = 0.95;

/// The highest failure rate that `failures` among `runs` independent runs do not exclude with [`CONFIDENCE`]: the upper
/// one-sided bound of Clopper and Pearson (Biometrika 26, 1934). 1 when nothing ran.
#[must_use]
pub fn highest_failure_rate(failures: u64, runs: u64) -> f64 {
    if runs == 0 || failures >= runs {
        return 1.0;
    }
    // The rate at which so few failures would be seen in only 5 % of all cases.
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at_most(failures, runs, middle) > 1.0 - CONFIDENCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// The probability of at most `failures` failures in `runs` runs, each failing with probability `rate`.
#[expect(clippy::cast_precision_loss, reason = "numbers of runs are far below 2^52")]
fn at_most(failures: u64, runs: u64, rate: f64) -> f64 {
    if rate >= 1.0 {
        return 0.0;
    }
    // In logarithms: for thousands of runs the powers leave the range of f64.
    let (mut term, mut sum) = ((runs as f64) * (-rate).ln_1p(), 0.0_f64);
    for k in 0..=failures {
        sum += term.exp();
        term += ((runs - k) as f64 / (k + 1) as f64).ln() + rate.ln() - (-rate).ln_1p();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        // Without failures the bound is 1 - 0.05^(1/n), about 3/n: the rule of three.
        for (failures, runs, expected) in [
            (0, 1, 0.95),
            (0, 10, 0.2589),
            (0, 30, 0.0950),
            (0, 59, 0.0495),
            (0, 299, 0.00997),
            (1, 10, 0.3942),
            (2, 50, 0.1206),
        ] {
            let bound = highest_failure_rate(failures, runs);
            assert!((bound - expected).abs() < 5e-4, "{failures} of {runs}: {bound}, not {expected}");
        }
        assert_eq!(highest_failure_rate(0, 0), 1.0);
        assert_eq!(highest_failure_rate(3, 3), 1.0);
    }

    proptest! {
        #[test]
        fn more_green_runs_exclude_more_and_more_failures_less(failures in 0_u64..20, green in 1_u64..2000) {
            let bound = |failures, green| highest_failure_rate(failures, failures + green);
            prop_assert!(bound(failures, green + 1) <= bound(failures, green) + 1e-12);
            prop_assert!(bound(failures + 1, green) >= bound(failures, green));
            #[expect(clippy::cast_precision_loss)]
            let seen = failures as f64 / (failures + green) as f64;
            prop_assert!(bound(failures, green) >= seen);
        }
    }
}
