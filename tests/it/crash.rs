//! The process killed at any moment of a first sync, and started again: rows are written twice at most, and none is lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use notion_sync_local::notion::NewRow;
use tokio::time::timeout;

use crate::support::process::command_line;
use crate::support::{World, at, run_test_within};

const PAGES: u32 = 3_000;
const DEFAULT_SEEDS: u64 = 20;
/// Seeds side by side.
const LANES: usize = 3;
/// Each so many seeds, one runs with a lease: a killed run blocks the next for as long as its lease holds. Not a multiple of
/// the lanes, so that each lane has its share of them.
const SEEDS_PER_LEASE: u64 = 4;
/// How often a first sync is killed before it may end.
const KILLS_PER_SEED: u64 = 2;
/// Exchanges of a first sync with Notion and the warehouse (30 result pages, 7 MERGEs, a proof, a comparison):
/// the moments are spread over nearly all of them.
const EXCHANGES: u64 = 38;
/// Longest time for one seed.
const SEED_BOUND: Duration = Duration::from_secs(300);

/// Steele's splitmix64: the same seed, the same moments.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// A run that is killed once the servers have seen so many of its exchanges; whether the kill came before its end.
async fn killed_after(world: &World, variables: &std::collections::BTreeMap<String, String>, exchanges: usize) -> bool {
    world.forget_exchanges();
    let mut command = command_line(variables, &["sync"]);
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let seen = || world.notion_faults.exchanges().len() + world.databricks_faults.exchanges().len();
    let reached = async {
        while seen() < exchanges {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let is_running = tokio::select! {
        () = reached => true,
        status = process.wait() => {
            assert!(status.unwrap().success(), "a run that nobody killed is complete");
            false
        }
    };
    if is_running {
        // SIGKILL: nothing of the process's own runs after it.
        process.kill().await.unwrap();
    }
    is_running
}

/// Runs until a run is complete, however many it takes; how many.
async fn until_complete(variables: &std::collections::BTreeMap<String, String>) -> u32 {
    let mut runs = 0;
    loop {
        runs += 1;
        let output = timeout(Duration::from_secs(180), command_line(variables, &["sync", "--output", "json"]).output());
        let output = output.await.expect("a run ends").unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        match report["outcome"].as_str() {
            Some("complete") => return runs,
            // The killed run's lease holds for 20 s more.
            Some("skipped") => tokio::time::sleep(Duration::from_secs(2)).await,
            _ => panic!("{report}"),
        }
        assert!(runs < 30, "no end: {report}");
    }
}

/// 3,000 pages, one every 20 seconds.
fn fill(world: &World) {
    let created = at("2026-01-01T00:00:00Z");
    world.edit(|workspace| {
        for index in 0..i64::from(PAGES) {
            let time = created + jiff::SignedDuration::from_secs(index * 20);
            let row = NewRow::titled(&format!("Page {index}")).created(time).edited(time);
            workspace.add_row(&world.data_source_id, row).unwrap();
        }
    });
    world.run_clock();
}

/// How many seeds; `NOTION_SYNC_CRASH_SEEDS` for more of them.
#[expect(clippy::disallowed_methods, reason = "tests choose how many seeds by the environment")]
fn seeds() -> u64 {
    std::env::var("NOTION_SYNC_CRASH_SEEDS").ok().map_or(DEFAULT_SEEDS, |text| text.parse().expect("a number of seeds"))
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Kills that came before the run's end.
    kills: u64,
    /// Kills that were meant.
    wanted: u64,
    /// Runs until the sync was complete.
    runs: u32,
}

/// One first sync, killed and run again.
async fn life(seed: u64) -> Tally {
    let mut tally = Tally::default();
    // A world of its own: the table of all seeds together would slow every MERGE down.
    let walkers = (1 + seed % 5).to_string();
    let world = World::builder().variable("MERGE_BATCH_BYTES", "1MiB").variable("WALKERS", &walkers).build().await;
    fill(&world);
    let has_lease = seed % SEEDS_PER_LEASE == SEEDS_PER_LEASE - 1;
    let table = has_lease.then_some(world.state_table.as_str());
    let variables = world.variables_with(&[("WATERMARK_TABLE", table)]);
    let mut moments = Moments(seed);
    // With a lease the second run would only be told to come back later.
    for _ in 0..if has_lease { 1 } else { KILLS_PER_SEED } {
        let moment = usize::try_from(1 + moments.next(EXCHANGES - 1)).unwrap();
        tally.wanted += 1;
        tally.kills += u64::from(killed_after(&world, &variables, moment).await);
    }
    tally.runs = until_complete(&variables).await;
    world.assert_table_equals_notion().await;
    world.no_statement_is_left_open().await;
    world.end().await;
    tally
}

/// Each so many seeds, from one of them on.
async fn lane(first: u64, seeds: u64) -> Tally {
    let mut sum = Tally::default();
    for seed in (first..seeds).step_by(LANES) {
        let tally = life(seed).await;
        sum.kills += tally.kills;
        sum.wanted += tally.wanted;
        sum.runs += tally.runs;
    }
    sum
}

#[test]
fn a_first_sync_killed_at_random_moments_ends_whole() {
    let seeds = seeds();
    run_test_within(SEED_BOUND * u32::try_from(seeds).unwrap(), async {
        let began = Instant::now();
        // Side by side: what a killed run's lease lets the next one wait for is no work.
        let (one, two, three) = tokio::join!(lane(0, seeds), lane(1, seeds), lane(2, seeds));
        let lanes = [one, two, three];
        let kills: u64 = lanes.iter().map(|tally| tally.kills).sum();
        let wanted: u64 = lanes.iter().map(|tally| tally.wanted).sum();
        let runs: u32 = lanes.iter().map(|tally| tally.runs).sum();
        println!(
            "{seeds} first syncs of {PAGES} pages: {kills} of {wanted} kills came before the end, {runs} runs to the end, \
             {} s",
            began.elapsed().as_secs()
        );
        assert!(kills * 10 >= wanted * 7, "{kills} of {wanted} kills landed in the middle");
    });
}
