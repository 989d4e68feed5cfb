//! Remarks below the numbers: warnings, unfinished work, failures. Each thing is said once,
//! with the names of all databases that it is about; the remedy comes first, the ids last.

use console::{Color, Style};

use crate::output::line;
use crate::run::bounds::LeftOut;
use crate::run::report::{ErrorReport, Outcome, Report};

/// Lines of one remark begin with this from the second on.
const INDENT: &str = "  ";

/// The label of a warning.
const WARNING: &str = "warning:";
/// The label of a failure.
const ERROR: &str = "error:";

/// The remarks of all reports of a command.
pub(super) fn remarks(reports: &[Report]) -> Vec<String> {
    let mut remarks = warnings(reports);
    remarks.extend(reports.iter().filter_map(left_out));
    remarks.extend(reports.iter().filter(|report| report.outcome == Outcome::Partial).map(|report| {
        let seconds = report.retry_after_seconds;
        let wait = seconds.map_or_else(String::new, |seconds| format!(", in {seconds} s at the earliest"));
        format!("{}: partial; run again to continue{wait}", subject(report))
    }));
    remarks.extend(failures(reports));
    remarks
}

fn subject(report: &Report) -> &str {
    report.database.as_ref().map_or(report.action_name(), |database| database.as_str())
}

/// Each warning once, with all that it is about.
fn warnings(reports: &[Report]) -> Vec<String> {
    let mut told: Vec<(&str, Vec<String>)> = Vec::new();
    let mut tell = |text, about: String| match told.iter_mut().find(|(warning, _)| *warning == text) {
        Some((_, subjects)) if subjects.contains(&about) => {}
        Some((_, subjects)) => subjects.push(about),
        None => told.push((text, vec![about])),
    };
    for report in reports {
        for warning in &report.warnings {
            tell(warning.as_str(), subject(report).to_owned());
        }
        for source in &report.data_sources {
            for warning in &source.warnings {
                tell(warning.as_str(), format!("{} / {}", subject(report), line(&source.name)));
            }
        }
    }
    told.into_iter().map(|(text, subjects)| format!("{WARNING} {}: {}", subjects.join(", "), line(text))).collect()
}

/// Failures for one reason stand together.
fn failures(reports: &[Report]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<(&Report, &ErrorReport)>)> = Vec::new();
    for report in reports {
        let Some(error) = &report.error else { continue };
        let reason = format!("{} {}", error.class, without_names(&message_of(error), subject(report)));
        match groups.iter_mut().find(|(told, _)| *told == reason) {
            Some((_, failed)) => failed.push((report, error)),
            None => groups.push((reason, vec![(report, error)])),
        }
    }
    groups.iter().filter_map(|(_, failed)| failure(failed)).collect()
}

/// One failure: who and which class, what to do, what happened, the ids.
fn failure(failed: &[(&Report, &ErrorReport)]) -> Option<String> {
    let (_, error) = failed.first()?;
    let subjects: Vec<&str> = failed.iter().map(|(report, _)| subject(report)).collect();
    let runs: Vec<String> = failed.iter().map(|(report, _)| report.run_id.to_string()).collect();
    let of_first = if failed.len() > 1 { format!("{INDENT}why, of {}:", subjects[0]) } else { format!("{INDENT}why:") };
    let remedy = error.class.remedy();
    Some(format!(
        "{ERROR} {}: {}\n{INDENT}do:  {remedy}\n{of_first} {}\n{INDENT}{}: {}",
        subjects.join(", "),
        error.class,
        line(&message_of(error)),
        if runs.len() > 1 { "runs" } else { "run" },
        runs.join(", ")
    ))
}

/// The message without the remedy at its end.
fn message_of(error: &ErrorReport) -> String {
    error.message.strip_suffix(error.class.remedy()).unwrap_or(&error.message).trim_end().to_owned()
}

/// The message without what differs between databases that fail for one reason: names and ids.
fn without_names(message: &str, subject: &str) -> String {
    let words = message.split(|c: char| c.is_whitespace() || "()\"',;/".contains(c)).filter(|word| {
        let word = word.trim_end_matches(['.', ':']);
        let is_id = word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        word != subject && !is_id
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Says what the report leaves out because it would be too large.
fn left_out(report: &Report) -> Option<String> {
    let LeftOut { warnings, data_sources, items } = report.left_out?;
    Some(format!(
        "{}: left out of this report, because it would be too large: {warnings} warnings, {data_sources} data sources, \
         {items} items",
        subject(report)
    ))
}

/// Colours the label at the start of each line of a text that is already clean.
pub(super) fn painted(text: &str) -> String {
    let label = |label: &str, color| Style::new().fg(color).bold().force_styling(true).apply_to(label).to_string();
    let line = |line: &str| match (line.strip_prefix(WARNING), line.strip_prefix(ERROR)) {
        (Some(rest), _) => label(WARNING, Color::Yellow) + rest,
        (_, Some(rest)) => label(ERROR, Color::Red) + rest,
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::ActionKind;
    use crate::failure::{Failure, FailureClass};
    use crate::ids::{DatabaseName, RunId};

    fn failed(database: &str, id: &str) -> Report {
        let started_at = "2026-11-22T15:00:00Z".parse().unwrap();
        let mut report = Report::begin(Some(ActionKind::Sync), RunId::random(), started_at);
        report.database = Some(DatabaseName::parse(database).unwrap());
        report.warnings.push("the cache is down".to_owned());
        let message =
            format!("database {database}: GET /v1/databases/{id} answered 401 unauthorized (request id {id})");
        report.fail(&Failure::new(FailureClass::NotionUnauthorized, message));
        report
    }

    #[test]
    fn databases_that_fail_for_one_reason_are_named_together() {
        let reports = [
            failed("actions", "be633bf1-dfa0-436d-b259-571129a590e1"),
            failed("projects", "be633bf1-dfa0-436d-b259-571129a590e2"),
            failed("risks", "be633bf1-dfa0-436d-b259-571129a590e3"),
        ];
        let mut text = remarks(&reports).join("\n");
        for (number, report) in reports.iter().enumerate() {
            text = text.replace(report.run_id.as_str(), &format!("RUN-{number}"));
        }
        insta::assert_snapshot!(text, @r"
        warning: actions, projects, risks: the cache is down
        error: actions, projects, risks: NotionUnauthorized
          do:  Put a valid Notion token into the secret (or NOTION_API_KEY).
          why, of actions: database actions: GET /v1/databases/be633bf1-dfa0-436d-b259-571129a590e1 answered 401 unauthorized (request id be633bf1-dfa0-436d-b259-571129a590e1).
          runs: RUN-0, RUN-1, RUN-2
        ");
    }

    #[test]
    fn labels_are_coloured_and_nothing_else() {
        let text = remarks(&[failed("actions", "be633bf1-dfa0-436d-b259-571129a590e1")]).join("\n");
        assert!(!text.contains('\u{1b}'));
        let painted = painted(&text);
        assert!(painted.contains("\u{1b}[31m") && painted.contains("\u{1b}[33m"), "{painted:?}");
        assert_eq!(console::strip_ansi_codes(&painted), text);
    }
}
