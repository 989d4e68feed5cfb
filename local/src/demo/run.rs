//! One invocation of the Lambda and what it cost, counted on both sides.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;

use super::{Demo, DemoError};
use crate::databricks::{LoggedStatement, StatementKind};

/// The parts of the service's report that the demo shows. Types of its own: a renamed field shows.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunReport {
    pub(super) database: String,
    pub(super) outcome: String,
    pub(super) mode: String,
    pub(super) requests: u64,
    pub(super) statements: usize,
    pub(super) pages_read: u64,
    pub(super) pages_inserted: u64,
    pub(super) pages_updated: u64,
    pub(super) pages_unchanged: u64,
    pub(super) pages_removed: u64,
    pub(super) pages_hydrated: u64,
    #[serde(default)]
    pub(super) schema_changes: u64,
    pub(super) warnings: Vec<String>,
}

/// One run: what the service reports, and what the warehouse saw of it.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) report: RunReport,
    /// The statements that reached the warehouse.
    pub(super) statements: Vec<LoggedStatement>,
    pub(super) token_requests: usize,
    pub(super) seconds: f64,
}

const HEADER: [&str; 11] = [
    "database",
    "mode",
    "requests",
    "read",
    "inserted",
    "updated",
    "unchanged",
    "removed",
    "read in full",
    "statements",
    "seconds",
];
/// The columns of [`HEADER`] that hold text.
const TEXT_COLUMNS: usize = 2;

impl Run {
    /// Statements that write rows of `notion_raw_pages`.
    pub(super) fn page_merges(&self) -> usize {
        let is_page_merge = |statement: &&LoggedStatement| {
            statement.kind == StatementKind::Merge && first_line(&statement.text).contains("notion_raw_pages")
        };
        self.statements.iter().filter(is_page_merge).count()
    }

    fn counts(&self) -> [u64; 8] {
        let report = &self.report;
        [
            report.requests,
            report.pages_read,
            report.pages_inserted,
            report.pages_updated,
            report.pages_unchanged,
            report.pages_removed,
            report.pages_hydrated,
            // As the warehouse counts them, not the service.
            self.statements.len() as u64,
        ]
    }
}

fn cells(texts: [&str; TEXT_COLUMNS], counts: [u64; 8], seconds: f64) -> Vec<String> {
    let texts = texts.map(str::to_owned).into_iter();
    texts.chain(counts.map(|count| count.to_string())).chain([format!("{seconds:.1}")]).collect()
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or_default()
}

/// The statements of a run, for people: the start of each.
pub(super) fn statement_summaries(run: &Run) -> Vec<String> {
    const SHOWN_CHARACTERS: usize = 96;
    let starts = run.statements.iter().map(|statement| {
        let text: String = statement.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let start: String = text.chars().take(SHOWN_CHARACTERS).collect();
        if start.len() < text.len() { format!("{start}…") } else { start }
    });
    starts.collect()
}

impl Demo<'_> {
    /// Invokes the Lambda with an event of `events/`, shows nothing yet.
    pub(super) async fn invoke(&self, event: &str) -> Result<Run, DemoError> {
        self.invoke_file(&self.tools.events().join(event)).await
    }

    async fn invoke_file(&self, event_file: &Path) -> Result<Run, DemoError> {
        let databricks = self.stack.databricks();
        let (statements_before, tokens_before) = (databricks.statements().len(), databricks.token_requests());
        let started = Instant::now();
        let answer = self.lambda.invoke(event_file).await?;
        let seconds = started.elapsed().as_secs_f64();
        let report = serde_json::from_value(answer.clone()).map_err(|source| DemoError::Report { source, answer })?;
        let statements = databricks.statements().split_off(statements_before);
        let token_requests = databricks.token_requests() - tokens_before;
        Ok(Run { report, statements, token_requests, seconds })
    }

    /// Shows runs as a table with totals, and their warnings.
    pub(super) fn show(&mut self, runs: &[Run]) -> Result<(), DemoError> {
        let mut rows: Vec<Vec<String>> =
            runs.iter().map(|run| cells([&run.report.database, &run.report.mode], run.counts(), run.seconds)).collect();
        if runs.len() > 1 {
            let mut totals = [0; 8];
            runs.iter().for_each(|run| totals.iter_mut().zip(run.counts()).for_each(|(total, count)| *total += count));
            rows.push(cells(["all", ""], totals, runs.iter().map(|run| run.seconds).sum()));
        }
        self.screen.table(&HEADER, &rows, TEXT_COLUMNS)?;
        for run in runs {
            for warning in &run.report.warnings {
                self.screen.line(&format!("warning ({}): {warning}", run.report.database))?;
            }
        }
        Ok(())
    }
}
