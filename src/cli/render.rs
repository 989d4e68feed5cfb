//! Reports as tables for people or as JSON lines for programs.

use super::items;
use super::remarks::remarks;
use super::table::{Column, Grid};
use crate::run::report::{DataSourceReport, Mode, Report, Totals};

/// Columns of syncs and sweeps; `--output json` has everything. Where the width does not suffice they go in this order:
/// requests, unchanged, statements, mode, took, removed, inserted.
const RUN_COLUMNS: [Column; 12] = [
    Column::always("database"),
    Column::always("outcome"),
    Column::ranked("mode", 4),
    Column::always("read").number(),
    Column::ranked("inserted", 1).number(),
    Column::always("updated").number(),
    Column::ranked("unchanged", 6).number(),
    Column::ranked("removed", 2).number(),
    Column::ranked("requests", 7).number(),
    Column::ranked("statements", 5).number(),
    Column::ranked("took", 3).number(),
    Column::always("synced through"),
];

/// One report as a line of JSON.
pub(super) fn json_line(report: &Report) -> String {
    // A report has text keys and finite numbers only, so this can't fail.
    serde_json::to_string(report).unwrap_or_default()
}

/// Renders all reports of one command as text: tables, then what needs attention. `width` counts the columns of the
/// terminal; `None` = there is none.
pub(super) fn text(reports: &[Report], width: Option<usize>) -> String {
    let moves_data =
        |report: &&Report| report.database.is_some() && report.verification.is_none() && report.preview.is_none();
    let runs: Vec<&Report> = reports.iter().filter(moves_data).collect();
    let mut parts = Vec::new();
    if !runs.is_empty() {
        parts.push(runs_grid(&runs).render(width));
    }
    let previewed: Vec<&Report> = reports.iter().filter(|report| report.preview.is_some()).collect();
    if !previewed.is_empty() {
        parts.push(previewed_grid(&previewed).render(width));
        parts.push("dry run: nothing was written, no watermark moved".to_owned());
    }
    let verified: Vec<&Report> = reports.iter().filter(|report| report.verification.is_some()).collect();
    if !verified.is_empty() {
        parts.push(verified_grid(&verified).render(width));
    }
    for report in reports {
        parts.extend(items::tables(&report.items, width));
    }
    parts.extend(remarks(reports));
    if parts.is_empty() {
        parts.extend(reports.iter().map(|report| format!("{}: {}", report.action_name(), report.outcome.name())));
    }
    parts.join("\n")
}

/// One row a database; data sources get rows of their own where there are several.
fn runs_grid(reports: &[&Report]) -> Grid {
    let mut grid = Grid::new(&RUN_COLUMNS);
    for report in reports {
        let database = report.database.as_ref().map_or("", |database| database.as_str());
        let mode = report.mode.map_or("", mode_name).to_owned();
        let oldest = report.data_sources.iter().map(|source| source.watermark_after).min().flatten();
        let starts = [database.to_owned(), report.outcome.name().to_owned(), mode];
        add_run(&mut grid, starts, &report.totals, seconds(report.duration_ms), oldest);
        for source in report.data_sources.iter().filter(|_| report.data_sources.len() > 1) {
            add_data_source(&mut grid, source);
        }
    }
    grid
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Incremental => "incremental",
        Mode::FullRefresh => "full refresh",
        Mode::Sweep => "sweep",
    }
}

fn add_data_source(grid: &mut Grid, source: &DataSourceReport) {
    let starts = [format!("  {}", source.name), String::new(), mode_name(source.mode).to_owned()];
    add_run(grid, starts, &source.totals, String::new(), source.watermark_after);
}

fn add_run(
    grid: &mut Grid,
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
    let ends = [took, synced_through.map_or_else(|| "-".to_owned(), minute)];
    grid.row(starts.into_iter().chain(counts.map(grouped)).chain(ends));
}

/// One row a database: what a sync would do.
fn previewed_grid(reports: &[&Report]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::always("would do"),
        Column::always("read").number(),
        Column::always("to write, at most").number(),
        Column::ranked("known", 2).number(),
        Column::ranked("to read in full", 3).number(),
        Column::ranked("requests", 4).number(),
        Column::ranked("took", 5).number(),
        Column::ranked("edits since", 1),
    ]);
    for report in reports {
        let Some(preview) = report.preview else { continue };
        let mode = report.mode.map_or("", mode_name);
        let windows = report.data_sources.iter().filter_map(|source| source.window);
        let edited_since = windows.map(|window| window.edited_since).min().flatten();
        let starts = [
            report.database.as_ref().map_or_else(String::new, ToString::to_string),
            if preview.sweep_follows { format!("{mode}, sweep") } else { mode.to_owned() },
        ];
        let totals = &report.totals;
        let counts = [
            totals.pages_read,
            preview.rows_to_write,
            totals.pages_unchanged,
            preview.rows_to_read_in_full,
            totals.requests,
        ];
        let ends = [seconds(report.duration_ms), edited_since.map_or_else(|| "the beginning".to_owned(), minute)];
        grid.row(starts.into_iter().chain(counts.map(grouped)).chain(ends));
    }
    grid
}

/// One row a verified database.
fn verified_grid(reports: &[&Report]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::always("outcome"),
        Column::always("rows in Notion").number(),
        Column::always("in the table").number(),
        Column::always("differences").number(),
        Column::ranked("not yet synced", 1).number(),
        Column::ranked("took", 2).number(),
    ]);
    for report in reports {
        let Some(found) = report.verification else { continue };
        let counts = [found.rows_in_notion, found.rows_in_table, found.differences(), found.not_yet_synced];
        let database = report.database.as_ref().map_or_else(String::new, ToString::to_string);
        let starts = [database, report.outcome.name().to_owned()];
        grid.row(starts.into_iter().chain(counts.map(grouped)).chain([seconds(report.duration_ms)]));
    }
    grid
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

pub(super) fn seconds(duration_ms: u64) -> String {
    format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::ActionKind;
    use crate::failure::{Failure, FailureClass};
    use crate::ids::{DataSourceId, DatabaseName, RunId};
    use crate::run::report::Outcome;

    fn report(database: Option<&str>) -> Report {
        let started_at = "2026-11-22T15:00:00Z".parse().unwrap();
        let mut report = Report::begin(Some(ActionKind::Sync), RunId::random(), started_at);
        report.database = database.map(|name| DatabaseName::parse(name).unwrap());
        report
    }

    fn source(name: &str) -> DataSourceReport {
        DataSourceReport {
            data_source_id: DataSourceId::parse("be633bf1dfa0436db259571129a590e5").unwrap(),
            name: name.to_owned(),
            mode: Mode::Incremental,
            totals: Totals { pages_read: 600, ..Totals::default() },
            preview: None,
            window: None,
            watermark_before: None,
            watermark_after: Some("2026-11-22T14:58:00Z".parse().unwrap()),
            resume: None,
            warnings: vec!["the cache is down".to_owned()],
        }
    }

    fn shown(width: Option<usize>) -> String {
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
        text(&[done, partial, failed.clone()], width).replace(failed.run_id.as_str(), "RUN")
    }

    #[test]
    fn syncs_stand_in_one_table_and_below_it_what_needs_attention() {
        insta::assert_snapshot!(shown(Some(200)), @r"
         database      outcome   mode         read   inserted  updated  unchanged  removed  requests  statements  took    synced through
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         budget_lines  complete  incremental  1,200     1,100        0          0        0         0           0  12.3 s  2026-11-22 14:58Z
           Lines 2025            incremental    600         0        0          0        0         0           0          2026-11-22 14:58Z
           Lines 2026            incremental    600         0        0          0        0         0           0          2026-11-22 14:58Z
         projects      partial                    0         0        0          0        0         0           0   0.0 s  -
         risks         failed                     0         0        0          0        0         0           0   0.0 s  -
        warning: budget_lines / Lines 2025: the cache is down
        projects: partial; run again to continue, in 40 s at the earliest
        error: risks: NotionUnauthorized
          do:  Put a valid Notion token into the secret (or NOTION_API_KEY).
          why: Notion answered 401.
          run: RUN
        ");
    }

    #[test]
    fn a_narrower_terminal_gets_fewer_columns() {
        insta::assert_snapshot!(shown(Some(120)).lines().take(7).collect::<Vec<_>>().join("\n"), @r"
         database      outcome   mode         read   inserted  updated  removed  statements  took    synced through
        ───────────────────────────────────────────────────────────────────────────────────────────────────────────────
         budget_lines  complete  incremental  1,200     1,100        0        0           0  12.3 s  2026-11-22 14:58Z
           Lines 2025            incremental    600         0        0        0           0          2026-11-22 14:58Z
           Lines 2026            incremental    600         0        0        0           0          2026-11-22 14:58Z
         projects      partial                    0         0        0        0           0   0.0 s  -
         risks         failed                     0         0        0        0           0   0.0 s  -
        ");
        insta::assert_snapshot!(shown(Some(80)).lines().take(7).collect::<Vec<_>>().join("\n"), @r"
         database      outcome   read   inserted  updated  removed  synced through
        ──────────────────────────────────────────────────────────────────────────────
         budget_lines  complete  1,200     1,100        0        0  2026-11-22 14:58Z
           Lines 2025              600         0        0        0  2026-11-22 14:58Z
           Lines 2026              600         0        0        0  2026-11-22 14:58Z
         projects      partial       0         0        0        0  -
         risks         failed        0         0        0        0  -
        ");
    }

    #[test]
    fn a_report_without_anything_to_show_says_its_outcome() {
        assert_eq!(text(&[report(None)], None), "sync: complete");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(seconds(12_345), "12.3 s");
    }
}
