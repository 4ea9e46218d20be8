//! What must be refused. Pure.

use crate::event::{Failure, FailureClass};

/// The verdict on a cluster that has an invalid value, or a change that must not be: `what` is to be refused, and with the
/// words that are expected.
pub(super) fn refused_as_wanted(
    what: &str,
    pattern: &str,
    ended: Result<String, Failure>,
) -> Result<String, Failure> {
    let failed = |summary: String| Err(Failure::new(FailureClass::CheckFailed, summary));
    let regex = match regex::Regex::new(pattern) {
        Ok(regex) => regex,
        Err(error) => {
            let words = format!("the pattern of the refusal cannot be used: {error}");
            return Err(Failure::new(FailureClass::Harness, words));
        }
    };
    match ended {
        Ok(note) => {
            failed(format!("the {what} was to be refused (`{pattern}`), but it was accepted: {note}"))
        }
        Err(failure) if !matches!(failure.class, FailureClass::Refused | FailureClass::Terminal) => {
            Err(failure)
        }
        Err(failure) if regex.is_match(&failure.summary) => {
            Ok(format!("refused, as it must be: {}", failure.summary))
        }
        Err(failure) => {
            let summary =
                format!("refused, but not with the expected words `{pattern}`: {}", failure.summary);
            Err(Failure { class: FailureClass::CheckFailed, summary, ..failure })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_with_the_expected_words_passes() {
        let refused = |words: &str| Err(Failure::new(FailureClass::Refused, words));
        let said = |ended: Result<String, Failure>| {
            let ended = refused_as_wanted("change", "must not (skip|go back)", ended);
            ended.map_err(|failure| (failure.class, failure.summary))
        };
        assert_eq!(
            said(refused("denied: you must not skip a minor")).unwrap(),
            "refused, as it must be: denied: you must not skip a minor"
        );
        for (ended, class, words) in [
            (
                Ok("the cluster goes to c".into()),
                FailureClass::CheckFailed,
                "but it was accepted: the cluster goes to c",
            ),
            (refused("no such class"), FailureClass::CheckFailed, "refused, but not with the expected words"),
            // Nothing is known then.
            (
                Err(Failure::new(FailureClass::Infrastructure, "no answer; must not skip")),
                FailureClass::Infrastructure,
                "no answer",
            ),
        ] {
            let (found, summary) = said(ended).unwrap_err();
            assert_eq!(found, class, "{summary}");
            assert!(summary.contains(words), "`{words}` is not in: {summary}");
        }
    }
}
