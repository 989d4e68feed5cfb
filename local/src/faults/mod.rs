//! One scripted fault proxy that can stand in front of Notion, Databricks or AWS (plain HTTP/1.1).
//!
//! What passes without a fault passes byte for byte. Each exchange has a connection of its own to the upstream, so that
//! no fault of the proxy's making (a pooled connection gone stale) can be mistaken for a scripted one. Every exchange is
//! logged with its index: a test can count the exchanges of one run and then break each of them in turn.

mod answer;
mod exchange;
mod script;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::task::JoinSet;

pub use answer::{Answer, NOTION_RATE_LIMIT_REASONS, NOTION_REQUEST_BLOCKED};
pub use script::{Fault, Hold, Rewrite, Rule};

use super::loopback;
use script::{Matched, Script};
use wire::Request;

/// The number of exchanges that the log keeps; later ones are counted, matched and served, but not logged.
const LOG_LIMIT: usize = 100_000;

/// An exchange that passed the proxy: a request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its number, from 0, in the order in which the requests were complete.
    pub index: u64,
    /// The request's method.
    pub method: String,
    /// The request's path, with its query string.
    pub path: String,
    /// The status that the upstream answered, once it has: then the request was applied.
    pub upstream_status: Option<u16>,
    /// The status that the client was sent, once it was.
    pub status: Option<u16>,
    /// The fault applied, by its name.
    pub fault: Option<String>,
}

/// A running proxy; stops when it is stopped or dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Starts a proxy on a free loopback port in front of `upstream_base_url` (`http://host:port`).
    ///
    /// # Errors
    /// When the URL is no plain HTTP address, or no port can be had.
    pub async fn start(upstream_base_url: &str) -> io::Result<Self> {
        let upstream = resolve(upstream_base_url).await?;
        let listener = TcpListener::bind(loopback::address(0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { upstream, recorded: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, tasks })
    }

    /// Returns the proxy's address for clients, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule behind those in force.
    pub fn add(&self, rule: Rule) {
        self.state.recorded().script.add(rule);
    }

    /// Drops all rules; what is under way stays as it is.
    pub fn clear_rules(&self) {
        self.state.recorded().script.clear();
    }

    /// The exchanges so far, oldest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state.recorded().exchanges.clone()
    }

    /// Empties the log; the next exchange has index 0 again.
    pub fn forget_exchanges(&self) {
        let mut recorded = self.state.recorded();
        recorded.exchanges.clear();
        recorded.next_index = 0;
        // What is still under way must not write its end into an exchange of the new count.
        recorded.generation += 1;
    }

    /// Stops listening and cuts every connection; then clients are refused.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The state that the connections share.
#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    script: Script,
    exchanges: Vec<Exchange>,
    next_index: u64,
    generation: u64,
}

/// Names one exchange in the log.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    index: u64,
    generation: u64,
}

impl State {
    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a request its index and its fault, and logs it.
    fn begin(&self, request: &Request) -> (Ticket, Option<Fault>) {
        let mut recorded = self.recorded();
        let ticket = Ticket { index: recorded.next_index, generation: recorded.generation };
        recorded.next_index += 1;
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let fault = recorded.script.fault_for(&Matched { index: ticket.index, method, path, body: &request.body });
        if recorded.exchanges.len() < LOG_LIMIT {
            recorded.exchanges.push(Exchange {
                index: ticket.index,
                method: method.to_owned(),
                path: path.to_owned(),
                upstream_status: None,
                status: None,
                fault: fault.as_ref().map(Fault::name),
            });
        }
        (ticket, fault)
    }

    fn note(&self, ticket: Ticket, change: impl FnOnce(&mut Exchange)) {
        let mut recorded = self.recorded();
        if recorded.generation == ticket.generation {
            let position = usize::try_from(ticket.index).unwrap_or(usize::MAX);
            if let Some(exchange) = recorded.exchanges.get_mut(position) {
                change(exchange);
            }
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(exchange::serve(client, Arc::clone(&state)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn resolve(base_url: &str) -> io::Result<SocketAddr> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{base_url:?} is no http://host:port"));
    let authority = base_url.strip_prefix("http://").ok_or_else(invalid)?.trim_end_matches('/');
    lookup_host(authority).await?.next().ok_or_else(invalid)
}

/// A new connection to the upstream.
async fn connect(state: &State) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(state.upstream).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
