//! The process killed at any moment of a first sync, and started again: rows are written twice at most, and none is lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use notion_sync::local::notion::NewRow;
use tokio::time::timeout;

use crate::support::process::command_line;
use crate::support::{World, at, run_test};

const PAGES: u32 = 3_000;
const SEEDS: u64 = 20;
/// Seeds that run with a lease: a killed run blocks the next for as long as its lease holds.
const SEEDS_WITH_LEASE: u64 = 2;
/// How often a first sync is killed before it may end.
const KILLS_PER_SEED: u64 = 2;

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
        let output = timeout(Duration::from_secs(60), command_line(variables, &["sync", "--output", "json"]).output());
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

#[test]
fn a_first_sync_killed_at_random_moments_ends_whole() {
    run_test(async {
        let began = Instant::now();
        let mut world = World::builder().variable("MERGE_BATCH_BYTES", "1MiB").build().await;
        let created = at("2026-01-01T00:00:00Z");
        let fill = |world: &World| {
            world.edit(|workspace| {
                for index in 0..i64::from(PAGES) {
                    let time = created + jiff::SignedDuration::from_secs(index * 20);
                    let row = NewRow::titled(&format!("Page {index}")).created(time).edited(time);
                    workspace.add_row(&world.data_source_id, row).unwrap();
                }
            });
            world.run_clock();
        };
        // How many exchanges a run has when nobody kills it: the moments are spread over all of them.
        fill(&world);
        world.forget_exchanges();
        let without_lease = world.variables_with(&[("WATERMARK_TABLE", None)]);
        assert_eq!(until_complete(&without_lease).await, 1);
        let exchanges = world.notion_faults.exchanges().len() + world.databricks_faults.exchanges().len();
        let (mut kills, mut runs) = (0, 0);
        for seed in 0..SEEDS {
            let (database_id, data_source_id) = world.edit(|workspace| workspace.add_table("Projects"));
            world.variables.insert("NOTION_PROJECTS_DB_ID".to_owned(), database_id.clone());
            (world.database_id, world.data_source_id) = (database_id, data_source_id);
            fill(&world);
            let has_lease = seed >= SEEDS - SEEDS_WITH_LEASE;
            let table = has_lease.then_some(world.state_table.as_str());
            let variables = world.variables_with(&[("WATERMARK_TABLE", table)]);
            let mut moments = Moments(seed);
            let kills_of_seed = if has_lease { 1 } else { KILLS_PER_SEED };
            for _ in 0..kills_of_seed {
                let moment = 1 + moments.next(exchanges as u64 - 1);
                kills += u32::from(killed_after(&world, &variables, usize::try_from(moment).unwrap()).await);
            }
            runs += until_complete(&variables).await;
            world.assert_table_equals_notion().await;
        }
        let wanted = (SEEDS - SEEDS_WITH_LEASE) * KILLS_PER_SEED + SEEDS_WITH_LEASE;
        println!(
            "{SEEDS} first syncs of {PAGES} pages: {kills} of {wanted} kills came before the end ({exchanges} exchanges), \
             {runs} runs to the end, {} s",
            began.elapsed().as_secs()
        );
        assert!(u64::from(kills) * 10 >= wanted * 8, "{kills} of {wanted} kills landed in the middle");
        world.end().await;
    });
}
