//! Answers that nobody expects: while people work, one answer of Notion or Databricks, or all from one on, comes with
//! another status, cut, without a key, with a null, with another object's id, or with a shorter list.
//!
//! Two things must hold. A run that calls itself complete leaves the table equal to Notion, as far as its work goes. And a
//! row is marked as removed only if it is.
//!
//! Some mutations no client can see: a result that lacks a row and says that there is no more, or a page that lies about
//! its trash. For those only the second holds where Notion did not itself say something false about that row, and the next
//! full refresh must mend the rest. [`Mutation::is_visible`] says which ones they are.
//!
//! `NOTION_SYNC_MUTATIONS=10000` makes so many runs for each service instead of the usual number, `NOTION_SYNC_MUTATIONS_SEED=7` begins at
//! another seed. A failure names its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notion_sync::run::deadline::Deadline;
use notion_sync::run::report::{Outcome, Report};
use notion_sync_local::faults::{Fault, Rewrite, Rule};
use notion_sync_local::notion::{NewRow, RowEdit, SignedUrls, Value, Workspace};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::simulation::{Told, number};
use crate::support::{TableRow, World, at, run_test_within};

/// Where the seeds of an ordinary test run begin.
const FIRST_SEED: u64 = 1;
/// Runs of an ordinary test run, for each of the two services.
const RUNS: u64 = 250;
/// Runs that share a world.
const RUNS_PER_WORLD: u64 = 100;
/// The time that so many runs may take.
const BOUND: Duration = Duration::from_secs(900);
const PAGE_ID: &str = "5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d4e5f";

/// Random numbers out of a seed, the same on every machine.
struct Dice(TestRng);

impl Dice {
    fn of(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.0.next_u64() % count.max(1) as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A change of one answer.
#[derive(Debug, Clone)]
enum Mutation {
    /// Another status around the same body.
    Status(u16),
    /// Another body: a proxy's page, a gateway's JSON, nothing, `null`, a list.
    Body(&'static str),
    /// A refusal in Notion's words about another object.
    ForeignRefusal,
    /// The first so many parts of a hundred of the body.
    Cut(usize),
    /// A key is missing, or null. The number chooses among the keys of the frame.
    Key { at: usize, is_null: bool },
    /// Another id in the frame of a single object.
    OtherId,
    /// A list in the frame loses an element; the number chooses list and element.
    ShorterList { at: usize },
    /// The last page of a list, it says.
    NoMore,
    /// The flag of the trash is turned round.
    TurnedTrash,
}

const STATUSES: [u16; 14] = [201, 204, 302, 400, 401, 404, 409, 413, 429, 500, 502, 503, 504, 520];
const BODIES: [&str; 6] = [
    "",
    "null",
    "[]",
    "{}",
    "<html><title>Sign in</title></html>",
    r#"{"message":"no Route matched with those values"}"#,
];

impl Mutation {
    fn roll(dice: &mut Dice) -> Self {
        match dice.below(24) {
            0..4 => Self::Status(STATUSES[dice.below(STATUSES.len())]),
            4..6 => Self::Body(BODIES[dice.below(BODIES.len())]),
            6..8 => Self::ForeignRefusal,
            8..10 => Self::Cut(dice.below(100)),
            10..19 => Self::Key { at: dice.below(1_000), is_null: dice.one_in(2) },
            19 | 20 => Self::OtherId,
            21 => Self::ShorterList { at: dice.below(1_000) },
            22 => Self::NoMore,
            _ => Self::TurnedTrash,
        }
    }

    /// Returns whether a client can tell that the answer to this path is not the true one, or need not care.
    fn is_visible(&self, place: Place) -> bool {
        match self {
            // Databricks says how many rows and parts a result has. Notion does not.
            Self::ShorterList { .. } => place == Place::Databricks,
            Self::NoMore | Self::TurnedTrash => false,
            _ => true,
        }
    }

    fn apply(&self, status: u16, body: Vec<u8>) -> (u16, Vec<u8>) {
        let text = String::from_utf8(body.clone()).unwrap_or_default();
        let changed = match self {
            Self::Status(status) => return (*status, body),
            Self::Body(text) => Some((*text).to_owned()),
            Self::ForeignRefusal => {
                let message = format!("Could not find page with ID: {PAGE_ID}.");
                let refusal = serde_json::json!({"object": "error", "status": 404, "code": "object_not_found", "message": message});
                return (404, refusal.to_string().into_bytes());
            }
            Self::Cut(percent) => return (status, body[..body.len() * percent / 100].to_vec()),
            Self::Key { at, is_null } => without_key(&text, *at, *is_null),
            Self::OtherId => {
                with(&text, "id", &format!("{PAGE_ID:?}")).or_else(|| with(&text, "statement_id", "\"other\""))
            }
            Self::ShorterList { at } => with_shorter_list(&text, *at),
            Self::NoMore => with(&text, "has_more", "false").and_then(|text| with(&text, "next_cursor", "null")),
            Self::TurnedTrash => {
                let is_trashed = entry(&text, "in_trash").is_some_and(|value| value == "true");
                with(&text, "in_trash", if is_trashed { "false" } else { "true" })
            }
        };
        (status, changed.map_or(body, String::into_bytes))
    }
}

/// The entries of an object in their order, each value as its text.
struct Entries(Vec<(String, Box<RawValue>)>);

impl Entries {
    fn of(text: &str) -> Option<Self> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        serde_json::Deserializer::from_str(text).deserialize_map(InOrder).ok()
    }

    fn text(&self) -> String {
        let entries: Vec<_> = self.0.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
        format!("{{{}}}", entries.join(","))
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn entry(text: &str, key: &str) -> Option<String> {
    let entries = Entries::of(text)?;
    entries.0.into_iter().find(|(found, _)| found == key).map(|(_, value)| value.get().to_owned())
}

/// The object with another value under a key that it has.
fn with(text: &str, key: &str, value: &str) -> Option<String> {
    let mut entries = Entries::of(text)?;
    entries.0.iter_mut().find(|(found, _)| found == key)?.1 = raw(value);
    Some(entries.text())
}

/// The keys of the frames: what says how an answer is to be read. What a row holds is no frame.
fn is_frame(path: &[String]) -> bool {
    const NOTIONS: [&str; 6] = ["object", "id", "results", "has_more", "next_cursor", "data_sources"];
    const DATABRICKS: [&str; 4] = ["statement_id", "status", "manifest", "result"];
    match path {
        [key] => NOTIONS.contains(&key.as_str()) || DATABRICKS.contains(&key.as_str()),
        [first, ..] => DATABRICKS.contains(&first.as_str()),
        [] => false,
    }
}

fn paths(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    for (key, value) in Entries::of(text).map(|entries| entries.0).unwrap_or_default() {
        let path = [prefix, &[key]].concat();
        if is_frame(&path) {
            paths(value.get(), &path, found);
            found.push(path);
        }
    }
}

/// The text with one key of its frame gone or null.
fn without_key(text: &str, at: usize, is_null: bool) -> Option<String> {
    let mut found = Vec::new();
    paths(text, &[], &mut found);
    let path = found.get(at % found.len().max(1))?;
    change_at(text, path, &|entries, key| {
        if is_null {
            entries.iter_mut().filter(|(found, _)| found == key).for_each(|(_, value)| *value = raw("null"));
        } else {
            entries.retain(|(found, _)| found != key);
        }
    })
}

/// The text with one list of its frame shorter by one element.
fn with_shorter_list(text: &str, at: usize) -> Option<String> {
    let mut found = Vec::new();
    paths(text, &[], &mut found);
    let lists = ["results", "data_sources", "data_array", "chunks", "columns"];
    found.retain(|path| path.last().is_some_and(|key| lists.contains(&key.as_str())));
    let path = found.get(at % found.len().max(1))?;
    change_at(text, path, &|entries, key| {
        for (_, value) in entries.iter_mut().filter(|(found, _)| found == key) {
            let mut elements: Vec<Box<RawValue>> = serde_json::from_str(value.get()).unwrap_or_default();
            if !elements.is_empty() {
                elements.remove(at / 7 % elements.len());
                let elements: Vec<&str> = elements.iter().map(|element| element.get()).collect();
                *value = raw(&format!("[{}]", elements.join(",")));
            }
        }
    })
}

type EntryChange<'a> = &'a dyn Fn(&mut Vec<(String, Box<RawValue>)>, &str);

fn change_at(text: &str, path: &[String], change: EntryChange<'_>) -> Option<String> {
    let mut entries = Entries::of(text)?;
    match path {
        [key] => change(&mut entries.0, key),
        [key, rest @ ..] => {
            let (_, value) = entries.0.iter_mut().find(|(found, _)| found == key)?;
            *value = raw(&change_at(value.get(), rest, change)?);
        }
        [] => return None,
    }
    Some(entries.text())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Notion,
    Databricks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Sync,
    Sweep,
    FullRefresh,
}

/// One run and what happens to its answers.
#[derive(Debug)]
struct Attempt {
    work: Work,
    place: Place,
    mutation: Mutation,
    /// The run's exchanges before this one are left alone; the first answer from then on that can change does.
    index: u64,
    /// All answers after that change as well.
    lasts: bool,
}

impl Attempt {
    fn roll(place: Place, dice: &mut Dice) -> Self {
        let work = [Work::Sync, Work::Sync, Work::Sync, Work::Sweep, Work::FullRefresh][dice.below(5)];
        let index = dice.below(if place == Place::Notion { 8 } else { 3 }) as u64;
        Self { work, place, mutation: Mutation::roll(dice), index, lasts: dice.one_in(3) }
    }
}

struct Stage {
    world: World,
    /// Rows of both data sources.
    rows: Vec<String>,
    trashed: BTreeSet<String>,
    /// Rows to which something happened that moves no edit time, since the last complete comparison.
    housekept: BTreeSet<String>,
    /// An answer that no client can see through has come since the last full refresh that mended it.
    is_misled: bool,
}

impl Stage {
    async fn set() -> Self {
        let world = World::builder().variable("BATCH_SIZE", "5").variable("RATE_LIMIT_DELAY", "1ms").build().await;
        let created = |number: i64| at("2026-01-01T00:00:00Z") + jiff::SignedDuration::from_mins(number);
        let rows = world.edit(|workspace| {
            let second = workspace.add_data_source(&world.database_id, "Second").unwrap();
            let targets =
                (0..40).map(|number| format!("5d0e7c1a-4f3b-4c2d-9e8f-0a1b2c3d{number:04x}")).collect::<Vec<_>>();
            let mut row = |number: i64| {
                let source = if number % 3 == 2 { &second } else { &world.data_source_id };
                let row = NewRow::titled(&format!("Row {number}")).created(created(number)).edited(created(number));
                let row = if number == 4 { row.set("Tasks", Value::relation(targets.clone())) } else { row };
                workspace.add_row(source, row).unwrap()
            };
            (0..12).map(&mut row).collect::<Vec<_>>()
        });
        world.sync().await;
        Self { world, rows, trashed: BTreeSet::new(), housekept: BTreeSet::new(), is_misled: false }
    }

    /// People work between two runs, or rest.
    fn people(&mut self, dice: &mut Dice) {
        self.world.advance(600);
        if dice.one_in(3) {
            return;
        }
        let row = self.rows[dice.below(self.rows.len())].clone();
        let title = dice.pick(&["A", "B", "C"]);
        // More edits than a result page has rows.
        let edited = if dice.one_in(3) { self.rows.clone() } else { vec![row.clone()] };
        let turns = dice.one_in(4);
        let world = &self.world;
        let (trashed, housekept) = (&mut self.trashed, &mut self.housekept);
        world.edit(|workspace: &mut Workspace| {
            if turns {
                housekept.insert(row.clone());
                if trashed.remove(&row) {
                    workspace.restore(&row).unwrap();
                } else if trashed.len() < 3 {
                    workspace.trash(&row).unwrap();
                    trashed.insert(row.clone());
                }
            } else {
                for row in edited.iter().filter(|row| !trashed.contains(*row)) {
                    workspace.edit_row(row, RowEdit::new().title(title)).unwrap();
                }
            }
        });
        // Until here and no later an edit is settled.
        self.world.advance(600);
    }

    /// Makes a run; returns whether its answer was changed.
    async fn run(&mut self, attempt: &Attempt) -> bool {
        let is_changed = Arc::new(Mutex::new(false));
        let (mutation, lasts, flag) = (attempt.mutation.clone(), attempt.lasts, is_changed.clone());
        let rewrite = Rewrite::new(move |status, body| {
            let mut is_changed = flag.lock().unwrap();
            if *is_changed && !lasts {
                return (status, body);
            }
            let changed = mutation.apply(status, body.clone());
            *is_changed |= changed != (status, body);
            changed
        });
        let proxy = match attempt.place {
            Place::Notion => &self.world.notion_faults,
            Place::Databricks => &self.world.databricks_faults,
        };
        proxy.forget_exchanges();
        proxy.add(Rule::new(Fault::Rewrite(rewrite)).skip(attempt.index).always());
        self.world.databricks.clear_log();
        let report = match attempt.work {
            Work::Sync => self.world.try_sync().await,
            Work::Sweep => self.world.try_sweep(true).await,
            Work::FullRefresh => self.world.try_sync_within(Deadline::none(), true).await,
        };
        self.world.notion_faults.clear_rules();
        self.world.databricks_faults.clear_rules();
        let is_changed = *is_changed.lock().unwrap();
        if is_changed && !attempt.mutation.is_visible(attempt.place) {
            self.is_misled = true;
        }
        self.check(attempt, &report).await;
        is_changed
    }

    async fn check(&mut self, attempt: &Attempt, report: &Report) {
        let is_complete = report.outcome == Outcome::Complete && !self.is_misled;
        if !is_complete && self.world.statements().is_empty() {
            return;
        }
        let expected =
            self.world.edit(|workspace| workspace.expected(&self.world.database_id, SignedUrls::LeftOut).unwrap());
        let table = self.world.table().await;
        let lies_about_trash = matches!(attempt.mutation, Mutation::TurnedTrash);
        if !lies_about_trash && !self.is_misled {
            for row in &expected {
                let is_removed = table.get(&row.page_id).is_some_and(|held| held.is_removed);
                assert!(
                    !is_removed || self.housekept.contains(&row.page_id),
                    "page {} is removed and is not",
                    row.page_id
                );
            }
        }
        if !is_complete {
            return;
        }
        if attempt.work == Work::Sync {
            for row in expected.iter().filter(|row| !self.housekept.contains(&row.page_id)) {
                let held = table.get(&row.page_id).unwrap_or_else(|| panic!("the table lacks page {}", row.page_id));
                assert!(!held.is_removed, "page {} is removed", row.page_id);
                assert_eq!(held.last_edited_time, row.last_edited_time, "edit time of page {}", row.page_id);
                let payload = notion_sync_local::verify::without_signatures(&held.payload);
                assert_eq!(payload, row.payload, "payload of page {}", row.page_id);
            }
        } else {
            self.world.assert_table_equals_notion().await;
            self.housekept.clear();
        }
        self.check_hydration(&table, report);
    }

    /// A value that Notion cut is whole in the table, or the report says that it is not.
    fn check_hydration(&self, table: &BTreeMap<String, TableRow>, report: &Report) {
        let Some(row) = table.get(&self.rows[4]).filter(|row| !row.is_removed) else { return };
        let hydrated = row.hydrated_properties.as_deref().unwrap_or_default();
        let shown = (0..40).filter(|number| hydrated.contains(&format!("0a1b2c3d{number:04x}"))).count();
        let is_said =
            hydrated.contains("\"complete\":false") || report.warnings.iter().any(|text| text.contains("Tasks"));
        assert!(shown == 40 || is_said, "{shown} of 40 entries, and said to be whole: {hydrated}");
    }

    /// A full refresh on quiet answers mends everything.
    async fn mend(&mut self) {
        self.world.advance(600);
        let report = self.world.try_sync_within(Deadline::none(), true).await;
        assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.error);
        self.world.assert_table_equals_notion().await;
        self.housekept.clear();
        self.is_misled = false;
    }
}

/// Makes the runs of consecutive seeds in one world; returns the number of runs with a changed answer.
async fn runs(place: Place, seeds: Range<u64>) -> u64 {
    let mut stage = Stage::set().await;
    let mut changed = 0;
    for seed in seeds.clone() {
        let mut dice = Dice::of(seed);
        let attempt = Attempt::roll(place, &mut dice);
        let guard = Told(format!("seed {seed}, in the world that began with seed {}: {attempt:?}", seeds.start));
        stage.people(&mut dice);
        changed += u64::from(stage.run(&attempt).await);
        if stage.is_misled {
            stage.mend().await;
        }
        drop(guard);
    }
    stage.mend().await;
    stage.world.end().await;
    changed
}

/// Makes runs with changed answers of one service.
fn make_runs(place: Place) {
    let wanted = number("NOTION_SYNC_MUTATIONS").unwrap_or(RUNS);
    let first = number("NOTION_SYNC_MUTATIONS_SEED").unwrap_or(FIRST_SEED);
    let (mut made, mut changed) = (0, 0);
    while made < wanted {
        let count = RUNS_PER_WORLD.min(wanted - made);
        run_test_within(BOUND, async {
            changed += runs(place, first + made..first + made + count).await;
        });
        made += count;
    }
    println!("{made} runs, {changed} of them with a changed answer of {place:?}");
}

#[test]
fn no_changed_answer_of_notion_makes_a_run_complete_that_is_not_or_removes_a_row_that_is_there() {
    make_runs(Place::Notion);
}

#[test]
fn no_changed_answer_of_databricks_makes_a_run_complete_that_is_not_or_removes_a_row_that_is_there() {
    make_runs(Place::Databricks);
}
