//! Child processes that end with us: when stopped, when dropped, and also when we are killed.
//!
//! Each child runs below a small shell that holds the reading end of a pipe whose writing end is ours, its lifeline. The
//! kernel closes the lifeline however we end, and the shell then ends the child and whatever the child has started.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// Seconds between asking a child to end (SIGTERM) and ending it (SIGKILL).
const GRACE_SECONDS: &str = "5";
/// The time that `stop` waits: the grace and some more.
const STOP_BOUND: Duration = Duration::from_secs(8);
/// The interval of health checks while a child starts.
const PROBE_INTERVAL: Duration = Duration::from_millis(20);
/// The length of a log's end that an error shows, in bytes.
const LOG_TAIL_BYTES: u64 = 2_000;

/// Runs `$2…` until it ends or the standard input does; `$1` is the grace in seconds. Signals go to the whole process
/// group, which Rust has made ours, so that grandchildren end too. `wait` returns early when the trap runs, hence the loop.
const WATCHED: &str = r#"
grace=$1; shift
trap : TERM INT HUP
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
(
  trap '' TERM
  read -r _ <&3
  kill -TERM 0
  sleep "$grace"
  kill -KILL 0
) >/dev/null 2>&1 &
watchdog=$!
while :; do
  wait "$program"; status=$?
  kill -0 "$program" 2>/dev/null || break
done
kill -TERM 0
kill -KILL "$watchdog"
exit "$status"
"#;

/// A failure of a child process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("{name} could not be started ({program}): {source}")]
    Start {
        name: String,
        /// The program asked for.
        program: PathBuf,
        source: io::Error,
    },
    /// It ended while it was needed.
    #[error("{name} ended with {status}; the end of its log, {}:\n{log_tail}", log_file.display())]
    Ended {
        name: String,
        /// The exit status.
        status: ExitStatus,
        /// The path of its log.
        log_file: PathBuf,
        /// The last lines it wrote.
        log_tail: String,
    },
    /// It runs, but did not answer in time.
    #[error("{name} did not become healthy within {} s; its log is {}", waited.as_secs(), log_file.display())]
    Unhealthy {
        name: String,
        /// The time that it was given.
        waited: Duration,
        /// The path of its log.
        log_file: PathBuf,
    },
    /// It could not be watched or ended.
    #[error("{name} could not be waited for: {source}")]
    Wait { name: String, source: io::Error },
}

/// The command of a child process and the path of its output.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The process's role, for errors.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Variables set for it, on top of what it inherits.
    pub environment: Vec<(OsString, OsString)>,
    /// True if it inherits our own environment.
    pub inherits_environment: bool,
    /// The folder it runs in.
    pub working_directory: PathBuf,
    /// The path of its output. The file is replaced at each start.
    pub log_file: PathBuf,
}

/// A running child; ends when this value is stopped or dropped, and when our process ends in any way.
#[derive(Debug)]
pub struct ChildProcess {
    name: String,
    log_file: PathBuf,
    child: Child,
    /// Closed to end the child.
    lifeline: Option<ChildStdin>,
}

impl ChildProcess {
    /// Starts `spec`; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the program is no file, the log can't be made, or the system refuses a process.
    pub fn start(spec: &ProcessSpec) -> Result<Self, ProcessError> {
        let start_error =
            |source| ProcessError::Start { name: spec.name.clone(), program: spec.program.clone(), source };
        if !spec.program.is_file() {
            return Err(start_error(io::Error::new(io::ErrorKind::NotFound, "no such file; `make setup` installs it")));
        }
        let log = create_log(&spec.log_file).map_err(start_error)?;
        let mut command = Command::new("/bin/sh");
        if !spec.inherits_environment {
            command.env_clear();
        }
        command
            .args(["-c", WATCHED, "sh", GRACE_SECONDS])
            .arg(&spec.program)
            .args(&spec.arguments)
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&spec.working_directory)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(start_error)?)
            .stderr(log)
            .process_group(0);
        let mut child = command.spawn().map_err(start_error)?;
        let lifeline = child.stdin.take();
        Ok(Self { name: spec.name.clone(), log_file: spec.log_file.clone(), child, lifeline })
    }

    /// Returns the path of the child's log.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// Asks `probe` until it says yes.
    ///
    /// # Errors
    /// When the child ends before that, or `within` has passed.
    pub async fn wait_until_healthy(
        &mut self,
        within: Duration,
        mut probe: impl AsyncFnMut() -> bool,
    ) -> Result<(), ProcessError> {
        let give_up_at = Instant::now() + within;
        loop {
            self.ensure_running()?;
            let healthy = timeout(give_up_at.saturating_duration_since(Instant::now()), probe()).await;
            match healthy {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < give_up_at => sleep(PROBE_INTERVAL).await,
                _ => {
                    return Err(ProcessError::Unhealthy {
                        name: self.name.clone(),
                        waited: within,
                        log_file: self.log_file.clone(),
                    });
                }
            }
        }
    }

    /// Fails when the child has ended.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] with the end of its log.
    pub fn ensure_running(&mut self) -> Result<(), ProcessError> {
        let state = self.child.try_wait();
        match state.map_err(|source| ProcessError::Wait { name: self.name.clone(), source })? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Waits until the child ends by itself.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        // tokio closes a child's standard input here; ours, the lifeline, has been taken out and stays open.
        self.child.wait().await.map_err(|source| ProcessError::Wait { name: self.name.clone(), source })
    }

    /// Ends the child and all it has started, and waits for the end.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub async fn stop(mut self) -> Result<(), ProcessError> {
        drop(self.lifeline.take());
        let ended = match timeout(STOP_BOUND, self.child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.child.kill().await,
        };
        ended.map_err(|source| ProcessError::Wait { name: self.name.clone(), source })
    }

    fn ended(&self, status: ExitStatus) -> ProcessError {
        ProcessError::Ended {
            name: self.name.clone(),
            status,
            log_file: self.log_file.clone(),
            log_tail: log_tail(&self.log_file).unwrap_or_else(|error| format!("(unreadable: {error})")),
        }
    }
}

fn create_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(path)
}

fn log_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set for the copy of this test program that plays the parent that gets killed.
    const PARENT_FOLDER: &str = "NOTION_SYNC_TEST_PARENT_FOLDER";

    fn shell(folder: &Path, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: "test child".to_owned(),
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("GREETING".into(), "hello".into())],
            inherits_environment: true,
            working_directory: folder.to_owned(),
            log_file: folder.join("logs/child.log"),
        }
    }

    /// An orphan that has ended but was not collected yet (state Z) still has its id; it counts as gone.
    const IS_ALIVE: &str = r#"kill -0 "$1" && ! grep -q '^[0-9]* ([^)]*) Z' "/proc/$1/stat""#;

    fn is_alive(process_id: &str) -> bool {
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", IS_ALIVE, "sh", process_id.trim()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        status.success()
    }

    /// Reads the ids that the script below writes: its own and its child's.
    async fn family(folder: &Path) -> Vec<String> {
        for _ in 0..500 {
            let text = std::fs::read_to_string(folder.join("ids")).unwrap_or_default();
            if text.lines().count() == 2 {
                return text.lines().map(str::to_owned).collect();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the child never wrote its ids");
    }

    async fn all_gone(process_ids: &[String]) -> bool {
        for _ in 0..500 {
            if !process_ids.iter().any(|id| is_alive(id)) {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }

    const FAMILY: &str = "sleep 300 & echo $$ > ids.new; echo $! >> ids.new; mv ids.new ids; wait";

    #[tokio::test]
    async fn output_and_environment_reach_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = ChildProcess::start(&shell(folder.path(), "echo $GREETING from $PWD; exit 3")).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(3));
        let log = std::fs::read_to_string(child.log_file()).unwrap();
        assert!(log.starts_with("hello from /"), "{log}");
    }

    #[tokio::test]
    async fn a_child_that_ends_early_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = ChildProcess::start(&shell(folder.path(), "echo port taken >&2; exit 1")).unwrap();
        let error = child.wait_until_healthy(Duration::from_secs(20), async || false).await.unwrap_err();
        assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
        assert!(error.to_string().ends_with("port taken"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_never_answers_is_given_up_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = ChildProcess::start(&shell(folder.path(), "sleep 300")).unwrap();
        let hanging_probe = async || std::future::pending().await;
        let error = child.wait_until_healthy(Duration::from_millis(50), hanging_probe).await.unwrap_err();
        assert!(matches!(error, ProcessError::Unhealthy { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_missing_program_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = shell(folder.path(), "");
        spec.program = folder.path().join("ministack");
        let error = ChildProcess::start(&spec).unwrap_err();
        assert!(error.to_string().contains("make setup"), "{error}");
    }

    #[tokio::test]
    async fn stopping_and_dropping_end_the_whole_family() {
        for stops in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let child = ChildProcess::start(&shell(folder.path(), FAMILY)).unwrap();
            let ids = family(folder.path()).await;
            assert!(ids.iter().all(|id| is_alive(id)));
            if stops {
                child.stop().await.unwrap();
            } else {
                drop(child);
            }
            assert!(all_gone(&ids).await, "stops: {stops}");
        }
    }

    #[tokio::test]
    async fn a_killed_parent_takes_its_children_along() {
        let folder = tempfile::tempdir().unwrap();
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::tests::parent_role", "--ignored"])
            .env(PARENT_FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ids = family(folder.path()).await;
        parent.kill().await.unwrap();
        assert!(all_gone(&ids).await);
    }

    #[tokio::test]
    #[ignore = "started by the test above as a process of its own, to be killed"]
    async fn parent_role() {
        let Some(folder) = std::env::var_os(PARENT_FOLDER) else { return };
        let _child = ChildProcess::start(&shell(Path::new(&folder), FAMILY)).unwrap();
        sleep(Duration::from_secs(60)).await;
    }
}
