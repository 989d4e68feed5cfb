//! `sync --dry-run`: it says what a sync would read and write, and changes nothing.

use notion_sync::action::{Action, SyncRequest};
use notion_sync::ids::DatabaseName;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Mode, Outcome, Preview, Report};
use notion_sync_local::notion::RowEdit;

use crate::support::process::notion_sync;
use crate::support::{World, run_test};
use crate::sync::add_rows;

async fn dry_run(world: &World, full_refresh: bool) -> Report {
    let database = DatabaseName::parse("projects").unwrap();
    let request = SyncRequest { database, full_refresh, restart: false, allow_removals: false };
    let report = world.run(&Action::DryRun(request), Deadline::none()).await;
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
    report
}

fn preview(rows_to_write: u64, sweep_follows: bool) -> Option<Preview> {
    Some(Preview { rows_to_write, sweep_follows, ..Preview::default() })
}

#[test]
fn a_dry_run_counts_what_the_sync_then_does_and_changes_nothing() {
    run_test(async {
        let world = World::new().await;
        let rows = add_rows(&world, 250);
        world.advance(600);
        world.clear_logs();
        let report = dry_run(&world, false).await;
        assert_eq!((report.mode, report.totals.pages_read), (Some(Mode::FullRefresh), 250));
        assert_eq!(report.preview, preview(250, true), "the first sync reads everything and sweeps");
        assert!(world.table().await.is_empty());
        assert_eq!((world.cached().await, world.truth().await), (None, None));

        let synced = world.sync().await;
        assert_eq!(synced.totals.pages_inserted, 250);
        let before = (world.table().await, world.cached().await, world.truth().await);
        world.advance(600);
        world.edit(|workspace| {
            for row in &rows[..3] {
                workspace.edit_row(row, RowEdit::new().title("Edited")).unwrap();
            }
        });
        world.clear_logs();
        let report = dry_run(&world, false).await;
        assert_eq!((report.mode, report.totals.pages_read), (Some(Mode::Incremental), 3));
        assert_eq!(report.preview, preview(3, false));
        assert_eq!(report.data_sources[0].watermark_before, report.data_sources[0].watermark_after);
        assert!(world.statements().is_empty(), "with a cache no warehouse starts: {:?}", world.statements());
        let report = dry_run(&world, true).await;
        assert_eq!((report.mode, report.preview), (Some(Mode::FullRefresh), preview(250, true)));
        assert_eq!((world.table().await, world.cached().await, world.truth().await), before);

        let synced = world.sync().await;
        assert_eq!((synced.totals.pages_read, synced.totals.pages_updated), (3, 3));
        // The rows of the last two minutes are read again, and are known.
        let report = dry_run(&world, false).await;
        assert_eq!((report.totals.pages_read, report.totals.pages_unchanged), (3, 3));
        assert_eq!(report.preview, preview(0, false));
        world.end().await;
    });
}

#[test]
fn without_a_cache_a_dry_run_only_reads_the_truth() {
    run_test(async {
        let world = World::builder().without_cache().build().await;
        add_rows(&world, 5);
        world.advance(600);
        world.sync().await;
        let before = (world.table().await, world.truth().await);
        world.clear_logs();
        dry_run(&world, true).await;
        let statements = world.statements();
        assert!(statements.iter().all(|text| text.starts_with("SELECT")), "{statements:?}");
        assert_eq!((world.table().await, world.truth().await), before);
        world.end().await;
    });
}

#[test]
fn the_command_line_shows_a_dry_run_as_a_table_and_as_json() {
    run_test(async {
        let world = World::new().await;
        add_rows(&world, 5);
        world.advance(600);
        world.run_clock();
        let ended = notion_sync(&world.variables, &["sync", "--dry-run"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for part in ["would do", "full refresh, sweep", "to write, at most", "dry run: nothing was written"] {
            assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
        }
        let ended = notion_sync(&world.variables, &["sync", "--dry-run", "--output", "json", "-d", "projects"]).await;
        let [report] = ended.reports().try_into().expect("one report");
        assert_eq!((&report["action"], &report["outcome"]), (&"sync".into(), &"complete".into()));
        assert_eq!(report["dry_run"]["rows_to_write"], 5);
        assert_eq!(report["data_sources"][0]["dry_run"]["sweep_follows"], true);
        assert!(world.table().await.is_empty());
        world.end().await;
    });
}
