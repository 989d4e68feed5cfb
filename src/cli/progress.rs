//! The progress of a run, on standard error: a bar on a terminal, plain lines when piped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::grouped;
use crate::ids::DataSourceId;
use crate::output::{self, Outlet};
use crate::run::progress::{Progress, ProgressEvent};

/// Rows between two plain lines, so that a log of a long run stays short.
const ROWS_PER_LINE: u64 = 1000;
const TICK: Duration = Duration::from_millis(120);

/// Shows progress, and knows how to write a line without disturbing it.
#[derive(Clone)]
pub(super) struct ProgressView {
    bar: Option<ProgressBar>,
    tally: Arc<Mutex<Tally>>,
    lines: Outlet,
}

/// The part of a run that a database is in.
#[derive(Debug, Clone, Copy, Default)]
enum Phase {
    #[default]
    Walking,
    Sweeping,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Walking => "walking",
            Self::Sweeping => "sweeping",
        }
    }
}

/// The progress shown so far for the current database.
#[derive(Debug, Default)]
struct Tally {
    database: String,
    read: BTreeMap<DataSourceId, u64>,
    merged: BTreeMap<DataSourceId, u64>,
    phase: Phase,
    listed: u64,
    remark: String,
}

impl ProgressView {
    /// A bar when `is_terminal`, lines to `lines` otherwise.
    pub(super) fn new(is_terminal: bool, lines: Outlet) -> Self {
        let bar = is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, tally: Arc::default(), lines }
    }

    /// The listener for runs.
    pub(super) fn listener(&self) -> Progress {
        let view = self.clone();
        Progress::to(move |event| view.show(event))
    }

    /// An outlet for log lines that keeps the bar in its place.
    pub(super) fn log_outlet(&self) -> Outlet {
        let view = self.clone();
        Outlet::to(move |line| {
            view.line(line);
            Ok(())
        })
    }

    fn line(&self, line: &str) {
        // A line that can't be written to standard error has nowhere to be reported.
        drop(match &self.bar {
            Some(bar) => bar.suspend(|| self.lines.text(line)),
            None => self.lines.text(line),
        });
    }

    fn show(&self, event: &ProgressEvent) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let line = tally.take_in(event);
        match (&self.bar, event) {
            (None, _) => {
                if let Some(line) = line {
                    self.line(&line);
                }
            }
            (Some(bar), ProgressEvent::DatabaseStarted { .. }) => {
                bar.reset();
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.enable_steady_tick(TICK);
                bar.set_message(output::line(&output::redacted(&tally.to_string())).into_owned());
            }
            (Some(bar), ProgressEvent::DatabaseEnded { .. }) => {
                bar.disable_steady_tick();
                bar.finish_and_clear();
                if let Some(line) = line {
                    self.line(&line);
                }
            }
            (Some(bar), _) => bar.set_message(output::line(&output::redacted(&tally.to_string())).into_owned()),
        }
    }
}

impl Tally {
    /// Takes an event in; a line when it is worth one.
    fn take_in(&mut self, event: &ProgressEvent) -> Option<String> {
        self.remark.clear();
        match event {
            ProgressEvent::DatabaseStarted { database } => {
                *self = Self { database: database.to_string(), ..Self::default() };
                Some(format!("{database}: started"))
            }
            ProgressEvent::PagesRead { data_source_id, pages_read } => {
                self.phase = Phase::Walking;
                let before = self.read.insert(*data_source_id, *pages_read).unwrap_or(0);
                (before / ROWS_PER_LINE < pages_read / ROWS_PER_LINE).then(|| self.to_string())
            }
            ProgressEvent::BatchMerged { data_source_id, pages_merged } => {
                // The sweep and the catch-up after a stored position count from zero.
                let merged = self.merged.entry(*data_source_id).or_default();
                *merged = (*merged).max(*pages_merged);
                Some(self.to_string())
            }
            ProgressEvent::Waiting { seconds } => {
                self.remark = format!(", waiting {seconds} s as the server asked");
                Some(self.to_string())
            }
            ProgressEvent::Listed { rows_listed } => {
                self.phase = Phase::Sweeping;
                // A further window of the same sweep counts from zero.
                let before = std::mem::replace(&mut self.listed, *rows_listed);
                self.remark = format!(", {} listed", grouped(*rows_listed));
                (before / ROWS_PER_LINE < rows_listed / ROWS_PER_LINE).then(|| self.to_string())
            }
            ProgressEvent::Classified { checked, of } => {
                self.phase = Phase::Sweeping;
                self.remark = format!(", {} of {} missing rows looked up", grouped(*checked), grouped(*of));
                (checked == of || checked % 100 == 0).then(|| self.to_string())
            }
            ProgressEvent::DatabaseEnded { database, outcome } => {
                let counts = self.counts();
                Some(format!("{database}: {outcome}{counts}"))
            }
        }
    }

    fn counts(&self) -> String {
        let (read, merged): (u64, u64) = (self.read.values().sum(), self.merged.values().sum());
        if read + merged == 0 {
            return String::new();
        }
        format!(", {} read, {} merged", grouped(read), grouped(merged))
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}{}{}", self.database, self.phase.name(), self.counts(), self.remark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DatabaseName;
    use crate::output::tests::capture;

    #[test]
    fn piped_progress_is_a_few_lines_a_database() {
        let (lines, outlet) = capture();
        let progress = ProgressView::new(false, outlet).listener();
        let database = DatabaseName::parse("projects").unwrap();
        let source = |digit| DataSourceId::parse(&format!("be633bf1dfa0436db259571129a590e{digit}")).unwrap();
        progress.tell(&ProgressEvent::DatabaseStarted { database: database.clone() });
        for pages_read in (100..=2000).step_by(100) {
            progress.tell(&ProgressEvent::PagesRead { data_source_id: source(1), pages_read });
        }
        progress.tell(&ProgressEvent::PagesRead { data_source_id: source(2), pages_read: 50 });
        progress.tell(&ProgressEvent::BatchMerged { data_source_id: source(1), pages_merged: 1500 });
        progress.tell(&ProgressEvent::Waiting { seconds: 30 });
        for rows_listed in (100..=1200).step_by(100) {
            progress.tell(&ProgressEvent::Listed { rows_listed });
        }
        progress.tell(&ProgressEvent::Classified { checked: 7, of: 7 });
        progress.tell(&ProgressEvent::DatabaseEnded { database, outcome: "complete" });
        assert_eq!(
            *lines.lock().unwrap(),
            [
                "projects: started",
                "projects: walking, 1,000 read, 0 merged",
                "projects: walking, 2,000 read, 0 merged",
                "projects: walking, 2,050 read, 1,500 merged",
                "projects: walking, 2,050 read, 1,500 merged, waiting 30 s as the server asked",
                "projects: sweeping, 2,050 read, 1,500 merged, 1,000 listed",
                "projects: sweeping, 2,050 read, 1,500 merged, 7 of 7 missing rows looked up",
                "projects: complete, 2,050 read, 1,500 merged",
            ]
        );
    }

    #[test]
    fn the_line_moves_while_a_sweep_lists() {
        let mut tally = Tally { database: "projects".to_owned(), ..Tally::default() };
        let shown = [100, 200].map(|rows_listed| {
            tally.take_in(&ProgressEvent::Listed { rows_listed });
            tally.to_string()
        });
        assert_eq!(shown, ["projects: sweeping, 100 listed", "projects: sweeping, 200 listed"]);
    }

    #[test]
    fn beside_a_bar_only_ends_and_log_lines_are_written() {
        let (lines, outlet) = capture();
        let view = ProgressView::new(true, outlet);
        let database = DatabaseName::parse("projects").unwrap();
        view.log_outlet().text("WARN cache is down").unwrap();
        view.show(&ProgressEvent::DatabaseEnded { database, outcome: "skipped" });
        assert_eq!(*lines.lock().unwrap(), ["WARN cache is down", "projects: skipped"]);
    }
}
