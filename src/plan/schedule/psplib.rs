//! Files of the project scheduling problem library PSPLIB (Kolisch, Sprecher 1997), single-mode: `.sm`.

use super::{Instance, Job};

/// Why a file cannot be read: the line, from 1, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct PsplibError {
    /// The line, from 1; one after the last when the file ends too early.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

/// The most jobs that a file may announce.
const MAX_JOBS: usize = 10_000;
/// The most resources that a file may announce.
const MAX_RESOURCES: usize = 64;

/// Reads an instance: its jobs in the order of the file, supersource and sink included (both of duration 0), and its
/// renewable resources. Due dates and nonrenewable resources are not read.
///
/// # Errors
/// A section is missing, or a line of it is not what the section holds.
pub fn parse(text: &str) -> Result<Instance, PsplibError> {
    let lines: Vec<&str> = text.lines().collect();
    let error = |line: usize, why: String| PsplibError { line: line + 1, why };
    let find = |start: &str| {
        let here = lines.iter().position(|line| line.trim_start().starts_with(start));
        here.ok_or_else(|| error(lines.len(), format!("there is no line that begins with `{start}`")))
    };
    let count = |start: &str, most: usize| {
        let line = find(start)?;
        let word = lines[line].split(':').nth(1).and_then(|rest| rest.split_whitespace().next());
        let number = word.and_then(|word| word.parse::<usize>().ok()).filter(|number| *number <= most);
        number.ok_or_else(|| error(line, format!("expected a number of at most {most} after the colon")))
    };
    let jobs = count("jobs (incl. supersource/sink )", MAX_JOBS)?;
    let resources = count("- renewable", MAX_RESOURCES)?;
    let numbers = |line: usize, least: usize| {
        let text = lines.get(line).ok_or_else(|| error(lines.len(), "the file ends in a section".into()))?;
        let read: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse::<u64>).collect();
        match read {
            Ok(read) if read.len() >= least => Ok(read),
            Ok(read) => Err(error(line, format!("expected at least {least} numbers, found {}", read.len()))),
            Err(_) => Err(error(line, "expected whole numbers only".into())),
        }
    };
    let number_of = |line: usize, number: u64| {
        let job = usize::try_from(number).ok().filter(|number| (1..=jobs).contains(number));
        job.map(|job| job - 1).ok_or_else(|| error(line, format!("there is no job {number}")))
    };
    let mut made = vec![Job::default(); jobs];
    let requests = find("REQUESTS/DURATIONS")?;
    for (job, made) in made.iter_mut().enumerate() {
        let line = requests + 3 + job;
        let row = numbers(line, 3 + resources)?;
        if number_of(line, row[0])? != job || row[1] != 1 {
            return Err(error(line, format!("expected job {} in its only mode", job + 1)));
        }
        made.duration = row[2];
        made.demand = row[3..3 + resources].to_vec();
    }
    let precedence = find("PRECEDENCE RELATIONS")?;
    for job in 0..jobs {
        let line = precedence + 2 + job;
        let row = numbers(line, 3)?;
        if number_of(line, row[0])? != job {
            return Err(error(line, format!("expected the successors of job {}", job + 1)));
        }
        let successors = &row[3..];
        if u64::try_from(successors.len()) != Ok(row[2]) {
            return Err(error(line, format!("announces {} successors, names {}", row[2], successors.len())));
        }
        for &successor in successors {
            made[number_of(line, successor)?].after.push(job);
        }
    }
    let available = find("RESOURCEAVAILABILITIES")?;
    let mut capacities = numbers(available + 2, resources)?;
    capacities.truncate(resources);
    Ok(Instance { jobs: made, capacities })
}

#[cfg(test)]
mod tests {
    use super::super::{Options, schedule};
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = include_str!("../../../fixtures/schedule/upgrade.sm");

    #[test]
    fn a_file_is_read_and_scheduled() {
        let instance = parse(FILE).unwrap();
        assert_eq!((instance.jobs.len(), instance.capacities.as_slice()), (8, &[5, 2][..]));
        let five = Job { duration: 4, demand: vec![2, 1], after: vec![1], release: 0 };
        assert_eq!(instance.jobs[4], five);
        let made = schedule(&instance, &Options { seed: 1, schedules: 1_000, stop: None }).unwrap();
        assert_eq!((made.bound, made.makespan), (10, 11));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, said) in [
            (
                "   2        1          1           5",
                "   2        1          1",
                "line 13: announces 1 successors, names 0",
            ),
            (
                "   2        1          1           5",
                "   2        1          1           9",
                "line 13: there is no job 9",
            ),
            (
                "  3      1     3       3    1",
                "  3      1     3       3    x",
                "line 26: expected whole numbers only",
            ),
            (
                "  3      1     3       3    1",
                "  3      2     3       3    1",
                "line 26: expected job 3 in its only mode",
            ),
            ("    5    2\n", "    5\n", "line 35: expected at least 2 numbers, found 1"),
            ("REQUESTS", "WISHES", "line 37: there is no line that begins with `REQUESTS/DURATIONS`"),
            (":  8\n", ":  many\n", "line 3: expected a number of at most 10000 after the colon"),
        ] {
            assert!(FILE.contains(from), "{from}");
            assert_eq!(parse(&FILE.replace(from, to)).unwrap_err().to_string(), said);
        }
        let end = FILE.find("    5    2").unwrap();
        assert_eq!(parse(&FILE[..end]).unwrap_err().to_string(), "line 35: the file ends in a section");
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,200}", from in 0_usize..1_000, to in 0_usize..1_000) {
            let _ = parse(&text);
            // A file with something else in the middle of it.
            let (from, to) = (from.min(FILE.len()), to.min(FILE.len()));
            let _ = parse(&format!("{}{text}{}", &FILE[..from], &FILE[to..]));
        }
    }
}
