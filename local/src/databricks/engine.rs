//! The SQL engine behind the endpoint: Sail as a child process with what it lacks bridged, or any Spark Connect address.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

use super::bind::{Binding, Parameter, bind};
use super::cells::{ResultSet, result_set, sql_type};
use super::counts::{RowCounts, counts_since, newest_version};
use super::error::StatementError;
use super::keys::without_keys;
use super::qualify::qualify;
use super::rewrite::{Column, Namespace, Plan, TableName, add_columns_statement, full_name, location, plan};
use super::sail::{Sail, SailSettings, tables_in};
use super::session::{Call, Session};
use super::shape::{StatementKind, written_table};
use super::tokens::{closing, quoted_name, text_literal, tokens};
use super::views;
use super::zone::{ANSI, SessionZone};

/// The engine could not be started or reached.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program did not start.
    #[error("start {}: {source}", program.display())]
    Start { program: PathBuf, source: io::Error },
    /// The data directory can't be made or read.
    #[error("data directory {}: {source}", path.display())]
    DataDirectory { path: PathBuf, source: io::Error },
    /// The process ended while starting.
    #[error("the engine ended while it started; its log is {}", log.display())]
    Ended {
        /// The path of its output.
        log: PathBuf,
    },
    /// Nothing listened in time.
    #[error("the engine did not listen within {seconds} s; its log is {}", log.display())]
    NotReady {
        /// The time that was waited.
        seconds: u64,
        /// The path of its output.
        log: PathBuf,
    },
    /// The engine answers with an error.
    #[error("{doing}: {message}")]
    Refused {
        /// The step that failed.
        doing: String,
        message: String,
    },
}

/// A SQL engine; clones share it. One serves many endpoints and schemas at once, on any runtime.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    backend: Backend,
    zone: SessionZone,
    /// Known catalogs; none are known of a foreign engine.
    catalogs: Vec<String>,
    table_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
enum Backend {
    Sail { data_directory: PathBuf, process: Sail },
    Spark,
}

/// One statement for the engine.
pub(super) struct Work<'w> {
    pub(super) sql: &'w str,
    pub(super) parameters: &'w [Parameter],
    pub(super) namespace: &'w Namespace,
    /// The operation's name, for interrupts.
    pub(super) tag: &'w str,
    /// One writer a table at a time on Sail; otherwise its conflicts come through.
    pub(super) one_writer: bool,
    /// Turns true when the statement shall end.
    pub(super) canceled: watch::Receiver<bool>,
}

impl Engine {
    /// Starts Sail on a free port of 127.0.0.1 with one catalog `main` and registers the tables found in
    /// `data_directory`. The process ends when the last clone is dropped, or this process ends.
    ///
    /// # Errors
    /// When the program can't be started, does not listen in time, or a table can't be registered.
    pub async fn start_sail(program: &Path, data_directory: &Path) -> Result<Self, EngineError> {
        Self::start_sail_with(SailSettings::new(program, data_directory)).await
    }

    /// Returns the engine with other catalogs or another memory bound.
    ///
    /// # Errors
    /// As [`Engine::start_sail`].
    pub async fn start_sail_with(mut settings: SailSettings) -> Result<Self, EngineError> {
        let directory_error = |source| EngineError::DataDirectory { path: settings.data_directory.clone(), source };
        std::fs::create_dir_all(&settings.data_directory).map_err(directory_error)?;
        settings.data_directory = settings.data_directory.canonicalize().map_err(directory_error)?;
        let process = Sail::start(&settings).await?;
        let session = Session::new(&format!("sc://127.0.0.1:{}", process.port), Some(process.ended.clone()));
        let backend = Backend::Sail { data_directory: settings.data_directory.clone(), process };
        let engine = Self::over(session, backend, settings.time_zone, settings.catalogs);
        engine.configure(&[("spark.sql.session.timeZone", settings.time_zone.name), ANSI]).await?;
        engine.register_tables(&settings.data_directory).await?;
        engine.register_views(&settings.data_directory).await?;
        Ok(engine)
    }

    /// Connects to a Spark Connect address (`sc://host:port`), such as Apache Spark with Delta Lake. Parameters,
    /// FAILFAST, CLUSTER BY, TBLPROPERTIES and ALTER are then the engine's own.
    ///
    /// # Errors
    /// When the address is malformed or does not answer.
    pub async fn connect(address: &str) -> Result<Self, EngineError> {
        let engine = Self::over(Session::new(address, None), Backend::Spark, SessionZone::UTC, Vec::new());
        let delta = ("spark.sql.sources.default", "delta");
        engine.configure(&[("spark.sql.session.timeZone", SessionZone::UTC.name), ANSI, delta]).await?;
        Ok(engine)
    }

    /// Runs one statement without parameters and returns its rows as the API shows them; no log has it.
    ///
    /// # Errors
    /// What a statement would fail with.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, StatementError> {
        let catalog = self.inner.catalogs.first().map_or("spark_catalog", String::as_str);
        self.query_in(sql, &Namespace::of(catalog, None)).await
    }

    /// The process id of Sail.
    pub fn process_id(&self) -> Option<u32> {
        match &self.inner.backend {
            Backend::Sail { process, .. } => Some(process.process_id),
            Backend::Spark => None,
        }
    }

    /// Ends Sail and waits for it, when this is the last clone.
    pub async fn stop(self) {
        if let Some(Inner { backend: Backend::Sail { process, .. }, .. }) = Arc::into_inner(self.inner) {
            process.stop().await;
        }
    }

    pub(super) async fn query_in(
        &self,
        sql: &str,
        namespace: &Namespace,
    ) -> Result<Vec<Vec<Option<String>>>, StatementError> {
        let (_running, canceled) = watch::channel(false);
        let tag = uuid::Uuid::new_v4().to_string();
        let work = Work { sql, parameters: &[], namespace, tag: &tag, one_writer: true, canceled };
        Ok(self.run(work).await?.rows)
    }

    /// Returns whether a catalog exists, as far as it is known.
    pub(super) fn has_catalog(&self, name: &str) -> bool {
        self.inner.catalogs.is_empty() || self.inner.catalogs.iter().any(|known| known == name)
    }

    /// Runs one statement with everything the backend lacks bridged.
    pub(super) async fn run(&self, work: Work<'_>) -> Result<ResultSet, StatementError> {
        let data_directory = self.data_directory();
        let binding = if data_directory.is_some() { Binding::Text } else { Binding::Native };
        let mut bound = bind(work.sql, work.parameters, binding)?;
        bound.sql = without_keys(&bound.sql);
        let found = tokens(&bound.sql);
        let kind = StatementKind::of(&found);
        let written = written_table(&found).filter(|_| kind.writes_rows());
        let written = written.map(|name| work.namespace.complete(&name)).transpose()?;
        let raised = raised_texts(&bound.sql);
        let call = Call { tag: work.tag, arguments: &bound.arguments, raised: &raised, canceled: &work.canceled };
        let _guard = match &written {
            // Sail conflicts on every pair of writers of one table; Spark's own rules are what tests want to see.
            Some(table) if work.one_writer && data_directory.is_some() => {
                Some(self.table_lock(table, &work.canceled).await?)
            }
            _ => None,
        };
        let mut views_made = Ok(());
        for (view, value) in &bound.views {
            views_made = views_made.and(self.inner.session.create_view(view, value).await);
        }
        let outcome = match (views_made, data_directory) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => self.run_on_spark(&bound.sql, kind, written.as_ref(), &call).await,
            (Ok(()), Some(directory)) => {
                let sql = qualify(&bound.sql, work.namespace);
                match plan(&sql, work.namespace, directory) {
                    Ok(plan) => self.run_on_sail(plan, kind, written.as_ref(), directory, &call).await,
                    Err(error) => Err(error),
                }
            }
        };
        for (view, _) in &bound.views {
            self.inner.session.drop_view(view).await;
        }
        outcome
    }

    async fn run_on_sail(
        &self,
        plan: Plan,
        kind: StatementKind,
        written: Option<&TableName>,
        data_directory: &Path,
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        match plan {
            Plan::Accept => Ok(ResultSet::default()),
            Plan::AddColumns(table, added) => self.add_columns(&table, &added, call).await,
            Plan::RunAndDelete(sql, directory) => {
                self.inner.session.execute(&sql, call).await?;
                // Managed tables take their files along; without any there is nothing to delete.
                let _ = tokio::fs::remove_dir_all(directory).await;
                Ok(ResultSet::default())
            }
            Plan::CreateView(view, sql) => {
                self.inner.session.execute(&sql, call).await?;
                views::keep(data_directory, &view, &sql).await?;
                Ok(ResultSet::default())
            }
            Plan::ShowCreate(view) => views::shown(data_directory, &view).await,
            Plan::DropView(view, sql) => {
                self.inner.session.execute(&sql, call).await?;
                views::forget(data_directory, &view).await?;
                Ok(ResultSet::default())
            }
            Plan::Run(sql) => {
                let directory = written.map(|table| location(data_directory, table)).transpose()?;
                let before = directory.as_deref().and_then(newest_version);
                let fetched = self.inner.session.execute(&sql, call).await?;
                match directory {
                    Some(directory) => Ok(counts_since(&directory, before).result_set(kind)),
                    None if kind == StatementKind::Select => {
                        result_set(&fetched.schema, &fetched.batches, self.inner.zone)
                    }
                    None => Ok(ResultSet::default()),
                }
            }
        }
    }

    async fn run_on_spark(
        &self,
        sql: &str,
        kind: StatementKind,
        written: Option<&TableName>,
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        let fetched = self.inner.session.execute(sql, call).await?;
        let (StatementKind::Insert, Some(table)) = (kind, written) else {
            return result_set(&fetched.schema, &fetched.batches, self.inner.zone);
        };
        // Delta returns the counts of MERGE, UPDATE and DELETE, but none of INSERT.
        let call = Call { arguments: &[], ..*call };
        let sql = format!("DESCRIBE HISTORY {} LIMIT 1", full_name(table));
        let history = self.inner.session.execute(&sql, &call).await?;
        let history = result_set(&history.schema, &history.batches, self.inner.zone)?;
        let metrics = history.columns.iter().position(|column| column.name == "operationMetrics");
        let metrics = metrics.and_then(|at| history.rows.first()?.get(at)?.as_deref()).unwrap_or("{}");
        let metrics: HashMap<String, String> = serde_json::from_str(metrics).unwrap_or_default();
        let inserted = metrics.get("numOutputRows").and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(RowCounts { inserted, ..RowCounts::default() }.result_set(kind))
    }

    async fn add_columns(
        &self,
        table: &TableName,
        added: &[Column],
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        let _guard = self.table_lock(table, call.canceled).await?;
        let sql = format!("SELECT * FROM {} LIMIT 0", full_name(table));
        let present = self.inner.session.execute(&sql, call).await?.schema;
        let column = |name: &str, data_type| Column { name: name.to_owned(), type_text: sql_type(data_type) };
        let known: Vec<Column> = present.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
        let is_known = |new: &&Column| known.iter().any(|old| old.name.eq_ignore_ascii_case(&new.name));
        if let Some(twice) = added.iter().find(is_known) {
            let text = format!("Cannot add column, because `{}` already exists.", twice.name);
            return Err(StatementError::classed("FIELD_ALREADY_EXISTS", &text, "42710"));
        }
        if let Some(sql) = add_columns_statement(table, &known, added) {
            self.inner.session.execute(&sql, call).await?;
        }
        Ok(ResultSet::default())
    }

    /// Waits until no other statement writes the table.
    async fn table_lock(
        &self,
        table: &TableName,
        canceled: &watch::Receiver<bool>,
    ) -> Result<OwnedMutexGuard<()>, StatementError> {
        let lock = {
            let mut locks = self.inner.table_locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(full_name(table).to_lowercase()).or_default())
        };
        let mut canceled = canceled.clone();
        tokio::select! {
            guard = lock.lock_owned() => Ok(guard),
            Ok(_) = canceled.wait_for(|canceled| *canceled) => Err(StatementError::canceled()),
        }
    }

    fn over(session: Session, backend: Backend, zone: SessionZone, catalogs: Vec<String>) -> Self {
        Self { inner: Arc::new(Inner { session, backend, zone, catalogs, table_locks: Mutex::default() }) }
    }

    fn data_directory(&self) -> Option<&Path> {
        match &self.inner.backend {
            Backend::Sail { data_directory, .. } => Some(data_directory),
            Backend::Spark => None,
        }
    }

    /// Sets what Databricks has by default; this is also the first exchange with the engine.
    async fn configure(&self, pairs: &[(&'static str, &'static str)]) -> Result<(), EngineError> {
        self.inner.session.configure(pairs).await.map_err(|error| EngineError::Refused {
            doing: format!("connect to {}", self.inner.session.host()),
            message: error.message,
        })
    }

    /// Registers every Delta table below the data directory: Sail's catalog is in memory only.
    async fn register_tables(&self, data_directory: &Path) -> Result<(), EngineError> {
        let tables = tables_in(data_directory, &self.inner.catalogs)
            .map_err(|source| EngineError::DataDirectory { path: data_directory.to_owned(), source })?;
        for table in tables {
            let name = full_name(&table);
            let place: PathBuf = data_directory.join(table.iter().collect::<PathBuf>());
            let place = text_literal(&place.to_string_lossy());
            for sql in [
                format!("CREATE SCHEMA IF NOT EXISTS {}.{}", quoted_name(&table[0]), quoted_name(&table[1])),
                format!("CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION {place}"),
            ] {
                let refused = |error: StatementError| EngineError::Refused {
                    doing: format!("register {name}"),
                    message: error.message,
                };
                self.query(&sql).await.map_err(refused)?;
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Makes every view again that was made before: Sail's catalog is in memory only.
    async fn register_views(&self, data_directory: &Path) -> Result<(), EngineError> {
        let views = views::views_in(data_directory, &self.inner.catalogs)
            .map_err(|source| EngineError::DataDirectory { path: data_directory.to_owned(), source })?;
        for ([catalog, schema], text) in views {
            let schema = format!("CREATE SCHEMA IF NOT EXISTS {}.{}", quoted_name(&catalog), quoted_name(&schema));
            for sql in [schema, text] {
                let refused = |error: StatementError| EngineError::Refused {
                    doing: "register a view".to_owned(),
                    message: error.message,
                };
                self.query(&sql).await.map_err(refused)?;
            }
        }
        Ok(())
    }
}

/// The literals in the statement's calls of `raise_error`.
fn raised_texts(sql: &str) -> Vec<String> {
    let found = tokens(sql);
    let calls = found.iter().enumerate().filter(|(_, token)| token.is("raise_error"));
    let texts = calls.filter_map(|(at, _)| {
        let close = closing(&found, at + 1)?;
        found[at + 1..close].iter().find_map(super::tokens::Token::text_value)
    });
    texts.filter(|text| !text.is_empty()).collect()
}
