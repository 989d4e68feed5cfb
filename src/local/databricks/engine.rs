//! The SQL engine behind the endpoint: Sail as a child process, or any Spark Connect address.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use spark_connect::{Expression, LiteralExpression, SparkError, SparkSession};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::interval;

use super::bind::{Binding, Parameter, bind};
use super::cells::{ResultSet, result_set, sql_type};
use super::counts::{RowCounts, counts_since, newest_version};
use super::error::StatementError;
use super::rewrite::{Column, Namespace, Plan, TableName, add_columns_statement, location, plan};
use super::sail::{Sail, SailSettings};
use super::shape::{StatementKind, written_table};
use super::tokens::{closing, quoted_name, text_literal, tokens};

/// An interrupt that comes before the engine knows the operation does nothing, so it is sent again.
const INTERRUPT_EVERY: Duration = Duration::from_millis(200);

/// The engine could not be started or reached.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The program did not start.
    #[error("start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data directory can't be made or read.
    #[error("data directory {}", path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process ended while starting.
    #[error("the engine ended while it started; its log is {}", log.display())]
    Ended {
        /// Where its output is.
        log: PathBuf,
    },
    /// Nothing listened in time.
    #[error("the engine did not listen within {seconds} s; its log is {}", log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// Where its output is.
        log: PathBuf,
    },
    /// The engine answers with an error.
    #[error("{doing}: {message}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The engine's text.
        message: String,
    },
}

/// A SQL engine; clones share it. One serves many endpoints and schemas at once.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// With its session id: Sail keeps the catalog in the session, so all statements share one.
    address: String,
    backend: Backend,
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
    /// One writer a table at a time; otherwise Sail's conflicts come through.
    pub(super) one_writer: bool,
    /// Turns true when the statement shall end.
    pub(super) canceled: watch::Receiver<bool>,
}

struct Fetched {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
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

    /// The same with other catalogs or another memory bound.
    ///
    /// # Errors
    /// As [`Engine::start_sail`].
    pub async fn start_sail_with(mut settings: SailSettings) -> Result<Self, EngineError> {
        let directory_error = |source| EngineError::DataDirectory { path: settings.data_directory.clone(), source };
        std::fs::create_dir_all(&settings.data_directory).map_err(directory_error)?;
        settings.data_directory = settings.data_directory.canonicalize().map_err(directory_error)?;
        let process = Sail::start(&settings).await?;
        let address = format!("sc://127.0.0.1:{}/;session_id={}", process.port, uuid::Uuid::new_v4());
        let backend = Backend::Sail { data_directory: settings.data_directory.clone(), process };
        let engine = Self::over(address, backend, settings.catalogs);
        engine.prepare().await?;
        engine.register_tables(&settings.data_directory).await?;
        Ok(engine)
    }

    /// Connects to a Spark Connect address (`sc://host:port`), such as Apache Spark with Delta Lake. Parameters,
    /// FAILFAST, CLUSTER BY, TBLPROPERTIES and ALTER are then the engine's own.
    ///
    /// # Errors
    /// When the address is malformed or does not answer.
    pub async fn connect(address: &str) -> Result<Self, EngineError> {
        let separator = if address.contains("/;") { ";" } else { "/;" };
        let address = if address.contains("session_id=") {
            address.to_owned()
        } else {
            format!("{}{separator}session_id={}", address.trim_end_matches(['/', ';']), uuid::Uuid::new_v4())
        };
        let engine = Self::over(address, Backend::Spark, Vec::new());
        engine.prepare().await?;
        Ok(engine)
    }

    /// Runs one statement without parameters and returns its rows as the API shows them; no log has it.
    ///
    /// # Errors
    /// What a statement would fail with.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, StatementError> {
        let namespace = Namespace { catalog: self.default_catalog(), schema: "default".to_owned() };
        self.query_in(sql, &namespace).await
    }

    /// Ends Sail and waits for it, when this is the last clone.
    pub async fn stop(self) {
        if let Ok(Inner { backend: Backend::Sail { process, .. }, .. }) = Arc::try_unwrap(self.inner).map_err(drop) {
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

    /// Whether a catalog exists, as far as it is known.
    pub(super) fn has_catalog(&self, name: &str) -> bool {
        self.inner.catalogs.is_empty() || self.inner.catalogs.iter().any(|known| known == name)
    }

    pub(super) fn default_catalog(&self) -> String {
        self.inner.catalogs.first().map_or_else(|| "spark_catalog".to_owned(), Clone::clone)
    }

    fn over(address: String, backend: Backend, catalogs: Vec<String>) -> Self {
        Self { inner: Arc::new(Inner { address, backend, catalogs, table_locks: Mutex::default() }) }
    }

    /// Runs one statement with everything the backend lacks bridged.
    pub(super) async fn run(&self, work: Work<'_>) -> Result<ResultSet, StatementError> {
        let binding = if self.data_directory().is_some() { Binding::Text } else { Binding::Native };
        let bound = bind(work.sql, work.parameters, binding)?;
        let found = tokens(&bound.sql);
        let kind = StatementKind::of(&found);
        let call = Call {
            tag: work.tag,
            arguments: &bound.arguments,
            raised: &raised_texts(&bound.sql),
            canceled: &work.canceled,
        };
        let table = written_table(&found).filter(|_| kind.writes_rows());
        let table = table.map(|name| work.namespace.complete(&name)).transpose()?;
        let _guard = match &table {
            Some(table) if work.one_writer => Some(self.table_lock(table, &work.canceled).await?),
            _ => None,
        };
        for (view, value) in &bound.views {
            self.create_view(view, value).await?;
        }
        let outcome = match self.data_directory() {
            Some(directory) => self.run_on_sail(&bound.sql, kind, table.as_ref(), directory, &work, &call).await,
            None => self.run_on_spark(&bound.sql, kind, table.as_ref(), &call).await,
        };
        for (view, _) in &bound.views {
            self.drop_view(view).await;
        }
        outcome
    }

    async fn run_on_sail(
        &self,
        sql: &str,
        kind: StatementKind,
        table: Option<&TableName>,
        data_directory: &Path,
        work: &Work<'_>,
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        match plan(sql, work.namespace, data_directory)? {
            Plan::Accept => Ok(ResultSet::default()),
            Plan::AddColumns(table, added) => self.add_columns(&table, &added, call).await,
            Plan::RunAndDelete(sql, directory) => {
                self.execute(&sql, call).await?;
                // Managed tables take their files along; without any there is nothing to delete.
                let _ = tokio::fs::remove_dir_all(directory).await;
                Ok(ResultSet::default())
            }
            Plan::Run(sql) => {
                let directory = table.map(|table| location(data_directory, table)).transpose()?;
                let before = directory.as_deref().and_then(newest_version);
                let fetched = self.execute(&sql, call).await?;
                match directory {
                    Some(directory) => Ok(counts_since(&directory, before).result_set(kind)),
                    None if kind == StatementKind::Select => result_set(&fetched.schema, &fetched.batches),
                    None => Ok(ResultSet::default()),
                }
            }
        }
    }

    async fn run_on_spark(
        &self,
        sql: &str,
        kind: StatementKind,
        table: Option<&TableName>,
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        let fetched = self.execute(sql, call).await?;
        if let (StatementKind::Insert, Some(table)) = (kind, table) {
            // Delta returns the counts of MERGE, UPDATE and DELETE, but none of INSERT.
            let history = Call { arguments: &[], ..*call };
            let history = self.execute(&format!("DESCRIBE HISTORY {} LIMIT 1", full_name(table)), &history).await?;
            let history = result_set(&history.schema, &history.batches)?;
            let metrics = history.columns.iter().position(|column| column.name == "operationMetrics");
            let metrics = metrics.and_then(|at| history.rows.first()?.get(at)?.as_deref()).unwrap_or("{}");
            let metrics: HashMap<String, String> = serde_json::from_str(metrics).unwrap_or_default();
            let inserted = metrics.get("numOutputRows").and_then(|count| count.parse().ok()).unwrap_or(0);
            return Ok(RowCounts { inserted, ..RowCounts::default() }.result_set(kind));
        }
        result_set(&fetched.schema, &fetched.batches)
    }

    async fn add_columns(
        &self,
        table: &TableName,
        added: &[Column],
        call: &Call<'_>,
    ) -> Result<ResultSet, StatementError> {
        let _guard = self.table_lock(table, call.canceled).await?;
        let present = self.execute(&format!("SELECT * FROM {} LIMIT 0", full_name(table)), call).await?.schema;
        let known: Vec<Column> = present
            .fields()
            .iter()
            .map(|field| Column { name: field.name().clone(), type_text: sql_type(field.data_type()) })
            .collect();
        if let Some(twice) = added.iter().find(|new| known.iter().any(|old| old.name.eq_ignore_ascii_case(&new.name))) {
            let text = format!("Cannot add column, because `{}` already exists.", twice.name);
            return Err(StatementError::classed("FIELD_ALREADY_EXISTS", &text, "42710"));
        }
        if let Some(sql) = add_columns_statement(table, &known, added) {
            self.execute(&sql, call).await?;
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
            _ = canceled.wait_for(|canceled| *canceled) => Err(StatementError::engine_gone("canceled while waiting")),
        }
    }

    async fn create_view(&self, name: &str, value: &str) -> Result<(), StatementError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let work = |session: SparkSession| async move {
            let value = Expression::Literal(LiteralExpression::String(value));
            let arguments = HashMap::from([("v".to_owned(), value)]);
            session
                .run(move |spark| {
                    spark.sql_with_args("SELECT :v AS v", Vec::new(), arguments)?.create_or_replace_temp_view(&name)
                })
                .await
        };
        self.with_session(work).await.map_err(|error| statement_error(&error, &[]))
    }

    async fn drop_view(&self, name: &str) {
        let name = name.to_owned();
        // A view that stays costs memory, nothing else.
        let _ = self
            .with_session(
                |session| async move { session.run(move |spark| spark.catalog().drop_temp_view(&name)).await },
            )
            .await;
    }

    /// Runs the text on the engine and collects what it returns.
    async fn execute(&self, sql: &str, call: &Call<'_>) -> Result<Fetched, StatementError> {
        let mut canceled = call.canceled.clone();
        let running = self.collect(sql, call);
        tokio::pin!(running);
        tokio::select! {
            fetched = &mut running => return fetched,
            Ok(_) = canceled.wait_for(|canceled| *canceled) => {}
        }
        let mut ticks = interval(INTERRUPT_EVERY);
        loop {
            tokio::select! {
                fetched = &mut running => return fetched,
                _ = ticks.tick() => self.interrupt(call.tag).await,
            }
        }
    }

    async fn collect(&self, sql: &str, call: &Call<'_>) -> Result<Fetched, StatementError> {
        let (sql, tag) = (sql.to_owned(), call.tag.to_owned());
        let argument = |value: &String| Expression::Literal(LiteralExpression::String(value.clone()));
        let arguments = call.arguments.iter().map(|(name, value)| (name.clone(), argument(value))).collect();
        let work = |session: SparkSession| async move {
            session
                .run(move |spark| {
                    spark.add_tag(&tag)?;
                    spark.sql_with_args(&sql, Vec::new(), arguments)?.collect_record_batches()
                })
                .await
        };
        let batches = self.with_session(work).await.map_err(|error| statement_error(&error, call.raised))?;
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        Ok(Fetched { schema, batches })
    }

    async fn interrupt(&self, tag: &str) {
        // Whether it worked shows in how the statement ends.
        let _ = self.with_session(|session| async move { session.interrupt_tag(tag).await.map(drop) }).await;
    }

    /// A client of the shared session: tags belong to the client, so every statement gets its own.
    async fn with_session<T, F>(&self, work: impl FnOnce(SparkSession) -> F) -> Result<T, SparkError>
    where
        F: Future<Output = Result<T, SparkError>>,
    {
        let all = async {
            let session = SparkSession::builder().remote(&self.inner.address).get_or_create().await?;
            work(session).await
        };
        let Backend::Sail { process, .. } = &self.inner.backend else { return all.await };
        let mut ended = process.ended.clone();
        // The client would retry a dead engine for minutes.
        tokio::select! {
            outcome = all => outcome,
            _ = ended.wait_for(|ended| *ended) => Err(SparkError::connect_msg(ENGINE_ENDED)),
        }
    }

    fn data_directory(&self) -> Option<&Path> {
        match &self.inner.backend {
            Backend::Sail { data_directory, .. } => Some(data_directory),
            Backend::Spark => None,
        }
    }

    /// Sets what Databricks has by default: UTC, and Delta on an engine with another default.
    async fn prepare(&self) -> Result<(), EngineError> {
        let is_spark = self.data_directory().is_none();
        let work = |session: SparkSession| async move {
            session
                .run(move |spark| {
                    spark.conf().set("spark.sql.session.timeZone", "UTC")?;
                    if is_spark {
                        spark.conf().set("spark.sql.sources.default", "delta")?;
                    }
                    Ok(())
                })
                .await
        };
        self.with_session(work).await.map_err(|error| {
            let doing = format!("connect to {}", self.inner.address.split("/;").next().unwrap_or_default());
            EngineError::Refused { doing, message: error.message() }
        })
    }

    /// Registers every Delta table below the data directory: Sail's catalog is in memory only.
    async fn register_tables(&self, data_directory: &Path) -> Result<(), EngineError> {
        let tables = tables_in(data_directory, &self.inner.catalogs)
            .map_err(|source| EngineError::DataDirectory { path: data_directory.to_owned(), source })?;
        for table in tables {
            let name = full_name(&table);
            let [catalog, schema, _] = &table;
            let place: PathBuf = data_directory.join(table.iter().collect::<PathBuf>());
            for sql in [
                format!("CREATE SCHEMA IF NOT EXISTS {}.{}", quoted_name(catalog), quoted_name(schema)),
                format!(
                    "CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION {}",
                    text_literal(&place.to_string_lossy())
                ),
            ] {
                self.query(&sql).await.map_err(|error| EngineError::Refused {
                    doing: format!("register {name}"),
                    message: error.message,
                })?;
            }
        }
        Ok(())
    }
}

const ENGINE_ENDED: &str = "the engine's process has ended";

/// What every call of one statement shares.
#[derive(Clone, Copy)]
struct Call<'c> {
    tag: &'c str,
    arguments: &'c [(String, String)],
    raised: &'c [String],
    canceled: &'c watch::Receiver<bool>,
}

fn statement_error(error: &SparkError, raised: &[String]) -> StatementError {
    let message = error.message();
    if message.contains(ENGINE_ENDED) {
        return StatementError::engine_gone(message);
    }
    StatementError::from_engine(&message, error.sql_state(), raised)
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

fn full_name(table: &TableName) -> String {
    table.iter().map(|part| quoted_name(part)).collect::<Vec<_>>().join(".")
}

/// The tables `<catalog>/<schema>/<table>/_delta_log` below a directory.
fn tables_in(data_directory: &Path, catalogs: &[String]) -> io::Result<Vec<TableName>> {
    let mut tables = Vec::new();
    for catalog in catalogs {
        for schema in subdirectories(&data_directory.join(catalog))? {
            for table in subdirectories(&data_directory.join(catalog).join(&schema))? {
                let log: PathBuf = [data_directory, catalog.as_ref(), schema.as_ref(), table.as_ref()].iter().collect();
                if log.join("_delta_log").is_dir() {
                    tables.push([catalog.clone(), schema.clone(), table]);
                }
            }
        }
    }
    Ok(tables)
}

fn subdirectories(path: &Path) -> io::Result<Vec<String>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
