//! The Spark Connect session all statements share: run, interrupt, temporary views.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use spark_connect::{Expression, LiteralExpression, SparkError, SparkSession};
use tokio::sync::watch;
use tokio::time::interval;

use super::error::StatementError;

/// An interrupt that comes before the engine knows the operation does nothing, so it is sent again.
const INTERRUPT_EVERY: Duration = Duration::from_millis(200);
const ENGINE_ENDED: &str = "the engine's process has ended";

/// One session of a Spark Connect server. Sail keeps its catalog in the session, so everything shares one.
#[derive(Debug)]
pub(super) struct Session {
    /// `sc://host:port/;session_id=…`
    address: String,
    /// Turns true when a child process that serves it has ended.
    ended: Option<watch::Receiver<bool>>,
}

/// The context that every operation of one statement shares.
#[derive(Clone, Copy)]
pub(super) struct Call<'c> {
    /// The operation's name, for interrupts.
    pub(super) tag: &'c str,
    /// Named STRING arguments.
    pub(super) arguments: &'c [(String, String)],
    /// Literals the statement itself may raise.
    pub(super) raised: &'c [String],
    /// Turns true when the statement shall end.
    pub(super) canceled: &'c watch::Receiver<bool>,
}

/// The engine's result.
pub(super) struct Fetched {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
}

impl Session {
    /// A session at `address`; nothing is sent yet.
    pub(super) fn new(address: &str, ended: Option<watch::Receiver<bool>>) -> Self {
        let separator = if address.contains("/;") { ";" } else { "/;" };
        let address = if address.contains("session_id=") {
            address.to_owned()
        } else {
            format!("{}{separator}session_id={}", address.trim_end_matches(['/', ';']), uuid::Uuid::new_v4())
        };
        Self { address, ended }
    }

    /// The address without what may be secret behind it.
    pub(super) fn host(&self) -> &str {
        self.address.split("/;").next().unwrap_or_default()
    }

    /// Sets the session's configuration.
    pub(super) async fn configure(&self, pairs: &[(&'static str, &'static str)]) -> Result<(), StatementError> {
        let pairs = pairs.to_vec();
        let work = |session: SparkSession| async move {
            session.run(move |spark| pairs.iter().try_for_each(|(name, value)| spark.conf().set(name, value))).await
        };
        self.with_client(work).await.map_err(|error| statement_error(&error, &[]))
    }

    /// A temporary view with one row and one STRING column `v`.
    pub(super) async fn create_view(&self, name: &str, value: &str) -> Result<(), StatementError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let work = |session: SparkSession| async move {
            let arguments = HashMap::from([("v".to_owned(), Expression::Literal(LiteralExpression::String(value)))]);
            let create = move |spark: spark_connect::apache_spark_connect::SparkSession| {
                spark.sql_with_args("SELECT :v AS v", Vec::new(), arguments)?.create_or_replace_temp_view(&name)
            };
            session.run(create).await
        };
        self.with_client(work).await.map_err(|error| statement_error(&error, &[]))
    }

    /// Drops a view; one that stays costs memory, nothing else.
    pub(super) async fn drop_view(&self, name: &str) {
        let name = name.to_owned();
        let work = |session: SparkSession| async move {
            session.run(move |spark| spark.catalog().drop_temp_view(&name)).await.map(drop)
        };
        let _ = self.with_client(work).await;
    }

    /// Runs the text and collects what it returns; interrupts it when it is cancelled.
    pub(super) async fn execute(&self, sql: &str, call: &Call<'_>) -> Result<Fetched, StatementError> {
        let mut canceled = call.canceled.clone();
        let running = self.collect(sql, call);
        tokio::pin!(running);
        tokio::select! {
            fetched = &mut running => return fetched,
            Ok(_) = canceled.wait_for(|canceled| *canceled) => {}
        }
        let mut ticks = interval(INTERRUPT_EVERY);
        let mut interrupted = false;
        let outcome = loop {
            tokio::select! {
                fetched = &mut running => break fetched,
                _ = ticks.tick() => interrupted |= self.interrupt(call.tag).await,
            }
        };
        match outcome {
            // Sail ends an interrupted operation like a good one, but without even an empty batch.
            Ok(fetched) if interrupted && fetched.batches.is_empty() => Err(StatementError::canceled()),
            outcome => outcome,
        }
    }

    async fn collect(&self, sql: &str, call: &Call<'_>) -> Result<Fetched, StatementError> {
        let (sql, tag) = (sql.to_owned(), call.tag.to_owned());
        let argument = |value: &String| Expression::Literal(LiteralExpression::String(value.clone()));
        let arguments = call.arguments.iter().map(|(name, value)| (name.clone(), argument(value))).collect();
        let work = |session: SparkSession| async move {
            let collect = move |spark: spark_connect::apache_spark_connect::SparkSession| {
                spark.add_tag(&tag)?;
                spark.sql_with_args(&sql, Vec::new(), arguments)?.collect_record_batches()
            };
            session.run(collect).await
        };
        let batches = self.with_client(work).await.map_err(|error| statement_error(&error, call.raised))?;
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        Ok(Fetched { schema, batches })
    }

    /// Interrupts the operation; tells whether the engine knew it.
    async fn interrupt(&self, tag: &str) -> bool {
        let known = self.with_client(|session| async move { session.interrupt_tag(tag).await }).await;
        known.is_ok_and(|operations| !operations.is_empty())
    }

    /// A client of the session: tags belong to the client, so every operation gets its own.
    async fn with_client<T, F>(&self, work: impl FnOnce(SparkSession) -> F) -> Result<T, SparkError>
    where
        F: Future<Output = Result<T, SparkError>>,
    {
        let all = async {
            let session = SparkSession::builder().remote(&self.address).get_or_create().await?;
            work(session).await
        };
        let Some(mut ended) = self.ended.clone() else { return all.await };
        // The client would retry a dead engine for minutes.
        tokio::select! {
            outcome = all => outcome,
            _ = ended.wait_for(|ended| *ended) => Err(SparkError::connect_msg(ENGINE_ENDED)),
        }
    }
}

fn statement_error(error: &SparkError, raised: &[String]) -> StatementError {
    let message = error.message();
    // The connection may break before the end of the engine's process is seen.
    if [ENGINE_ENDED, "h2 protocol error", "transport error"].iter().any(|text| message.contains(text)) {
        return StatementError::engine_gone(message);
    }
    StatementError::from_engine(without_doubled_class(&message), error.sql_state(), raised)
}

/// The client puts `[CLASS] ` in front of texts that have it already.
fn without_doubled_class(message: &str) -> &str {
    match message.split_once("] ") {
        Some((class, rest)) if rest.trim_start().starts_with(class) => rest,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_class_is_said_once() {
        assert_eq!(without_doubled_class("[A_B] \n[A_B] x"), "\n[A_B] x");
        assert_eq!(without_doubled_class("[A_B.C] [A_B.C] x] y"), "[A_B.C] x] y");
        assert_eq!(without_doubled_class("[A_B] x"), "[A_B] x");
    }

    #[test]
    fn every_address_gets_one_session_and_keeps_its_options_private() {
        for (address, start) in [
            ("sc://h:1", "sc://h:1/;session_id="),
            ("sc://h:1/", "sc://h:1/;session_id="),
            ("sc://h:1/;token=x", "sc://h:1/;token=x;session_id="),
        ] {
            let session = Session::new(address, None);
            assert!(session.address.starts_with(start), "{}", session.address);
            assert_eq!(session.host(), "sc://h:1");
        }
        let given = "sc://h:1/;session_id=7f3f0c4c-0a0e-4b57-9b6a-0c3f6a1b2c3d";
        assert_eq!(Session::new(given, None).address, given);
    }
}
