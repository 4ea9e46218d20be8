//! How much evidence reports of many runs can hold in memory.

use crate::event::{Event, EventKind, Outcome};

/// How much of each text is kept; a later entry is used when all together would be too much.
const LEVELS: [usize; 6] = [64 << 10, 16 << 10, 4 << 10, 1 << 10, 256, 0];

/// Adds up what the evidence of events would take. A first pass over all journals takes the sizes, a second one keeps
/// what fits; so the result does not depend on the order of the journals.
#[derive(Debug, Clone, Default)]
pub struct EvidenceSizes {
    sums: [u64; LEVELS.len()],
}

impl EvidenceSizes {
    /// Takes one event.
    pub fn add(&mut self, event: &Event) {
        if let EventKind::CaseFinished { outcome: Outcome::Failed { failure, .. }, .. } = &event.kind {
            for (sum, level) in self.sums.iter_mut().zip(LEVELS) {
                *sum += u64::try_from(failure.detail.len().min(level)).unwrap_or_default();
            }
        }
    }

    /// The limit for one text that keeps all together below `budget` bytes.
    #[must_use]
    pub fn limit(&self, budget: u64) -> usize {
        self.sums.iter().position(|sum| *sum <= budget).map_or(0, |level| LEVELS[level])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, FailureClass};
    use crate::results::Folder;
    use crate::results::script::Script;

    #[test]
    fn much_evidence_is_cut_and_little_is_not() {
        let failure =
            |size: usize| Failure::new(FailureClass::CheckFailed, "x").detail("y\n".repeat(size / 2));
        let mut script = Script::new().unit("a", &["provision"]).started();
        for _ in 0..10 {
            script = script.fails_with("a", "provision", failure(10_000));
        }
        let mut sizes = EvidenceSizes::default();
        script.events().iter().for_each(|event| sizes.add(event));
        assert_eq!(sizes.limit(1 << 20), 64 << 10);
        assert_eq!(sizes.limit(50_000), 4 << 10);
        assert_eq!(sizes.limit(1), 0);
        let mut folder = Folder::with_evidence_limit(sizes.limit(50_000));
        script.events().iter().for_each(|event| folder.apply(event).unwrap());
        let text = serde_json::to_string(&folder.report().unwrap()).unwrap();
        assert!(text.len() < 80_000 && text.contains("bytes left out"), "{} bytes", text.len());
    }
}
