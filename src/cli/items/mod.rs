//! Tables of the items that actions other than sync and sweep found.

use jiff::{SignedDuration, Timestamp};

use super::render::minute;
use super::table::{Column, Grid};
use crate::run::items::{
    DatabaseItem, DifferenceItem, FailedRun, HealthItem, Item, RunItem, SchemaChange, SourceItem, StateItem,
    StatusItem, TableItem, ViewItem, ViewText,
};

/// The tables of a report's items, one for each kind.
pub(super) fn tables(items: &[Item], width: Option<usize>) -> Vec<String> {
    let mut found = Found::default();
    for item in items {
        match item {
            Item::Health(item) => found.health.push(item),
            Item::Database(item) => found.databases.push(item),
            Item::Status(item) => found.status.push(item),
            Item::Table(item) => found.tables.push(item),
            Item::Difference(item) => found.differences.push(item),
            Item::View(item) => found.views.push(item),
            Item::ViewText(item) => found.view_texts.push(item),
        }
    }
    found.tables_of(width)
}

/// The items of a report by kind.
#[derive(Default)]
struct Found<'a> {
    health: Vec<&'a HealthItem>,
    databases: Vec<&'a DatabaseItem>,
    status: Vec<&'a StatusItem>,
    tables: Vec<&'a TableItem>,
    differences: Vec<&'a DifferenceItem>,
    views: Vec<&'a ViewItem>,
    view_texts: Vec<&'a ViewText>,
}

impl Found<'_> {
    fn tables_of(&self, width: Option<usize>) -> Vec<String> {
        let mut tables = Vec::new();
        let mut add = |is_wanted: bool, grid: Grid| {
            if is_wanted {
                tables.push(grid.render(width));
            }
        };
        add(!self.health.is_empty(), health(&self.health));
        add(!self.databases.is_empty(), databases(&self.databases));
        add(!self.status.is_empty(), status(&self.status));
        let several = self.status.iter().filter_map(|item| item.standing.known());
        add(several.clone().any(|known| known.data_sources.len() > 1), sources(&self.status));
        let has_runs = |item: &&&StatusItem| item.state.as_ref().is_some_and(|state| !state.runs.is_empty());
        add(self.status.iter().any(|item| has_runs(&item)), runs(&self.status));
        add(!self.tables.is_empty(), made_tables(&self.tables));
        add(!self.differences.is_empty(), differences(&self.differences));
        add(!self.views.is_empty(), views(&self.views));
        tables.extend(self.view_texts.iter().map(|item| format!("{};\n", item.sql)));
        tables
    }
}

fn health(items: &[&HealthItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("dependency"),
        Column::always("ok"),
        Column::ranked("class", 1),
        Column::always("detail").text(),
    ]);
    for item in items {
        let class = item.class.map_or_else(dash, |class| class.name().to_owned());
        let ok = if item.ok { "yes" } else { "NO" };
        grid.row([item.dependency.replace('`', ""), ok.to_owned(), class, item.detail.replace('`', "")]);
    }
    grid
}

/// One row a data source; a database that could not be asked gets one row with its failure's class.
fn databases(items: &[&DatabaseItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::ranked("database id", 1),
        Column::always("data source"),
        Column::ranked("data source id", 2),
        Column::always("synced through"),
    ]);
    for item in items {
        let mut names = [item.database.to_string(), item.database_id.to_string()];
        let sources = item.found.known().map_or(&[][..], |found| found.data_sources.as_slice());
        for source in sources {
            let [database, id] = std::mem::take(&mut names);
            let name = source.name.clone().unwrap_or_default();
            let synced = source.synced_through.map_or_else(|| "never synced".to_owned(), minute);
            grid.row([database, id, name, source.data_source_id.to_string(), synced]);
        }
        if sources.is_empty() {
            let [database, id] = names;
            let instead = item.found.error().map_or_else(|| "none".to_owned(), |error| error.class.to_string());
            grid.row([database, id, instead, String::new(), String::new()]);
        }
    }
    grid
}

/// Returns one row per database: its state, the run at work, the last run's outcome, the remedy.
fn status(items: &[&StatusItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::always("synced through"),
        Column::always("lag").number(),
        Column::ranked("unfinished", 4),
        Column::ranked("running", 2),
        Column::always("last run"),
        Column::ranked("last complete sync", 3),
        Column::ranked("last full refresh", 5),
        Column::ranked("last sweep", 6),
        Column::ranked("to do", 1).text(),
    ]);
    for item in items {
        let known = item.standing.known();
        let sources = known.map_or(&[][..], |known| known.data_sources.as_slice());
        let state = item.state.as_ref();
        let error = item.standing.error().map(|error| error.class.to_string());
        let synced = error.unwrap_or_else(|| time(known.and_then(|known| known.synced_through)));
        let oldest = |of: fn(&SourceItem) -> Option<Timestamp>| time(sources.iter().map(of).min().flatten());
        grid.row([
            item.database.to_string(),
            synced,
            known.and_then(|known| known.lag_seconds).map_or_else(dash, duration),
            unfinished(sources),
            state.map_or_else(dash, running),
            state.and_then(|state| state.last_run.as_ref()).map_or_else(dash, last_run),
            state.and_then(|state| state.last_complete_sync.as_ref()).map_or_else(dash, age),
            oldest(|source| source.more.as_ref()?.last_full_refresh_at),
            oldest(|source| source.more.as_ref()?.last_sweep_at),
            state.and_then(|state| state.last_failure.as_ref()).map_or_else(dash, to_do),
        ]);
    }
    grid
}

fn unfinished(sources: &[SourceItem]) -> String {
    let has_position = |source: &SourceItem| source.more.as_ref().is_some_and(|more| more.resume.is_some());
    match sources {
        [] => dash(),
        sources if sources.iter().any(has_position) => "yes".to_owned(),
        _ => "no".to_owned(),
    }
}

/// The run that works on the database.
fn running(state: &StateItem) -> String {
    state.lease.as_ref().map_or_else(|| "no".to_owned(), |lease| format!("run {}", lease.run_id))
}

/// `sync complete 3m ago`, `sync failed 3m ago (NotionUnauthorized)`.
fn last_run(run: &RunItem) -> String {
    let class = run.error_class.as_deref().map_or_else(String::new, |class| format!(" ({class})"));
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {} {}{class}", part(&run.action), part(&run.outcome), age(run))
}

fn age(run: &RunItem) -> String {
    run.age_seconds.map_or_else(|| run.started_at.clone(), |age| duration(age) + " ago")
}

/// The remedy for the last failure, while it lasts.
fn to_do(failed: &FailedRun) -> String {
    let class = failed.run.error_class.as_deref().unwrap_or("unknown failure");
    failed.remedy.map_or_else(|| class.to_owned(), |remedy| format!("{remedy} ({class})"))
}

/// One row a data source, where a database has several.
fn sources(items: &[&StatusItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::always("data source id"),
        Column::always("synced through"),
        Column::ranked("unfinished", 1),
        Column::ranked("last full refresh", 2),
        Column::ranked("last sweep", 3),
    ]);
    for item in items {
        let sources = item.standing.known().map_or(&[][..], |known| known.data_sources.as_slice());
        for source in sources.iter().filter(|_| sources.len() > 1) {
            let more = source.more.as_ref();
            grid.row([
                item.database.to_string(),
                source.data_source_id.to_string(),
                time(source.synced_through),
                unfinished(std::slice::from_ref(source)),
                time(more.and_then(|more| more.last_full_refresh_at)),
                time(more.and_then(|more| more.last_sweep_at)),
            ]);
        }
    }
    grid
}

/// One row a run, the latest first.
fn runs(items: &[&StatusItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("database"),
        Column::always("began"),
        Column::always("action"),
        Column::always("outcome"),
        Column::ranked("took", 2).number(),
        Column::ranked("rows read", 3).number(),
        Column::ranked("failure", 1),
        Column::ranked("run", 4),
    ]);
    for item in items {
        for run in item.state.iter().flat_map(|state| &state.runs) {
            let seconds = |millis: i64| format!("{}.{} s", millis / 1000, millis % 1000 / 100);
            let part = |part: &Option<String>| part.clone().unwrap_or_else(dash);
            grid.row([
                item.database.to_string(),
                run.started_at.parse().map_or_else(|_| run.started_at.clone(), minute),
                part(&run.action),
                part(&run.outcome),
                run.duration_ms.map_or_else(dash, seconds),
                run.pages_read.and_then(|rows| u64::try_from(rows).ok()).map_or_else(dash, super::render::grouped),
                part(&run.error_class),
                part(&run.run_id),
            ]);
        }
    }
    grid
}

fn made_tables(items: &[&TableItem]) -> Grid {
    let mut grid = Grid::new(&[Column::always("table"), Column::always("state").text()]);
    for item in items {
        let state = match item.columns_added.as_slice() {
            [] => "ready".to_owned(),
            added => format!("ready; columns added: {}", added.join(", ")),
        };
        grid.row([item.table.replace('`', ""), state]);
    }
    grid
}

fn differences(items: &[&DifferenceItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("page"),
        Column::always("difference"),
        Column::ranked("detail", 1),
        Column::ranked("data source id", 2),
    ]);
    for item in items {
        grid.row([
            item.page_id.to_string(),
            item.difference.described().to_owned(),
            item.detail.clone().unwrap_or_else(dash),
            item.data_source_id.map_or_else(dash, |id| id.to_string()),
        ]);
    }
    grid
}

/// One row a view.
fn views(items: &[&ViewItem]) -> Grid {
    let mut grid = Grid::new(&[
        Column::always("view"),
        Column::always("state"),
        Column::ranked("changes of the schema", 1).text(),
    ]);
    for item in items {
        grid.row([
            item.view.clone(),
            item.state.to_owned(),
            item.schema_changes.iter().map(SchemaChange::described).collect::<Vec<_>>().join("; "),
        ]);
    }
    grid
}

fn dash() -> String {
    "-".to_owned()
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(dash, minute)
}

/// Whole seconds as a person says them, in the two largest units: `2m 5s`, `3d 4h`.
fn duration(seconds: i64) -> String {
    let text = format!("{:#}", SignedDuration::from_secs(seconds));
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
