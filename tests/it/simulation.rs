//! Random lives: people edit, archive, trash, restore and move rows, runs are cut, broken and killed at random exchanges,
//! the index lags, clocks step; in the end, after one quiet run and a sweep, the table is what Notion holds.
//!
//! `NOTION_SYNC_SIMULATION_CASES=200` runs so many lives instead of as many as fit the time, `NOTION_SYNC_SIMULATION_SEED=7`
//! begins at another seed. A failure names its seed; it goes into [`SEEDS_THAT_ONCE_FAILED`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use notion_sync::action::{Action, SweepRequest, SyncRequest};
use notion_sync::failure::FailureClass;
use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::faults::{Answer, Fault, FaultProxy, Hold, Rule};
use notion_sync_local::notion::{Destination, IndexLag, NewRow, RowEdit, SignedUrls, Workspace};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::{World, at, run_test};

/// Lives that once ended wrong, each with what was wrong.
const SEEDS_THAT_ONCE_FAILED: &[u64] = &[];

/// Where the lives of an ordinary test run begin.
const FIRST_SEED: u64 = 1_000;

/// How long an ordinary test run goes on beginning new lives.
const BUDGET: Duration = Duration::from_secs(40);

/// A plain page, outside every database.
const ELSEWHERE: &str = "5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f";

/// One life: how the workspace behaves, and what happens.
#[derive(Debug, Clone)]
struct Life {
    lag_seconds: u64,
    page_rows: usize,
    walkers: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Pass { seconds: i64 },
    ServiceClock { behind_seconds: i64 },
    People(Deed),
    Run { work: Work, fate: Fate },
}

/// What people do to the row with this number (modulo all there are).
#[derive(Debug, Clone)]
enum Deed {
    Add {
        in_second: bool,
    },
    /// Few titles, so that rows turn back to what they were.
    Edit {
        row: usize,
        title: u8,
    },
    Archive {
        row: usize,
        is_archived: bool,
    },
    Trash {
        row: usize,
        is_trashed: bool,
    },
    Share {
        row: usize,
        is_shared: bool,
    },
    Move {
        row: usize,
        to: u8,
    },
    Delete {
        row: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Sync,
    FullRefresh,
    Sweep,
}

/// What befalls a run, at the exchange with this index.
#[derive(Debug, Clone)]
enum Fate {
    Quiet,
    EditedMeanwhile { after_requests: u32, row: usize, title: u8 },
    Cut { at_warehouse: bool, index: u64 },
    Broken { place: u8, index: u64, fault: u8 },
    Killed { place: u8, index: u64, is_applied: bool },
}

fn deed() -> impl Strategy<Value = Deed> {
    let row = 0usize..40;
    prop_oneof![
        3 => any::<bool>().prop_map(|in_second| Deed::Add { in_second }),
        8 => (row.clone(), 0u8..3).prop_map(|(row, title)| Deed::Edit { row, title }),
        2 => (row.clone(), any::<bool>()).prop_map(|(row, is_archived)| Deed::Archive { row, is_archived }),
        2 => (row.clone(), any::<bool>()).prop_map(|(row, is_trashed)| Deed::Trash { row, is_trashed }),
        1 => (row.clone(), any::<bool>()).prop_map(|(row, is_shared)| Deed::Share { row, is_shared }),
        2 => (row.clone(), 0u8..3).prop_map(|(row, to)| Deed::Move { row, to }),
        1 => row.prop_map(|row| Deed::Delete { row }),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Quiet),
        2 => (1u32..9, 0usize..40, 0u8..3)
            .prop_map(|(after_requests, row, title)| Fate::EditedMeanwhile { after_requests, row, title }),
        2 => (any::<bool>(), 0u64..12).prop_map(|(at_warehouse, index)| Fate::Cut { at_warehouse, index }),
        2 => (0u8..3, 0u64..10, 0u8..6).prop_map(|(place, index, fault)| Fate::Broken { place, index, fault }),
        2 => (0u8..3, 0u64..10, any::<bool>())
            .prop_map(|(place, index, is_applied)| Fate::Killed { place, index, is_applied }),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let work = prop_oneof![6 => Just(Work::Sync), 1 => Just(Work::FullRefresh), 2 => Just(Work::Sweep)];
    let step = prop_oneof![
        3 => prop_oneof![1i64..50, 60i64..1_500].prop_map(|seconds| Step::Pass { seconds }),
        1 => (-900i64..900).prop_map(|behind_seconds| Step::ServiceClock { behind_seconds }),
        6 => deed().prop_map(Step::People),
        5 => (work, fate()).prop_map(|(work, fate)| Step::Run { work, fate }),
    ];
    let lag_seconds = prop_oneof![2 => Just(0u64), 1 => Just(50), 1 => Just(110)];
    let parts = (lag_seconds, 3usize..9, 1usize..6, prop::collection::vec(step, 10..30));
    parts.prop_map(|(lag_seconds, page_rows, walkers, steps)| Life { lag_seconds, page_rows, walkers, steps })
}

/// The life of a seed, the same on every machine.
fn life_of(seed: u64) -> Life {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    life().new_tree(&mut runner).unwrap().current()
}

/// What people know of a row.
#[derive(Debug, Clone)]
struct SimulatedRow {
    id: String,
    is_deleted: bool,
    is_trashed: bool,
    is_unshared: bool,
    is_elsewhere: bool,
    /// Something happened to it that moves no edit time: only a sweep is sure to see it.
    is_housekept: bool,
}

struct Simulation {
    world: World,
    second: String,
    rows: Vec<SimulatedRow>,
    /// Notion's time; the service's may be behind or (negative) ahead.
    now: Timestamp,
    behind: SignedDuration,
    /// `synced_through` as last seen: of the truth, and of the cache.
    seen: [Option<Timestamp>; 2],
}

impl Simulation {
    async fn begin(life: &Life) -> Self {
        let lag = match life.lag_seconds {
            0 => IndexLag::None,
            seconds => IndexLag::Milliseconds(seconds * 1_000),
        };
        let world = World::builder()
            .variable("BATCH_SIZE", &life.page_rows.to_string())
            .variable("WALKERS", &life.walkers.to_string())
            .variable("MERGE_BATCH_BYTES", "64KiB")
            .build()
            .await;
        let now = at("2026-11-22T12:00:30Z");
        let second = world.edit(|workspace| {
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            workspace.settings_mut().index_lag = lag;
            second
        });
        let mut simulation =
            Self { world, second, rows: Vec::new(), now, behind: SignedDuration::ZERO, seen: [None; 2] };
        (0..24).for_each(|number| simulation.people(&Deed::Add { in_second: number % 3 == 2 }));
        simulation
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.world.set_time(self.now);
        self.world.set_service_clock(self.now - self.behind);
    }

    fn people(&mut self, deed: &Deed) {
        let (rows, world) = (&mut self.rows, &self.world);
        let count = rows.len().max(1);
        world.edit(|workspace| match deed {
            Deed::Add { in_second } => {
                let source = if *in_second { &self.second } else { &world.data_source_id };
                let id = workspace.add_row(source, NewRow::titled("New")).unwrap();
                rows.push(SimulatedRow {
                    id,
                    is_deleted: false,
                    is_trashed: false,
                    is_unshared: false,
                    is_elsewhere: false,
                    is_housekept: false,
                });
            }
            Deed::Edit { row, title } => edit(workspace, &rows[row % count], *title),
            Deed::Archive { row, is_archived } => housekeep(&mut rows[row % count], |row| {
                if *is_archived { workspace.archive(&row.id).unwrap() } else { workspace.unarchive(&row.id).unwrap() }
            }),
            Deed::Trash { row, is_trashed } => housekeep(&mut rows[row % count], |row| {
                row.is_trashed = *is_trashed;
                if *is_trashed { workspace.trash(&row.id).unwrap() } else { workspace.restore(&row.id).unwrap() }
            }),
            Deed::Share { row, is_shared } => housekeep(&mut rows[row % count], |row| {
                row.is_unshared = !is_shared;
                if *is_shared { workspace.share(&row.id).unwrap() } else { workspace.unshare(&row.id).unwrap() }
            }),
            Deed::Move { row, to } => housekeep(&mut rows[row % count], |row| {
                row.is_elsewhere = *to == 2;
                let to = match to {
                    0 => Destination::DataSource(world.data_source_id.clone()),
                    1 => Destination::DataSource(self.second.clone()),
                    _ => Destination::Page(ELSEWHERE.to_owned()),
                };
                workspace.move_row(&row.id, &to).unwrap();
            }),
            Deed::Delete { row } => housekeep(&mut rows[row % count], |row| {
                row.is_deleted = true;
                workspace.delete_for_good(&row.id).unwrap();
            }),
        });
    }

    fn action(&self, work: Work) -> Action {
        let database = self.world.app().config().databases[0].name.clone();
        match work {
            Work::Sweep => Action::Sweep(SweepRequest { database, allow_removals: false }),
            Work::Sync | Work::FullRefresh => Action::Sync(SyncRequest {
                database,
                full_refresh: matches!(work, Work::FullRefresh),
                restart: false,
                allow_removals: false,
            }),
        }
    }

    async fn run(&mut self, work: Work, fate: &Fate) {
        let action = self.action(work);
        let report = match fate {
            Fate::Quiet => Some(self.world.run(&action, Deadline::none()).await),
            Fate::EditedMeanwhile { after_requests, row, title } => {
                let (row, title) = (self.rows[row % self.rows.len()].clone(), *title);
                let edit = move |workspace: &mut Workspace| edit(workspace, &row, title);
                self.world.edit(|workspace| workspace.after_requests(*after_requests, edit));
                let report = self.world.run(&action, Deadline::none()).await;
                self.world.edit(Workspace::clear_hooks);
                Some(report)
            }
            Fate::Cut { at_warehouse, index } => Some(self.cut(&action, *at_warehouse, *index).await),
            Fate::Broken { place, index, fault } => {
                let proxy = self.proxy(*place);
                proxy.forget_exchanges();
                proxy.add(Rule::new(broken(*place, *fault)).exchange(*index));
                let report = self.world.run(&action, Deadline::none()).await;
                self.proxy(*place).clear_rules();
                Some(report)
            }
            Fate::Killed { place, index, is_applied } => self.kill(&action, *place, *index, *is_applied).await,
        };
        if let Some(error) = report.and_then(|report| report.error) {
            let unexpected = [FailureClass::ProofFailed, FailureClass::Internal, FailureClass::RowCountMismatch];
            assert!(!unexpected.contains(&error.class), "{fate:?}: {}", error.message);
        }
        self.check().await;
    }

    fn proxy(&self, place: u8) -> &FaultProxy {
        [&self.world.notion_faults, &self.world.databricks_faults, &self.world.aws_faults][usize::from(place)]
    }

    async fn cut(&mut self, action: &Action, at_warehouse: bool, index: u64) -> Report {
        let answer = if at_warehouse {
            Answer::databricks(429, "RESOURCE_EXHAUSTED", "Too many requests.").retry_after(Some(3_600))
        } else {
            Answer::notion_overloaded(Some(3_600))
        };
        let proxy = self.proxy(u8::from(at_warehouse));
        proxy.forget_exchanges();
        proxy.add(Rule::new(Fault::Answer(answer)).exchange(index));
        let report = self.world.run(action, Deadline::after(Duration::from_secs(60))).await;
        self.proxy(u8::from(at_warehouse)).clear_rules();
        self.world.restart().await;
        report
    }

    /// The process is gone while this exchange is under way. What it had submitted ends by itself.
    async fn kill(&mut self, action: &Action, place: u8, index: u64, is_applied: bool) -> Option<Report> {
        let hold = Hold::new();
        let fault = if is_applied { Fault::HoldAnswer(hold.clone()) } else { Fault::HoldRequest(hold.clone()) };
        self.proxy(place).forget_exchanges();
        self.proxy(place).add(Rule::new(fault).exchange(index));
        let report = self.world.run_until_killed(action, &hold).await;
        self.proxy(place).clear_rules();
        while self.world.databricks.open_statements() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Its lease is still there, and nobody renews it.
        self.pass(25);
        report
    }

    /// Neither truth nor cache went back, and neither passed an edit that the table lacks.
    async fn check(&mut self) {
        let now = [self.world.truth().await, self.world.cached().await];
        for (seen, now) in self.seen.iter().zip(now) {
            assert!(now >= *seen, "a watermark went back from {seen:?} to {now:?}");
        }
        self.seen = now;
        let Some(synced_through) = now.into_iter().flatten().max() else { return };
        let housekept: BTreeSet<&str> =
            self.rows.iter().filter(|row| row.is_housekept).map(|row| row.id.as_str()).collect();
        let expected =
            self.world.edit(|workspace| workspace.expected(&self.world.database_id, SignedUrls::LeftOut).unwrap());
        let table = self.world.table().await;
        for row in expected {
            let is_passed =
                row.data_source_id == self.world.data_source_id && at(&row.last_edited_time) < synced_through;
            if is_passed && !housekept.contains(row.page_id.as_str()) {
                let held = table.get(&row.page_id).map(|held| at(&held.last_edited_time));
                assert!(
                    held >= Some(at(&row.last_edited_time)),
                    "{synced_through} passed page {}, edited {}, held {held:?}",
                    row.page_id,
                    row.last_edited_time
                );
            }
        }
    }

    async fn end(mut self) {
        self.behind = SignedDuration::ZERO;
        self.pass(1_200);
        self.world.restart().await;
        for tries in 0.. {
            let report = self.world.try_sync().await;
            assert!(report.error.is_none() && tries < 5, "{:?}", report.error);
            if report.outcome == Outcome::Complete {
                break;
            }
        }
        let swept = self.world.try_sweep(true).await;
        assert_eq!(swept.outcome, Outcome::Complete, "{:?}", swept.error);
        self.check().await;
        self.world.assert_table_equals_notion().await;
        self.world.end().await;
    }
}

/// Edits a row, unless it is where nobody can.
fn edit(workspace: &mut Workspace, row: &SimulatedRow, title: u8) {
    if !(row.is_deleted || row.is_trashed || row.is_unshared || row.is_elsewhere) {
        let title = ["A", "B", "C"][usize::from(title % 3)];
        workspace.edit_row(&row.id, RowEdit::new().title(title)).unwrap();
    }
}

fn housekeep(row: &mut SimulatedRow, work: impl FnOnce(&mut SimulatedRow)) {
    if !row.is_deleted {
        row.is_housekept = true;
        work(row);
    }
}

fn broken(place: u8, fault: u8) -> Fault {
    let unavailable = match place {
        0 => Answer::notion(500, "internal_server_error", "Unexpected error occurred."),
        1 => Answer::databricks(503, "TEMPORARILY_UNAVAILABLE", "Busy."),
        _ => Answer::dynamodb(400, "ProvisionedThroughputExceededException", "Slow down."),
    };
    let refused = match place {
        0 => Answer::notion(400, "validation_error", "No."),
        1 => Answer::databricks(400, "BAD_REQUEST", "No."),
        _ => Answer::dynamodb(400, "AccessDeniedException", "No."),
    };
    match fault {
        0 => Fault::Answer(unavailable),
        1 => Fault::Answer(refused),
        2 => Fault::Answer(Answer::html_bad_gateway()),
        3 => Fault::ResetBefore,
        4 => Fault::ResetAfter,
        _ => Fault::TruncateBody,
    }
}

async fn live(seed: u64) {
    let life = life_of(seed);
    let told = format!("seed {seed}: {life:#?}");
    // Told when the life ends wrong, and only then.
    let guard = Told(told);
    let mut simulation = Simulation::begin(&life).await;
    for step in &life.steps {
        match step {
            Step::Pass { seconds } => simulation.pass(*seconds),
            Step::ServiceClock { behind_seconds } => {
                simulation.behind = SignedDuration::from_secs(*behind_seconds);
                simulation.pass(0);
            }
            Step::People(deed) => simulation.people(deed),
            Step::Run { work, fate } => simulation.run(*work, fate).await,
        }
    }
    simulation.end().await;
    drop(guard);
}

/// Prints its text when a check fails.
pub(crate) struct Told(pub(crate) String);

impl Drop for Told {
    #[expect(clippy::print_stdout, reason = "a test's own words; cargo shows them when it fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment how long to go on")]
pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn after_a_random_life_a_quiet_run_and_a_sweep_the_table_is_what_notion_holds() {
    let began = Instant::now();
    let cases = number("NOTION_SYNC_SIMULATION_CASES");
    let first = number("NOTION_SYNC_SIMULATION_SEED").unwrap_or(FIRST_SEED);
    let mut lives = 0;
    while cases.map_or(began.elapsed() < BUDGET, |cases| lives < cases) {
        run_test(live(first + lives));
        lives += 1;
    }
    println!("{lives} lives");
}

#[test]
fn lives_that_once_ended_wrong_end_right() {
    for seed in SEEDS_THAT_ONCE_FAILED {
        run_test(live(*seed));
    }
}
