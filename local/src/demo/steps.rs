//! The story: first sync, nothing new, edits, removals, the comparison, and a typed query that outlives a rename.

use std::time::Instant;

use super::run::{Run, statement_summaries};
use super::{Demo, DemoError, VIEWS, promise};
use crate::notion::{Destination, RowEdit, SignedUrls, Value};
use crate::seed;
use crate::stack::{CATALOG, SCHEMA};
use crate::verify;

/// The database that the story changes; `events/sweep.json` is about it.
const CHANGED: &str = "projects";
/// The rows of [`CHANGED`] that the story changes, by their place; none of them is archived from the start.
const EDITED: [usize; 3] = [3, 16, 40];
const EDITED_AND_ARCHIVED: usize = 21;
const ONLY_ARCHIVED: usize = 22;
const TRASHED: [usize; 2] = [5, 60];
const MOVED: usize = 30;
const DELETED: usize = 44;
/// Lay in the trash from the start; it comes back with its old times.
const RESTORED: usize = seed::TRASHED_PROJECT;

impl Demo<'_> {
    /// Tells the whole story.
    pub(super) async fn tell(&mut self, started: Instant) -> Result<(), DemoError> {
        self.show_workspace()?;
        self.create_tables().await?;
        self.first_sync().await?;
        self.nothing_new().await?;
        self.edit_and_archive().await?;
        self.remove_and_restore().await?;
        self.show_status().await?;
        self.compare().await?;
        self.typed_views().await?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(self.screen.heading(&format!("Done in {seconds:.0} s: the table is the workspace, byte for byte."))?)
    }

    fn show_workspace(&mut self) -> Result<(), DemoError> {
        self.screen.heading("The workspace")?;
        let mut rows = Vec::new();
        for database in self.stack.databases() {
            let id = &database.database_id;
            let shown = self.stack.notion().workspace(|workspace| workspace.expected(id, SignedUrls::LeftOut))?;
            let archived = shown.iter().filter(|row| row.is_archived).count();
            let seeded: usize = database.data_sources.iter().map(|source| source.page_ids.len()).sum();
            let counts = [database.data_sources.len(), shown.len(), archived, seeded - shown.len()];
            let cells = [database.name.to_owned(), id.clone()].into_iter();
            rows.push(cells.chain(counts.map(|count| count.to_string())).collect());
        }
        let header = ["database", "id", "data sources", "rows", "of these archived", "in the trash"];
        Ok(self.screen.table(&header, &rows, 2)?)
    }

    async fn create_tables(&mut self) -> Result<(), DemoError> {
        self.screen.heading("notion-sync init-tables")?;
        let text = self.command_line(&["init-tables"]).await?;
        self.screen.block(&text)?;
        for table in ["notion_raw_pages", "notion_sync_watermarks"] {
            let rows = self.stack.databricks().query(&format!("SELECT * FROM `{CATALOG}`.`{SCHEMA}`.`{table}`")).await;
            promise(rows.is_ok_and(|rows| rows.is_empty()), || format!("init-tables made no empty table {table}"))?;
        }
        Ok(())
    }

    /// Syncs all databases, one after another, through the Lambda.
    async fn sync_all(&mut self) -> Result<Vec<Run>, DemoError> {
        let names: Vec<&str> = self.stack.databases().iter().map(|database| database.name).collect();
        let mut runs = Vec::new();
        for name in names {
            runs.push(self.invoke(&format!("sync-{name}.json")).await?);
        }
        self.show(&runs)?;
        for run in &runs {
            all_complete(run)?;
        }
        Ok(runs)
    }

    async fn first_sync(&mut self) -> Result<(), DemoError> {
        self.screen
            .heading("First sync: cargo lambda invoke notion-sync-lambda --data-file events/sync-<database>.json")?;
        let runs = self.sync_all().await?;
        for (run, database) in runs.iter().zip(self.stack.databases()) {
            let id = &database.database_id;
            let rows = self.stack.notion().workspace(|workspace| workspace.expected(id, SignedUrls::LeftOut))?.len();
            let inserted = run.report.pages_inserted;
            promise(inserted == rows as u64, || format!("{}: {inserted} of {rows} rows were inserted", database.name))?;
        }
        Ok(())
    }

    async fn nothing_new(&mut self) -> Result<(), DemoError> {
        self.screen.heading("The same again: nothing has changed, so the warehouse sleeps on")?;
        for run in self.sync_all().await? {
            let (statements, tokens) = (run.statements.len(), run.token_requests);
            promise(statements == 0 && tokens == 0, || {
                format!(
                    "{}: {statements} statements, {tokens} token requests in a run without changes",
                    run.report.database
                )
            })?;
        }
        Ok(())
    }

    async fn edit_and_archive(&mut self) -> Result<(), DemoError> {
        let pages = self.pages(CHANGED);
        self.stack.notion().workspace(|workspace| {
            for place in EDITED.into_iter().chain([EDITED_AND_ARCHIVED]) {
                let edit = RowEdit::new()
                    .set("Status", Value::status("Done"))
                    .set("Health", Value::formula_text("✅ “closed”"));
                workspace.edit_row(&pages[place], edit)?;
            }
            workspace.archive(&pages[EDITED_AND_ARCHIVED])
        })?;
        self.screen
            .heading("Four projects are edited in Notion, one of them archived as well: events/sync-projects.json")?;
        let run = self.invoke("sync-projects.json").await?;
        self.show(std::slice::from_ref(&run))?;
        self.screen.line("What the warehouse was asked:")?;
        self.screen.block(&statement_summaries(&run).join("\n"))?;
        all_complete(&run)?;
        let (merges, updated) = (run.page_merges(), run.report.pages_updated);
        let edited = EDITED.len() + 1;
        promise(merges == 1 && updated == edited as u64, || {
            format!("{updated} rows updated by {merges} MERGEs of pages, instead of {edited} by one")
        })
    }

    async fn remove_and_restore(&mut self) -> Result<(), DemoError> {
        let pages = self.pages(CHANGED);
        self.stack.notion().workspace(|workspace| {
            TRASHED.into_iter().try_for_each(|place| workspace.trash(&pages[place]))?;
            // To a plain page: any id will do.
            workspace.move_row(&pages[MOVED], &Destination::Page(pages[0].clone()))?;
            workspace.delete_for_good(&pages[DELETED])?;
            workspace.restore(&pages[RESTORED])?;
            workspace.archive(&pages[ONLY_ARCHIVED])
        })?;
        self.screen.heading(
            "Two projects go to the trash, one moves away, one is deleted for good; one comes back from the trash",
        )?;
        self.screen.line(
            "Another is archived without an edit. None of it moves an edit time, so a sync sees nothing of it:",
        )?;
        let sync = self.invoke("sync-projects.json").await?;
        self.show(std::slice::from_ref(&sync))?;
        all_complete(&sync)?;
        let unseen = sync.statements.len();
        promise(unseen == 0, || format!("the sync before the sweep sent {unseen} statements, with nothing to see"))?;

        self.screen.line("A sweep compares all ids and asks Notion for each one that is missing: events/sweep.json")?;
        let sweep = self.invoke("sweep.json").await?;
        self.show(std::slice::from_ref(&sweep))?;
        all_complete(&sweep)?;
        let found = [sweep.report.pages_removed, sweep.report.pages_inserted, sweep.report.pages_updated];
        let expected = [TRASHED.len() as u64 + 2, 1, 1];
        promise(found == expected, || {
            format!("the sweep removed, inserted and updated {found:?} rows, not {expected:?}")
        })
    }

    async fn show_status(&mut self) -> Result<(), DemoError> {
        self.screen.heading("notion-sync status")?;
        let text = self.command_line(&["status"]).await?;
        Ok(self.screen.block(&text)?)
    }

    async fn compare(&mut self) -> Result<(), DemoError> {
        const DIFFERENCES_SHOWN: usize = 10;
        self.screen.heading("The Delta table against the workspace: keys, flags, payloads byte for byte")?;
        let mut rows = Vec::new();
        let mut differences = Vec::new();
        for database in self.stack.databases() {
            let (notion, databricks) = (self.stack.notion(), self.stack.databricks());
            let found = verify::compare(notion, databricks, &database.database_id).await?;
            let removed: Vec<String> =
                found.removed_rows.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            let removed = if removed.is_empty() { "–".to_owned() } else { removed.join(", ") };
            let counts = [found.rows_in_notion, found.live_rows, found.archived_rows, found.differences.len()];
            let cells = [database.name.to_owned(), removed].into_iter();
            rows.push(cells.chain(counts.map(|count| count.to_string())).collect());
            differences.extend(found.differences.into_iter().map(|text| format!("{}: {text}", database.name)));
        }
        let header = [
            "database",
            "marked as removed",
            "rows in Notion",
            "live rows in the table",
            "of these archived",
            "differences",
        ];
        self.screen.table(&header, &rows, 2)?;
        promise(differences.is_empty(), || {
            let shown = differences.iter().take(DIFFERENCES_SHOWN).cloned().collect::<Vec<_>>().join("\n  ");
            format!("{} differences between table and workspace:\n  {shown}", differences.len())
        })
    }

    /// A typed query answers the same after a property was renamed, though no row was read again.
    async fn typed_views(&mut self) -> Result<(), DemoError> {
        let query = format!(
            "SELECT number, name, status, priority, timeline, size(budget_lines) AS lines FROM {CATALOG}.{VIEWS}.{CHANGED} \
             ORDER BY number_number LIMIT 6"
        );
        self.screen.heading("Typed views: columns are found by the property's id")?;
        self.screen.line(&query)?;
        let before = self.answers(&query).await?;
        self.screen
            .line("Status is called Phase in Notion from now on. No row is edited, the sweep sees the schema move:")?;
        let source = self.stack.database(CHANGED).and_then(|database| database.data_sources.first());
        let source = source.map(|source| source.id.clone()).unwrap_or_default();
        self.stack.notion().workspace(|workspace| workspace.rename_property(&source, "Status", "Phase"))?;
        let sweep = self.invoke("sweep.json").await?;
        self.show(std::slice::from_ref(&sweep))?;
        all_complete(&sweep)?;
        let (changes, updated) = (sweep.report.schema_changes, sweep.report.pages_updated);
        promise(changes == 1 && updated == 0, || {
            format!("the sweep saw {changes} changes of the schema and updated {updated} rows, instead of 1 and 0")
        })?;
        self.screen.line("The same query, word for word:")?;
        let after = self.answers(&query).await?;
        promise(before == after && !after.is_empty(), || "the same query answers otherwise after a rename".to_owned())
    }

    /// The answer of a query on typed views, shown.
    async fn answers(&mut self, query: &str) -> Result<Vec<Vec<String>>, DemoError> {
        let rows = self.stack.databricks().query(query).await;
        let rows = rows.map_err(|error| DemoError::Promise(format!("{query}: {error:?}")))?;
        let text = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect();
        self.screen.table(&["number", "name", "status", "priority", "timeline", "budget lines"], &rows, 5)?;
        Ok(rows)
    }

    fn pages(&self, database: &str) -> Vec<String> {
        let sources = self.stack.database(database).map(|database| &database.data_sources);
        sources.into_iter().flatten().flat_map(|source| source.page_ids.clone()).collect()
    }
}

fn all_complete(run: &Run) -> Result<(), DemoError> {
    let report = &run.report;
    promise(report.outcome == "complete", || format!("{}: the run ended {}", report.database, report.outcome))?;
    let (reported, seen) = (report.statements, run.statements.len());
    promise(reported == seen, || {
        format!("{}: the report counts {reported} statements, the warehouse saw {seen}", report.database)
    })
}
