//! The Statement Execution endpoint in front of Spark SQL.
//!
//! [`DatabricksEndpoint`] speaks Databricks' Statement Execution API and `/oidc/v1/token`; [`Engine`] runs the SQL on
//! real Delta tables (`sail` is the child process, `session` the connection). `routes` and `wire` are the HTTP face,
//! `access` the tokens, `rights` what a principal may do, `statements` keeps states and `log` remembers them; `bind`, `failfast`, `qualify` and `rewrite`
//! bridge what Sail lacks, `counts`, `cells` and `error` make what it returns look like Databricks'; `stories` tells all
//! of it over HTTP.

mod access;
mod bind;
mod cells;
mod collations;
mod control;
mod counts;
mod engine;
mod error;
mod failfast;
mod governance;
mod keys;
mod log;
mod qualify;
mod required;
mod rewrite;
mod rights;
mod routes;
mod sail;
mod session;
mod settings;
mod shape;
mod statements;
#[cfg(test)]
mod stories;
mod tokens;
mod views;
mod wire;
mod zone;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use cells::{ResultColumn, ResultSet};
pub use counts::RowCounts;
pub use engine::{Engine, EngineError};
pub use error::StatementError;
pub use log::{LoggedParameter, LoggedStatement};
pub use rights::Grant;
pub use sail::SailSettings;
pub use settings::{Behaviour, EndpointSettings, Script, ServicePrincipal};
pub use shape::StatementKind;
pub use statements::StatementState;
pub use zone::SessionZone;

use access::IssuedTokens;
use collations::Collations;
use log::Statements;
use rewrite::Namespace;
use rights::Rights;

/// Open statements and connections get this long to end.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The state that the endpoint's handlers share.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    settings: Mutex<EndpointSettings>,
    scripts: Mutex<Vec<Script>>,
    statements: Statements,
    issued: IssuedTokens,
    rights: Mutex<Rights>,
    collations: Collations,
}

impl Shared {
    fn settings(&self) -> MutexGuard<'_, EndpointSettings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rights(&self) -> MutexGuard<'_, Rights> {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scripts(&self) -> MutexGuard<'_, Vec<Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the effects that scripts have on a new statement. Each script that takes it counts it.
    fn take_behaviours(&self, statement: &str) -> Vec<Behaviour> {
        let mut scripts = self.scripts();
        let taken = scripts.iter_mut().filter_map(|script| script.takes(statement).then(|| script.behaviour.clone()));
        let taken = taken.collect();
        scripts.retain(|script| script.times > 0);
        taken
    }

    fn clear_log(&self) {
        self.statements.clear();
        self.issued.clear_requests();
    }

    async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, StatementError> {
        let namespace = Namespace::of(&self.settings().catalog, None);
        self.engine.query_in(sql, &namespace).await
    }
}

/// A running endpoint; dropping it ends it.
#[derive(Debug)]
pub struct DatabricksEndpoint {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl DatabricksEndpoint {
    /// Listens on `address` (port 0 takes a free one) in front of `engine`.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr, engine: Engine, settings: EndpointSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            engine,
            settings: Mutex::new(settings),
            scripts: Mutex::default(),
            statements: Statements::default(),
            issued: IssuedTokens::default(),
            rights: Mutex::default(),
            collations: Collations::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let service = axum::serve(listener, routes::router(Arc::clone(&shared)));
        let server = tokio::spawn(async move {
            let ended = service.with_graceful_shutdown(async { drop(stopped.await) }).await;
            if let Err(error) = ended {
                tracing::warn!(%error, "the local Databricks endpoint ended");
            }
        });
        Ok(Self { shared, address, stop: Some(stop), server })
    }

    /// The host to configure: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cancels open statements, waits shortly, and ends.
    pub async fn stop(mut self) {
        let open: Vec<_> = self.shared.statements.all();
        for statement in &open {
            statement.cancel();
        }
        drop(self.stop.take());
        let _ = timeout(STOP_PATIENCE, &mut self.server).await;
    }

    /// The statements submitted so far, oldest first.
    pub fn statements(&self) -> Vec<LoggedStatement> {
        self.shared.statements.all().iter().map(|statement| statement.logged()).collect()
    }

    /// Returns the number of statements that are not in a terminal state.
    pub fn open_statements(&self) -> usize {
        self.statements().iter().filter(|statement| !statement.state.is_terminal()).count()
    }

    /// Requests to `/oidc/v1/token` so far.
    pub fn token_requests(&self) -> usize {
        self.shared.issued.requests()
    }

    /// Forgets ended statements and counted token requests.
    pub fn clear_log(&self) {
        self.shared.clear_log();
    }

    /// Adds a scripted behaviour.
    pub fn script(&self, script: Script) {
        self.shared.scripts().push(script);
    }

    /// Scripts that have not been used up; a test that ends with some did not do what it meant to.
    pub fn scripts_left(&self) -> Vec<Script> {
        self.shared.scripts().clone()
    }

    /// Takes all scripts back.
    pub fn clear_scripts(&self) {
        self.shared.scripts().clear();
    }

    /// Changes settings while it runs: tokens, principals, body limit, one writer a table.
    pub fn configure(&self, change: impl FnOnce(&mut EndpointSettings)) {
        change(&mut self.shared.settings());
    }

    /// Accepts exactly these bearer tokens from now on (tokens issued to principals stay valid).
    pub fn set_tokens(&self, tokens: &[&str]) {
        self.configure(|settings| settings.tokens = tokens.iter().map(|token| (*token).to_owned()).collect());
    }

    /// Gives a right to a principal; it counts for the checked ones.
    pub fn grant(&self, principal: &str, privilege: &str, on: &str) {
        self.shared.rights().give(grant(principal, privilege, on));
    }

    /// Takes a right from a principal.
    pub fn revoke(&self, principal: &str, privilege: &str, on: &str) {
        self.shared.rights().take(&grant(principal, privilege, on));
    }

    /// The rights given so far.
    pub fn grants(&self) -> Vec<Grant> {
        self.shared.rights().grants()
    }

    /// Makes every token issued to a principal invalid.
    pub fn revoke_issued_tokens(&self) {
        self.shared.issued.revoke_all();
    }

    /// Runs a statement past the API and its log; rows as the API shows them.
    ///
    /// # Errors
    /// What a statement would fail with.
    pub async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, StatementError> {
        self.shared.query(sql).await
    }
}

fn grant(principal: &str, privilege: &str, on: &str) -> Grant {
    Grant { principal: principal.to_owned(), privilege: privilege.to_owned(), on: on.to_lowercase() }
}

impl Drop for DatabricksEndpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}
