//! Typed views over the raw rows, one per data source, whose columns are found by property id: a rename in Notion changes
//! nothing but a comment. Beside them the history of the schemas.

mod audit;
mod changes;
mod columns;
mod literal;
mod making;
mod names;
mod parts;
mod plan;
mod schema;
mod shared;
mod text;
mod values;

pub(crate) use audit::unshared_targets;
pub(crate) use schema::SourceSchema;

use tracing::info;

use self::audit::Target;
use self::making::{Maker, ViewState};
use self::plan::{Plan, Source, plan};
use self::shared::shared_views;
use self::text::{GENERATOR, View};
use crate::aws::state_table::{self, StateTable, string};
use crate::databricks::{self, QualifiedName};
use crate::failure::{Failure, FailureClass};
use crate::ids::Database;
use crate::notion;
use crate::run::Run;
use crate::run::items::{Item, ViewItem, ViewText};
use crate::run::report::Report;
use crate::warehouse::{
    Tables, columns_of, merge_columns, merge_schemas, newest_schemas, read_column_rows, read_schemas,
};

/// The cache's item that says for which schemas the views of a database were made.
const SORT_KEY: &str = "views";

/// The kind of the warnings that views give.
const WARNING: &str = "views";

/// Everything that is needed to make the views of one database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views<'a> {
    /// The source of the schemas.
    pub notion: &'a notion::Client,
    /// The schema that holds the views.
    pub databricks: &'a databricks::Client,
    /// Remembers what was made, so that nothing is asked where nothing changed.
    pub state_table: Option<&'a StateTable>,
    /// The schema of the views (`VIEWS_SCHEMA`).
    pub schema: &'a str,
    pub database: &'a Database,
    pub run: &'a Run,
}

/// The reason for looking at the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A sweep or a full refresh has ended; made only where the schema moved.
    AfterSync {
        /// True if every row was read. Then the targets of relations are checked too.
        is_full: bool,
    },
    /// A person asks.
    ByHand {
        /// Overwrite views that a person changed.
        force: bool,
    },
    /// A person wants to see the SQL; nothing is written.
    Print,
}

impl Views<'_> {
    /// Brings schemas, columns and views of the database up to date, each only where it differs.
    ///
    /// # Errors
    /// What Notion or the warehouse failed with, at the end of all that could be done.
    pub(crate) async fn refresh(&self, occasion: Occasion, report: &mut Report) -> Result<(), Failure> {
        let mut first_failure = None;
        let sources = self.sources(&mut first_failure).await?;
        if occasion != (Occasion::AfterSync { is_full: false }) && occasion != Occasion::Print {
            self.audit(&sources).await?;
        }
        let state = self.state_of(&sources);
        if matches!(occasion, Occasion::AfterSync { .. }) && self.is_made(&state).await {
            return first_failure.map_or(Ok(()), Err);
        }
        let plan = self.plan(sources).await?;
        if occasion == Occasion::Print {
            self.print(&plan, report);
            return first_failure.map_or(Ok(()), Err);
        }
        self.write(&plan, report).await?;
        self.make(&plan, occasion == (Occasion::ByHand { force: true }), report).await?;
        if first_failure.is_none() {
            self.remember(&state).await;
        }
        first_failure.map_or(Ok(()), Err)
    }

    /// The data sources with their schemas. One that can't be read is left as it is and holds up no other.
    async fn sources(&self, first_failure: &mut Option<Failure>) -> Result<Vec<Source>, Failure> {
        let info = self.notion.database(self.database.id, self.run).await.map_err(Failure::from)?;
        let mut sources = Vec::with_capacity(info.data_sources.len());
        for listed in info.data_sources {
            let payload = self.notion.data_source_text(listed.id, self.run).await.map_err(Failure::from);
            let read = payload.and_then(|payload| Ok((SourceSchema::read(&payload)?, payload)));
            match read {
                Ok((schema, payload)) => sources.push(Source { id: listed.id, name: listed.name, payload, schema }),
                Err(failure) => {
                    let failure = failure.context(format!("data source {} ({:?})", listed.id, listed.name));
                    let warning = format!("its view stays as it is ({}): {}", failure.class(), failure.describe());
                    self.run.warn(WARNING, warning);
                    first_failure.get_or_insert(failure);
                }
            }
        }
        Ok(sources)
    }

    /// Names relations that lead to what the connection does not see: their values read as empty, without a word.
    async fn audit(&self, sources: &[Source]) -> Result<(), Failure> {
        let schemas: Vec<(&str, &SourceSchema)> =
            sources.iter().map(|source| (source.name.as_str(), &source.schema)).collect();
        for Target { data_source, property, target } in unshared_targets(self.notion, &schemas, self.run).await? {
            let warning = format!(
                "relation {property:?} of data source {data_source:?} leads to data source {target}, which is not shared with \
                 the connection: its values read as empty. Share it, then run a full refresh, since sharing edits no row"
            );
            self.run.warn(WARNING, warning);
        }
        Ok(())
    }

    /// One text that differs whenever a view would.
    fn state_of(&self, sources: &[Source]) -> String {
        let config = self.databricks.config();
        let mut state =
            format!("{GENERATOR}\n{}\n{}\n{}\n{}", config.catalog, config.schema, self.schema, self.database.name);
        for source in sources {
            state.push_str(&format!("\n{} {}", source.id, source.schema.sha256));
        }
        schema::sha256(&state)
    }

    async fn is_made(&self, state: &str) -> bool {
        let Some(table) = self.state_table else { return false };
        match state_table::read_within_budget(&self.run.deadline, table.get(self.database.id, SORT_KEY)).await {
            Ok(item) => item.is_some_and(|item| state_table::text(&item, "made_for") == Some(state)),
            Err(failure) => {
                self.run.warn(WARNING, format!("the views are compared in the warehouse: {}", failure.describe()));
                false
            }
        }
    }

    async fn remember(&self, state: &str) {
        let Some(table) = self.state_table else { return };
        let item = state_table::Item::from([
            ("pk".to_owned(), string(self.database.id)),
            ("sk".to_owned(), string(SORT_KEY)),
            ("made_for".to_owned(), string(state)),
            ("sync_run_id".to_owned(), string(&self.run.id)),
        ]);
        if let Err(failure) = state_table::write_within_budget(&self.run.deadline, table.put(item)).await {
            self.run.warn(WARNING, format!("the next sweep compares the views again: {}", failure.describe()));
        }
    }

    /// The stored schemas, compared with Notion's.
    async fn plan(&self, sources: Vec<Source>) -> Result<Plan, Failure> {
        let tables = Tables::of(self.databricks.config());
        let rows = self.databricks.execute(&newest_schemas(&tables, self.database.id), self.run).await?;
        let stored = read_schemas(&rows)?;
        let ids: Vec<_> = sources.iter().map(|source| source.id).collect();
        let rows = self.databricks.execute(&columns_of(&tables, &ids)?, self.run).await?;
        let columns = read_column_rows(&rows)?;
        let name = |view: &str| self.full_name(view);
        Ok(plan(&tables, self.database, sources, &stored, &columns, self.run.clock.now(), name))
    }

    fn full_name(&self, view: &str) -> QualifiedName {
        QualifiedName::new(&self.databricks.config().catalog, self.schema, view)
    }

    fn print(&self, plan: &Plan, report: &mut Report) {
        let shared = shared_views(&Tables::of(self.databricks.config()), |view| self.full_name(view));
        let views = plan.sources.iter().map(|source| &source.view).chain(&shared);
        report
            .items
            .extend(views.map(|view| Item::ViewText(ViewText { view: self.shown_name(view), sql: view.text() })));
    }

    /// Stores schemas and columns that are new or changed.
    async fn write(&self, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
        let tables = Tables::of(self.databricks.config());
        if !plan.versions.is_empty() {
            let statement = merge_schemas(&tables, &plan.versions, &self.run.id)?;
            self.databricks.execute(&statement, self.run).await?;
        }
        if !plan.changed_columns.is_empty() {
            let statement = merge_columns(&tables, &plan.changed_columns, &self.run.id)?;
            self.databricks.execute(&statement, self.run).await?;
        }
        for source in &plan.sources {
            report.schema_changes += source.changes.len() as u64;
            for hidden in &source.hidden {
                let warning = format!(
                    "property {hidden:?} of data source {:?} is not in the schema any more: deleted, or what it looks at is \
                     not shared with the connection; its column stays",
                    source.name
                );
                self.run.warn(WARNING, warning);
            }
        }
        Ok(())
    }

    async fn make(&self, plan: &Plan, force: bool, report: &mut Report) -> Result<(), Failure> {
        let maker = Maker { databricks: self.databricks, run: self.run, force };
        let shared = shared_views(&Tables::of(self.databricks.config()), |view| self.full_name(view));
        let of_sources = plan.sources.iter().map(|source| (&source.view, changes::shown(&source.changes)));
        for (view, changes) in of_sources.chain(shared.iter().map(|view| (view, Vec::new()))) {
            let made = Box::pin(maker.bring_up_to_date(view)).await;
            let made = made.map_err(|failure| failure.context(format!("view {}", self.shown_name(view))))?;
            if made == ViewState::ChangedByHand {
                let warning = format!(
                    "view {} was changed by hand and stays as it is; `notion-sync views --force` makes it again",
                    self.shown_name(view)
                );
                self.run.warn(WARNING, warning);
            }
            info!(view = view.short_name, state = made.name(), "view");
            let item = ViewItem { view: self.shown_name(view), state: made.name(), schema_changes: changes };
            report.items.push(Item::View(item));
        }
        Ok(())
    }

    fn shown_name(&self, view: &View) -> String {
        format!("{}.{}.{}", self.databricks.config().catalog, self.schema, view.short_name)
    }
}

/// The failure of a run that asks for views where none are configured.
pub(crate) fn not_configured() -> Failure {
    Failure::new(FailureClass::Configuration, "BLOCKED: missing env var VIEWS_SCHEMA (the schema of the typed views)")
}
