//! `stack-e2e list`

use super::exit::Exit;
use super::inputs::{self, FileArgs};
use super::screen;
use crate::check::{CHECKS, GROUPS, Needs};
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All checks with their groups
    Checks,
    /// The scenarios of files
    Scenarios(FileArgs),
    /// The switches of scenarios, with their values
    Switches(FileArgs),
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().map(|cell| cell.to_uppercase()));
    screen::flush_left(&mut table);
    table
}

pub(super) fn run(args: &ListArgs) -> Exit {
    let shown = match &args.what {
        What::Checks => Ok(checks()),
        What::Scenarios(files) => inputs::load(files).map(|scenarios| {
            let mut table = table(&["scenario", "stack", "switches", "checks", "file"]);
            for s in &scenarios {
                let switches: Vec<&str> = s.switches.iter().map(|switch| switch.name.as_str()).collect();
                let checks: Vec<&str> = s.checks.iter().map(|check| check.as_str()).collect();
                table.add_row([
                    s.name.to_string(),
                    format!("{}-{}", s.stack.provider, s.stack.name),
                    switches.join(" "),
                    checks.join(" "),
                    s.file.display().to_string(),
                ]);
            }
            table.to_string()
        }),
        What::Switches(files) => inputs::load(files).map(|scenarios| {
            let mut table = table(&["scenario", "switch", "value", "sets"]);
            for s in &scenarios {
                for switch in &s.switches {
                    for value in &switch.values {
                        table.add_row([
                            s.name.to_string(),
                            switch.name.to_string(),
                            value.name.to_string(),
                            sets(&value.patch),
                        ]);
                    }
                }
            }
            table.to_string()
        }),
    };
    match shown {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            screen::data(&lines.join("\n"));
            Exit::Passed
        }
        Err(exit) => exit,
    }
}

fn sets(patch: &crate::scenario::ClusterPatch) -> String {
    let mut sets = Vec::new();
    sets.extend(patch.kubernetes.map(|minor| format!("Kubernetes {minor}")));
    sets.extend(patch.control_planes.map(|n| format!("{n} control planes")));
    sets.extend(patch.workers.map(|n| format!("{n} workers")));
    sets.extend(patch.variables.iter().map(|(name, value)| format!("{name}={value}")));
    sets.join(", ")
}

fn checks() -> String {
    let mut shown = table(&["check", "groups", "holds true that"]);
    for check in CHECKS {
        let about = match check.needs {
            Needs::Nodes => check.about.to_owned(),
            Needs::Pods => format!("{} (needs running Pods)", check.about),
        };
        shown.add_row([check.name.to_owned(), check.groups.join(" "), about]);
    }
    let mut groups = table(&["group", "what it is for"]);
    for (name, about) in GROUPS {
        groups.add_row([*name, *about]);
    }
    format!("{shown}\n\n{groups}")
}
