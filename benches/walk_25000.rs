//! A first sync of 25,000 rows at Notion's real cap of 10,000 a query: emulated Notion, real SQL engine on a Delta table.
//!
//! The service runs in a process of its own (this program again, called with `service`), so that its memory is its own and
//! not the emulator's. Prints rows a second, peak memory, requests and statements.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use notion_sync::action::{Action, SyncRequest};
use notion_sync::app::{App, RunContext};
use notion_sync::config::{Config, Variables};
use notion_sync::ids::DatabaseName;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::progress::Progress;
use notion_sync_local::databricks::{DatabricksEndpoint, EndpointSettings, Engine};
use notion_sync_local::loopback;
use notion_sync_local::notion::{DEFAULT_TOKEN, NewRow, NotionEmulator, Settings, Span, Value};
use notion_sync_local::tools::Tools;
use tokio::process::Command;

const ROWS: u64 = 25_000;
/// Rows created in one minute: people paste lists.
const ROWS_A_MINUTE: u64 = 4;
/// Longest time for one sync.
const SYNC_BOUND: Duration = Duration::from_secs(900);
const SCHEMA: &str = "bronze_walk";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // `cargo test --benches` asks for a try, not for a measurement.
    match std::env::args().nth(1).as_deref() {
        Some("service") => runtime.block_on(service()),
        Some("--test") => Ok(()),
        _ => runtime.block_on(measure()),
    }
}

/// The service: tables, then one run, its report and its peak memory on standard output.
async fn service() -> Result<()> {
    let app = App::new(Config::from_variables(&Variables::from_environment())?).await?;
    let context = RunContext { deadline: Deadline::none(), progress: Progress::default() };
    let tables = app.run(&Action::InitTables, &context).await;
    if let Some(error) = tables.error {
        return Err(error.message.into());
    }
    let database = DatabaseName::parse("projects")?;
    let request = SyncRequest { database, full_refresh: false, restart: false, allow_removals: false };
    let report = app.run(&Action::Sync(request), &context).await;
    println!("{}", serde_json::to_string(&report)?);
    println!("{}", peak_memory_kib().unwrap_or_default());
    Ok(())
}

/// `VmHWM` of this process; `None` where there is no /proc.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

async fn measure() -> Result<()> {
    let tools = Tools::of_this_repository();
    let folder = tools.root().join("target/bench-stack").join(std::process::id().to_string());
    let engine = Engine::start_sail(&tools.sail(), &folder.join("warehouse")).await?;
    let notion = NotionEmulator::start(loopback::address(0), Settings::default()).await?;
    let (database_id, payload_bytes) = fill(&notion)?;
    let settings = EndpointSettings::default();
    let (token, warehouse_id) = (settings.tokens.first().cloned().unwrap_or_default(), settings.warehouse_id.clone());
    let databricks = DatabricksEndpoint::start(loopback::address(0), engine, settings).await?;
    let began = Instant::now();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("service").env_clear().kill_on_drop(true).stdout(Stdio::piped()).envs([
        ("NOTION_API_KEY", DEFAULT_TOKEN),
        ("NOTION_BASE_URL", &notion.base_url()),
        ("NOTION_PROJECTS_DB_ID", &database_id),
        ("DATABRICKS_HOST", &databricks.base_url()),
        ("DATABRICKS_TOKEN", &token),
        ("DATABRICKS_WAREHOUSE_ID", &warehouse_id),
        ("DATABRICKS_CATALOG", "main"),
        ("BRONZE_SCHEMA", SCHEMA),
        ("RATE_LIMIT_DELAY", "0"),
    ]);
    let output = tokio::time::timeout(SYNC_BOUND, command.output()).await??;
    let seconds = began.elapsed().as_secs_f64();
    let output = String::from_utf8(output.stdout)?;
    let mut lines = output.lines();
    let report: serde_json::Value = serde_json::from_str(lines.next().ok_or("the service printed no report")?)?;
    let peak_mib = lines.next().and_then(|line| line.parse::<f64>().ok()).unwrap_or_default() / 1024.0;
    let count = format!("SELECT count(*) FROM `main`.`{SCHEMA}`.notion_raw_pages WHERE removed_at IS NULL");
    let in_table = databricks.query(&count).await.map_err(|error| format!("{error:?}"))?;
    show(&report, seconds, peak_mib, payload_bytes);
    notion.stop().await;
    databricks.stop().await;
    std::fs::remove_dir_all(&folder)?;
    let expected = Some(ROWS.to_string());
    if report["outcome"] != "complete" || in_table.first().and_then(|row| row.first()) != Some(&expected) {
        return Err(format!("not {ROWS} rows: {in_table:?}, {report}").into());
    }
    Ok(())
}

/// One data source of so many rows; its database's id, and the bytes of all payloads.
fn fill(notion: &NotionEmulator) -> Result<(String, usize)> {
    notion.workspace(|workspace| {
        let now = workspace.now();
        let (database_id, source_id) = workspace.add_table("Projects");
        for number in 0..ROWS {
            let minutes_ago = i64::try_from((ROWS - number) / ROWS_A_MINUTE + 60)?;
            let created = now - jiff::SignedDuration::from_mins(minutes_ago);
            let note = Value::RichText(Span::plain(&"What was agreed and who does it. ".repeat(12)));
            let row = NewRow::titled(&format!("Project {number}")).set("Note", note).created(created).edited(created);
            workspace.add_row(&source_id, row)?;
        }
        let shown = workspace.expected(&database_id, notion_sync_local::notion::SignedUrls::LeftOut)?;
        Ok((database_id, shown.iter().map(|row| row.payload.len()).sum()))
    })
}

fn show(report: &serde_json::Value, seconds: f64, peak_mib: f64, payload_bytes: usize) {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (rows, payload_mib) = (ROWS as f64, payload_bytes as f64 / 1024.0 / 1024.0);
    println!("first sync of {ROWS} rows ({payload_mib:.0} MiB of payload), cap 10,000, no pause between requests");
    println!("  outcome            {}", report["outcome"]);
    println!("  time               {seconds:.1} s, of it the sync {} ms", report["duration_ms"]);
    println!("  rows a second      {:.0}", rows / seconds);
    println!("  peak memory        {peak_mib:.0} MiB of the service's process");
    println!("  requests to Notion {}", report["requests"]);
    println!("  statements         {} ({} bytes)", report["statements"], report["bytes"]);
    println!("  inserted           {}", report["pages_inserted"]);
}
