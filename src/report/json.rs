//! The report as JSON, for programs.

use crate::results::{ExitStatus, RunReport, Verdict};
use serde::Serialize;

/// Goes up when a field changes its meaning or goes away; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    verdict: Verdict,
    exit_status: ExitStatus,
    exit_code: u8,
    units: Vec<UnitVerdict<'a>>,
    report: &'a RunReport,
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
    let status = report.exit_status();
    let units = report.units.iter().map(|unit| UnitVerdict {
        id: unit.info.id.as_str(),
        name: &unit.info.name,
        scenario: &unit.info.scenario,
        verdict: unit.verdict(),
    });
    let document = Document {
        schema_version: SCHEMA_VERSION,
        verdict: report.verdict(),
        exit_status: status,
        exit_code: status.code(),
        units: units.collect(),
        report,
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
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
}
