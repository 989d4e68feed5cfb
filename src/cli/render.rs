//! Reports as tables for people or as JSON lines for programs.

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};

use super::items;
use crate::output::line;
use crate::run::bounds::LeftOut;
use crate::run::report::{DataSourceReport, Mode, Outcome, Report, Totals};

/// One line below the header, nothing else: rows of many tables are narrow enough to follow.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
/// Columns of syncs and sweeps; `--output json` has everything.
const RUN_COLUMNS: [&str; 12] = [
    "database",
    "outcome",
    "mode",
    "read",
    "inserted",
    "updated",
    "unchanged",
    "removed",
    "requests",
    "statements",
    "took",
    "synced through",
];

/// One report as a line of JSON.
pub(super) fn json_line(report: &Report) -> String {
    // A report has text keys and finite numbers only, so this can't fail.
    serde_json::to_string(report).unwrap_or_default()
}

/// All reports of one command as text: a table, then what needs attention.
pub(super) fn text(reports: &[Report]) -> String {
    let runs: Vec<&Report> = reports.iter().filter(|report| report.database.is_some()).collect();
    let mut parts = Vec::new();
    if !runs.is_empty() {
        parts.push(runs_table(&runs));
    }
    for report in reports.iter().filter(|report| !report.items.is_empty()) {
        parts.push(items::table(report));
    }
    parts.extend(reports.iter().flat_map(remarks));
    if parts.is_empty() {
        parts.extend(reports.iter().map(|report| format!("{}: {}", report.action, report.outcome.name())));
    }
    parts.join("\n")
}

/// One row a database; data sources get rows of their own where there are several.
fn runs_table(reports: &[&Report]) -> String {
    let mut table = new_table(RUN_COLUMNS.into_iter().map(str::to_owned));
    for report in reports {
        let database = report.database.as_ref().map_or("", |database| database.as_str());
        let mode = report.mode.map_or("", mode_name).to_owned();
        let oldest = report.data_sources.iter().map(|source| source.watermark_after).min().flatten();
        let starts = [database.to_owned(), report.outcome.name().to_owned(), mode];
        add_run(&mut table, starts, &report.totals, seconds(report.duration_ms), oldest);
        for source in report.data_sources.iter().filter(|_| report.data_sources.len() > 1) {
            add_data_source(&mut table, source);
        }
    }
    table.trim_fmt()
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Incremental => "incremental",
        Mode::FullRefresh => "full refresh",
        Mode::Sweep => "sweep",
    }
}

fn add_data_source(table: &mut Table, source: &DataSourceReport) {
    let starts = [format!("  {}", line(&source.name)), String::new(), mode_name(source.mode).to_owned()];
    add_run(table, starts, &source.totals, String::new(), source.watermark_after);
}

fn add_run(
    table: &mut Table,
    starts: [String; 3],
    totals: &Totals,
    took: String,
    synced_through: Option<jiff::Timestamp>,
) {
    let counts = [
        totals.pages_read,
        totals.pages_inserted,
        totals.pages_updated,
        totals.pages_unchanged,
        totals.pages_removed,
        totals.requests,
        totals.statements,
    ];
    let mut cells: Vec<Cell> = starts.into_iter().map(Cell::new).collect();
    cells.extend(counts.map(|count| right(grouped(count))));
    cells.push(right(took));
    cells.push(Cell::new(synced_through.map_or_else(|| "-".to_owned(), minute)));
    table.add_row(cells);
}

/// What a person should see besides the numbers.
fn remarks(report: &Report) -> Vec<String> {
    let subject = report.database.as_ref().map_or(report.action, |database| database.as_str());
    let mut remarks: Vec<String> =
        report.warnings.iter().map(|warning| format!("warning: {subject}: {}", line(warning))).collect();
    for source in &report.data_sources {
        let name = line(&source.name);
        let remark = |warning: &String| format!("warning: {subject} / {name}: {}", line(warning));
        remarks.extend(source.warnings.iter().map(remark));
    }
    if let Some(LeftOut { warnings, data_sources, items }) = report.left_out {
        remarks.push(format!(
            "{subject}: left out of this report, because it would be too large: {warnings} warnings, {data_sources} data \
             sources, {items} items"
        ));
    }
    if report.outcome == Outcome::Partial {
        let wait =
            report.retry_after_seconds.map_or_else(String::new, |seconds| format!(", in {seconds} s at the earliest"));
        remarks.push(format!("{subject}: partial; run again to go on{wait}"));
    }
    if let Some(error) = &report.error {
        remarks.push(format!("error: {subject}: {}: {} (run {})", error.class, line(&error.message), report.run_id));
    }
    remarks
}

pub(super) fn new_table(header: impl Iterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header);
    table
}

pub(super) fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// `1234567` → `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2026-11-22 14:58Z`: a watermark is always a whole minute.
pub(super) fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn seconds(duration_ms: u64) -> String {
    format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, FailureClass};
    use crate::ids::{DataSourceId, DatabaseName, RunId};

    fn report(database: Option<&str>) -> Report {
        let mut report = Report::begin("sync", RunId::random(), "2026-11-22T15:00:00Z".parse().unwrap());
        report.database = database.map(|name| DatabaseName::parse(name).unwrap());
        report
    }

    fn source(name: &str) -> DataSourceReport {
        DataSourceReport {
            data_source_id: DataSourceId::parse("be633bf1dfa0436db259571129a590e5").unwrap(),
            name: name.to_owned(),
            mode: Mode::Incremental,
            totals: Totals { pages_read: 600, ..Totals::default() },
            window: None,
            watermark_before: None,
            watermark_after: Some("2026-11-22T14:58:00Z".parse().unwrap()),
            resume: None,
            warnings: vec!["the cache is down".to_owned()],
        }
    }

    #[test]
    fn syncs_stand_in_one_table_and_below_it_what_needs_attention() {
        let mut done = report(Some("budget_lines"));
        done.mode = Some(Mode::Incremental);
        done.duration_ms = 12_345;
        done.totals = Totals { pages_read: 1200, pages_inserted: 1_100, bytes: 3 << 20, ..Totals::default() };
        done.data_sources = vec![source("Lines 2025"), source("Lines 2026")];
        done.data_sources[1].warnings.clear();
        let mut partial = report(Some("projects"));
        partial.outcome = Outcome::Partial;
        partial.retry_after_seconds = Some(40);
        let mut failed = report(Some("risks"));
        failed.fail(&Failure::new(FailureClass::NotionUnauthorized, "Notion answered 401"));
        let text = text(&[done, partial, failed.clone()]).replace(failed.run_id.as_str(), "RUN");
        insta::assert_snapshot!(text, @r"
         database      outcome   mode         read   inserted  updated  unchanged  removed  requests  statements  took    synced through
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         budget_lines  complete  incremental  1,200     1,100        0          0        0         0           0  12.3 s  2026-11-22 14:58Z
           Lines 2025            incremental    600         0        0          0        0         0           0          2026-11-22 14:58Z
           Lines 2026            incremental    600         0        0          0        0         0           0          2026-11-22 14:58Z
         projects      partial                    0         0        0          0        0         0           0   0.0 s  -
         risks         failed                     0         0        0          0        0         0           0   0.0 s  -
        warning: budget_lines / Lines 2025: the cache is down
        projects: partial; run again to go on, in 40 s at the earliest
        error: risks: NotionUnauthorized: Notion answered 401. Put a valid Notion token into the secret (or NOTION_API_KEY). (run RUN)
        ");
    }

    #[test]
    fn a_report_without_anything_to_show_says_its_outcome() {
        assert_eq!(text(&[report(None)]), "sync: complete");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(seconds(12_345), "12.3 s");
    }
}
