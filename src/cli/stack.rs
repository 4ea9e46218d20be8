//! `stack-e2e stack`: what is read of Cluster Stacks on disk.

use super::exit::Exit;
use super::inputs;
use super::screen;
use crate::scenario::{Problem, Problems, SourceText, Span};
use crate::stack::addon::{Hook, Stage, Style};
use crate::stack::{self, Found, MinorSource, Stack, StackProblem, StackRelease, StackSource};
use crate::types::{KubernetesMinor, on_one_line};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct StackArgs {
    /// Folders of stacks, of their minors, of `providers`, or of whole repositories
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Show all that is read of this minor
    #[arg(long, value_name = "MINOR")]
    minor: Option<KubernetesMinor>,
    /// Links must not lead out of this directory [default: the git work tree]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    testbed: super::testbed::RunTestbedArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One minor of a stack: as its files say, and as rendered.
struct Row<'a> {
    stack: &'a StackSource,
    source: &'a MinorSource,
    rendered: Option<&'a StackRelease>,
}

pub(super) fn run(args: &StackArgs) -> Exit {
    let mut found = Found::default();
    for path in &args.paths {
        let Found { stacks, problems } = stack::discover(path, args.root.as_deref());
        found.stacks.extend(stacks);
        found.problems.extend(problems);
    }
    if let Some(minor) = args.minor
        && !found.stacks.iter().any(|stack| stack.minor(minor).is_some())
        && found.problems.is_empty()
    {
        screen::complain(&format!("no stack has {minor}"), "without `--minor` all of them are shown");
        return Exit::BadInput;
    }
    let wanted = |stack: &StackSource| match args.minor {
        Some(minor) => stack.minors().filter(|m| *m == minor).collect(),
        None => stack.minors().collect::<Vec<_>>(),
    };
    let mut rendered: Vec<Option<Stack>> = Vec::new();
    if !found.stacks.is_empty() {
        let settings = args.testbed.settings();
        let renderer = match inputs::Renderer::new(&settings) {
            Ok(renderer) => renderer,
            Err(exit) => return exit,
        };
        for stack in &found.stacks {
            let result = renderer.render(stack, &wanted(stack));
            let whole = |why: String| StackProblem::whole(stack.directory.clone(), why);
            rendered.push(result.map_err(|error| found.problems.push(whole(error.to_string()))).ok());
        }
    }
    let mut rows = Vec::new();
    for (stack, rendered) in found.stacks.iter().zip(&rendered) {
        for source in stack.minors.iter().filter(|m| wanted(stack).contains(&m.kubernetes.minor())) {
            let release = rendered.as_ref().and_then(|r| r.release(source.kubernetes.minor()));
            rows.push(Row { stack, source, rendered: release });
        }
    }
    match args.format {
        Format::Json => screen::data(&json_of(&rows, &found.problems)),
        Format::Text if rows.is_empty() => {}
        Format::Text if args.minor.is_some() => {
            screen::data(&rows.iter().map(details).collect::<Vec<_>>().join("\n"));
        }
        Format::Text => screen::data(&table(&rows)),
    }
    if found.problems.is_empty() {
        return Exit::Passed;
    }
    inputs::refuse(&Problems(found.problems.iter().map(problem).collect()))
}

/// With the line of the file, if it can still be read.
fn problem(found: &StackProblem) -> Problem {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if found.line == 0 {
        return Problem::of_file(&found.file, &found.why);
    }
    let text = std::fs::read_to_string(&found.file).unwrap_or_default();
    let span = Span::new(number(found.line), number(found.column.max(1)), 1);
    Problem::at(&SourceText::new(found.file.clone(), text), span, &found.why)
}

fn class(source: &MinorSource) -> &str {
    if source.class.is_placeholder() { "-" } else { &source.class.version }
}

fn variables(rendered: &StackRelease) -> Vec<stack::variables::Variable<'_>> {
    stack::variables::variables(&rendered.cluster_class).collect()
}

fn patches(rendered: &StackRelease) -> &[Value] {
    rendered.cluster_class.pointer("/spec/patches").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn table(rows: &[Row<'_>]) -> String {
    let mut table = Table::new();
    let header =
        ["provider", "stack", "minor", "version", "class", "variables", "patches", "images", "add-ons"];
    table.load_style(presets::NOTHING).set_header(header.map(str::to_uppercase));
    screen::flush_left(&mut table);
    for row in rows {
        let count = |n: Option<usize>| n.map_or_else(|| "?".into(), |n| n.to_string());
        table.add_row([
            row.stack.provider.to_string(),
            row.stack.name.to_string(),
            row.source.kubernetes.minor().to_string(),
            row.source.kubernetes.to_string(),
            class(row.source).to_owned(),
            count(row.rendered.map(|r| variables(r).len())),
            count(row.rendered.map(|r| patches(r).len())),
            images(row).len().to_string(),
            match row.source.addons.style {
                Style::None => "-".into(),
                Style::Single => "one chart".into(),
                Style::Stages => row.source.addons.stages().join(" "),
            },
        ]);
    }
    table.to_string()
}

/// Images of files, and of objects that the chart renders.
fn images(row: &Row<'_>) -> Vec<stack::NodeImage> {
    let mut images = row.source.node_images.clone();
    for image in row.rendered.into_iter().flat_map(StackRelease::node_images) {
        if !images.iter().any(|other| other.name == image.name) {
            images.push(image);
        }
    }
    images
}

fn details(row: &Row<'_>) -> String {
    let Row { stack, source, rendered } = row;
    let minor = source.kubernetes.minor();
    let mut text = format!("{}\n", stack.release_name(minor));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    line("Kubernetes", format!("{} ({})", source.kubernetes, source.declared));
    line("layout", stack.layout.to_string());
    line("class", format!("{} {}", source.class.name, source.class.version));
    if let Some(rendered) = rendered {
        line("rendered", rendered.class.clone());
        line("workers", rendered.worker_classes.join(", "));
        let _ = writeln!(text, "\n  variables");
        for variable in variables(rendered) {
            let kind = variable.schema["type"].as_str().unwrap_or("any");
            let default = variable.default().map_or_else(String::new, |d| format!(" = {d}"));
            let required = if variable.required { " (required)" } else { "" };
            let _ = writeln!(text, "    {}: {kind}{default}{required}", variable.name);
        }
        let _ = writeln!(text, "\n  patches");
        for patch in patches(rendered) {
            let name = patch["name"].as_str().unwrap_or("?");
            let when = patch["enabledIf"]
                .as_str()
                .map_or_else(String::new, |when| format!(" if {}", on_one_line(when)));
            let _ = writeln!(text, "    {name}{when}");
        }
    }
    for hook in Hook::ALL.into_iter().filter(|hook| !source.addons.at(*hook).is_empty()) {
        let _ = writeln!(text, "\n  {hook}");
        for stage in source.addons.at(hook) {
            stage_lines(&mut text, source, stage);
        }
    }
    let images = images(row);
    if !images.is_empty() {
        let _ = writeln!(text, "\n  images");
    }
    for image in images {
        let _ = writeln!(
            text,
            "    {}{}",
            image.name,
            image.url.map_or_else(String::new, |url| format!(" {url}"))
        );
    }
    text
}

fn stage_lines(text: &mut String, source: &MinorSource, stage: &Stage) {
    let charts = source.addon_charts.iter().filter(|addon| addon.stage == stage.name);
    let versions: Vec<String> = charts
        .flat_map(|addon| &addon.chart.dependencies)
        .map(|dependency| format!("{} {}", dependency.name, dependency.version))
        .collect();
    let _ = writeln!(text, "    {} {}: {}", stage.action, stage.name, versions.join(", "));
    for (when, wait) in [("before", &stage.before), ("after", &stage.after)] {
        if let Some(wait) = wait {
            let _ = writeln!(text, "      {when} it waits for {}", on_one_line(&wait.condition));
        }
    }
}

fn json_of(rows: &[Row<'_>], problems: &[StackProblem]) -> String {
    let minor = |row: &Row<'_>| {
        let variable = |v: stack::variables::Variable<'_>| json!({"name": v.name, "required": v.required, "default": v.default(), "schema": v.schema});
        json!({
            "provider": row.stack.provider,
            "stack": row.stack.name,
            "directory": row.stack.directory,
            "layout": row.stack.layout,
            "minor": row.source.kubernetes.minor(),
            "kubernetes": row.source.kubernetes,
            "declared": row.source.declared,
            "chart": row.source.class,
            "class": row.rendered.map(|r| &r.class),
            "workerClasses": row.rendered.map(|r| &r.worker_classes),
            "variables": row.rendered.map(|r| variables(r).into_iter().map(variable).collect::<Vec<_>>()),
            "patches": row.rendered.map(patches),
            "addons": row.source.addons,
            "addonCharts": row.source.addon_charts,
            "components": row.source.components,
            "nodeImages": images(row),
        })
    };
    let problem =
        |p: &StackProblem| json!({"file": p.file, "line": p.line, "column": p.column, "why": p.why});
    let all = json!({
        "stacks": rows.iter().map(minor).collect::<Vec<_>>(),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).unwrap_or_default()
}
