//! The report as JSON, for programs.

use super::Facts;
use crate::results::foreign::Foreign;
use crate::results::{ExitStatus, RunReport, Verdict};
use serde::{Deserialize, Serialize};

/// Goes up when a field changes its meaning or goes away; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    verdict: Verdict,
    exit_status: ExitStatus,
    exit_code: u8,
    units: Vec<UnitVerdict<'a>>,
    report: Option<&'a RunReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a Foreign>,
}

/// The short form: one line per unit is what most scripts need.
#[derive(Serialize)]
struct UnitVerdict<'a> {
    id: &'a str,
    name: &'a str,
    scenario: &'a str,
    verdict: Verdict,
}

/// `report` as indented JSON: the verdicts first, then everything that is known.
///
/// # Errors
/// None in practice: the report holds only what JSON can say.
pub fn json(report: &RunReport) -> serde_json::Result<String> {
    document(Some(report), report.verdict(), report.exit_status(), None)
}

/// The same with the results of other tools, or of these alone.
///
/// # Errors
/// None in practice.
pub fn json_of(facts: &Facts<'_>) -> serde_json::Result<String> {
    let own = facts.report.map(RunReport::verdict);
    let other = (!facts.foreign.files.is_empty()).then_some(facts.foreign);
    let verdict = own.into_iter().chain(other.map(Foreign::verdict)).max();
    document(facts.report, verdict.unwrap_or(Verdict::Skipped), facts.exit_status(), other)
}

fn document(
    report: Option<&RunReport>,
    verdict: Verdict,
    status: ExitStatus,
    other: Option<&Foreign>,
) -> serde_json::Result<String> {
    let units = report.iter().flat_map(|report| &report.units).map(|unit| UnitVerdict {
        id: unit.info.id.as_str(),
        name: &unit.info.name,
        scenario: &unit.info.scenario,
        verdict: unit.verdict(),
    });
    let document = Document {
        schema_version: SCHEMA_VERSION,
        verdict,
        exit_status: status,
        exit_code: status.code(),
        units: units.collect(),
        report,
        other,
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

/// A report out of a file that `json` has written; of other versions only what has kept its meaning is understood.
///
/// # Errors
/// What the file lacks, or that it is of a newer version.
pub fn from_json(text: &[u8]) -> Result<RunReport, String> {
    #[derive(Deserialize)]
    struct Written {
        schema_version: u32,
        report: Option<RunReport>,
    }
    let written: Written = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match written {
        Written { schema_version: SCHEMA_VERSION, report: Some(report) } => Ok(report),
        Written { schema_version: SCHEMA_VERSION, report: None } => Err("it holds no run".into()),
        Written { schema_version, .. } => {
            Err(format!("it has schema version {schema_version}, this version reads {SCHEMA_VERSION}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::script;

    #[test]
    fn programs_find_the_verdict_without_knowing_the_rules() {
        let text = json(&script::one_failure().report()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema_version"], 1);
        assert_eq!(value["verdict"], "failed");
        assert_eq!(value["exit_code"], 1);
        assert_eq!(value["units"][0]["verdict"], "failed");
        assert_eq!(value["units"][1]["verdict"], "passed");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_was_written_is_read_again() {
        for script in [script::one_failure(), script::all_passed()] {
            let report = script.report();
            assert_eq!(from_json(json(&report).unwrap().as_bytes()), Ok(report));
        }
        assert_eq!(
            from_json(br#"{"schema_version": 2}"#),
            Err("it has schema version 2, this version reads 1".into())
        );
        assert!(from_json(b"{}").is_err() && from_json(b"[").is_err());
    }
}
