//! Sail as a child process: own port, bounded memory, a log file, and an end that comes with ours.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::engine::EngineError;
use super::rewrite::TableName;
use super::zone::SessionZone;

/// Sail listens within a tenth of a second; a loaded machine gets more.
const START_PATIENCE: Duration = Duration::from_secs(60);
const START_POLL: Duration = Duration::from_millis(25);
/// A port found free can be taken by another before Sail binds it.
const START_TRIES: u32 = 3;
/// Longer than the leash takes.
const STOP_PATIENCE: Duration = Duration::from_secs(6);
/// The catalog lives in the Connect session, so the session must outlive every pause.
const SESSION_SECONDS: &str = "31536000";
/// Runs the rest of its arguments and ends it when our end of standard input closes, whatever ended us.
const LEASH: &str = r#"
exec 3<&0
( read -r _ <&3; kill -TERM $$; sleep 3; kill -KILL $$ ) 2>/dev/null &
exec "$@" </dev/null 3<&-
"#;

/// The settings of Sail.
#[derive(Debug, Clone)]
pub struct SailSettings {
    /// The `sail` program.
    pub program: PathBuf,
    /// The directory of the tables (`<catalog>/<schema>/<table>`) and of the log `sail.log`.
    pub data_directory: PathBuf,
    /// Names of the catalogs; the first is the default one.
    pub catalogs: Vec<String>,
    /// Bound of the memory that queries may take.
    pub memory_limit_bytes: u64,
    /// The session's time zone.
    pub time_zone: SessionZone,
}

impl SailSettings {
    /// One catalog `main`, 2 GiB, UTC.
    pub fn new(program: &Path, data_directory: &Path) -> Self {
        Self {
            program: program.to_owned(),
            data_directory: data_directory.to_owned(),
            catalogs: vec!["main".to_owned()],
            memory_limit_bytes: 2 << 30,
            time_zone: SessionZone::UTC,
        }
    }

    /// The path of the log.
    pub fn log(&self) -> PathBuf {
        self.data_directory.join("sail.log")
    }
}

/// A running Sail. It depends on no runtime, so that one serves tests with a runtime each.
#[derive(Debug)]
pub(super) struct Sail {
    pub(super) port: u16,
    pub(super) process_id: u32,
    /// Turns true when the process has ended.
    pub(super) ended: watch::Receiver<bool>,
    /// Our end of the leash: the process ends when it is dropped.
    leash: Option<ChildStdin>,
}

impl Sail {
    pub(super) async fn start(settings: &SailSettings) -> Result<Self, EngineError> {
        let mut tries_left = START_TRIES;
        loop {
            tries_left -= 1;
            match Self::start_once(settings).await {
                Err(EngineError::Ended { .. }) if tries_left > 0 => {}
                other => return other,
            }
        }
    }

    async fn start_once(settings: &SailSettings) -> Result<Self, EngineError> {
        let start_error = |source| EngineError::Start { program: settings.program.clone(), source };
        let port = free_port().map_err(start_error)?;
        let mut child = command(settings, port).and_then(|mut command| command.spawn()).map_err(start_error)?;
        let (ended_sender, ended) = watch::channel(false);
        let leash = child.stdin.take();
        let process_id = child.id();
        std::thread::spawn(move || wait_for_end(child, &ended_sender));
        let sail = Self { port, process_id, ended, leash };
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if *sail.ended.borrow() {
                return Err(EngineError::Ended { log: settings.log() });
            }
            if Instant::now() >= deadline {
                return Err(EngineError::NotReady { seconds: START_PATIENCE.as_secs(), log: settings.log() });
            }
            sleep(START_POLL).await;
        }
        Ok(sail)
    }

    /// Ends the process; dropping does the same without waiting.
    pub(super) async fn stop(mut self) {
        drop(self.leash.take());
        let _ = timeout(STOP_PATIENCE, self.ended.wait_for(|ended| *ended)).await;
    }
}

/// Waits for the process and tells when it is gone.
fn wait_for_end(mut child: Child, ended: &watch::Sender<bool>) {
    let _ = child.wait();
    ended.send_replace(true);
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn command(settings: &SailSettings, port: u16) -> io::Result<Command> {
    let catalogs: Vec<String> = settings
        .catalogs
        .iter()
        .map(|name| {
            format!(r#"{{name="{name}",type="memory",initial_database=["default"],initial_database_comment=""}}"#)
        })
        .collect();
    let log = File::options().create(true).append(true).open(settings.log())?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LEASH, "sail"]).arg(&settings.program);
    command.args(["spark", "server", "--ip", "127.0.0.1", "--port", &port.to_string()]);
    command.env("SAIL_CATALOG__LIST", format!("[{}]", catalogs.join(",")));
    command.env("SAIL_CATALOG__DEFAULT_CATALOG", settings.catalogs.first().map_or("main", String::as_str));
    command.env("SAIL_RUNTIME__MEMORY_POOL__TYPE", "greedy");
    command.env("SAIL_RUNTIME__MEMORY_POOL__GREEDY__MAX_SIZE", settings.memory_limit_bytes.to_string());
    command.env("SAIL_SPARK__SESSION_TIMEOUT_SECS", SESSION_SECONDS);
    // Few allocator arenas: the process gives memory back instead of keeping a heap per thread.
    command.env("MALLOC_ARENA_MAX", "2");
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// The tables `<catalog>/<schema>/<table>/_delta_log` below a directory.
pub(super) fn tables_in(data_directory: &Path, catalogs: &[String]) -> io::Result<Vec<TableName>> {
    let mut tables = Vec::new();
    for catalog in catalogs {
        for schema in subdirectories(&data_directory.join(catalog))? {
            for table in subdirectories(&data_directory.join(catalog).join(&schema))? {
                let place: PathBuf =
                    [data_directory, catalog.as_ref(), schema.as_ref(), table.as_ref()].iter().collect();
                if place.join("_delta_log").is_dir() {
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
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
