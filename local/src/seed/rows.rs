//! The rows of each database.

use jiff::Timestamp;

use super::random::{Choices, id_of};
use super::{
    ACTION_COUNT, AUDIT_ACTION_COUNT, BUDGET_LINE_COUNT, PROGRAM_COUNT, PROJECT_COUNT, RISK_COUNT, TRASHED_PROJECT,
    Timeline, words,
};
use crate::notion::{DateRange, File, NewRow, Person, Value};

const MINUTES_PER_DAY: usize = 24 * 60;
/// The youngest row is this old, so that a first sync's settling time has nothing young to keep in mind.
const MINUTES_AT_LEAST_AGO: usize = 10;
/// The program whose relation to projects is longer than the 25 that a page shows.
const BUSIEST_PROGRAM_INDEX: usize = 0;
const MAX_PROGRAM_PROJECTS: usize = 30;
/// The project with as many budget lines.
const BUSIEST_PROJECT_INDEX: usize = 7;
const MAX_PROJECT_LINES: usize = 60;

fn page_id(database: &str, number: usize) -> String {
    id_of(&format!("{database} {number}"))
}

fn people(choices: &mut Choices, count: usize) -> Value {
    let first = choices.below(words::PEOPLE.len());
    let named = (0..count.min(words::PEOPLE.len())).map(|step| (first + step) % words::PEOPLE.len());
    Value::People(named.map(|place| Person::named(words::PEOPLE[place])).collect())
}

fn amount(choices: &mut Choices, up_to: usize) -> Value {
    // Two decimals always, as people type them: Notion gives numbers back as they were entered.
    Value::number(format!("{}.{:02}", choices.below(up_to), choices.below(20) * 5))
}

fn range(timeline: &Timeline, choices: &mut Choices) -> Value {
    let start = i64::try_from(choices.below(500)).unwrap_or(0);
    let length = i64::try_from(30 + choices.below(300)).unwrap_or(30);
    Value::Date(Some(DateRange { start: timeline.day(start), end: Some(timeline.day(start - length)) }))
}

/// A row with what all databases have in common: its id, times, maker.
fn row(database: &str, number: usize, count: usize, title: &str, timeline: &Timeline, choices: &mut Choices) -> NewRow {
    let (created, edited) = times(number, count, timeline, choices);
    let maker = Person::named(choices.one(&words::PEOPLE));
    NewRow::titled(title).with_id(&page_id(database, number)).created(created).edited(edited).created_by(maker)
}

/// Rows were made one after another over a year and a half, mostly a few in one minute (people paste lists), and edited
/// since; one in fifty of them today.
fn times(number: usize, count: usize, timeline: &Timeline, choices: &mut Choices) -> (Timestamp, Timestamp) {
    let span = 540 * MINUTES_PER_DAY;
    let created_ago = MINUTES_AT_LEAST_AGO + MINUTES_PER_DAY + span - (number / 4) * 4 * span / count.max(1);
    let edited_ago = if choices.chance(2) { choices.below(MINUTES_PER_DAY) } else { choices.below(created_ago) };
    let edited_ago = edited_ago.max(MINUTES_AT_LEAST_AGO).min(created_ago);
    (timeline.minutes_ago(created_ago), timeline.minutes_ago(edited_ago))
}

/// The program of a project: the largest one takes the first 30, the others share the rest.
fn program_of(project: usize) -> usize {
    if project < MAX_PROGRAM_PROJECTS { BUSIEST_PROGRAM_INDEX } else { 1 + project % (PROGRAM_COUNT - 1) }
}

/// The project of a budget line.
fn project_of_line(line: usize) -> usize {
    if line < MAX_PROJECT_LINES { BUSIEST_PROJECT_INDEX } else { line % PROJECT_COUNT }
}

fn project_of_risk(risk: usize) -> usize {
    (risk * 5) % PROJECT_COUNT
}

/// The risk that an action answers, if it answers one.
fn risk_of_action(action: usize) -> Option<usize> {
    (!action.is_multiple_of(3)).then_some((action * 7) % RISK_COUNT)
}

fn related(database: &str, count: usize, belongs: impl Fn(usize) -> bool) -> Value {
    Value::relation((0..count).filter(|number| belongs(*number)).map(|number| page_id(database, number)))
}

fn project_title(number: usize) -> String {
    let mut choices = Choices::about(&format!("project title {number}"));
    let (verb, thing) = (choices.one(&words::PROJECT_VERBS), choices.one(&words::PROJECT_THINGS));
    format!("{verb} {thing} – {}", choices.one(&words::PLACES))
}

pub(super) fn program(number: usize, timeline: &Timeline) -> NewRow {
    let choices = &mut Choices::about(&format!("program {number}"));
    let title = words::PROGRAMS[number % words::PROGRAMS.len()];
    // One program has more stakeholders than a page shows, and nothing in the page says so.
    let stakeholders = if number == BUSIEST_PROGRAM_INDEX { 31 } else { 3 + choices.below(6) };
    let goals = [choices.one(&words::GOALS), words::GOALS[number % words::GOALS.len()]];
    let row = row("programs", number, PROGRAM_COUNT, title, timeline, choices)
        .set("Code", Value::text(&format!("PRG-{:02}", number + 1)))
        .set("Status", Value::status(choices.one(&words::STATUSES)))
        .set("Sponsor", people(choices, 1))
        .set("Stakeholders", people(choices, stakeholders))
        .set("Goals", Value::multi_select(if goals[0] == goals[1] { &goals[..1] } else { &goals }))
        .set("Runs", range(timeline, choices))
        .set("Ceiling", amount(choices, 90_000_000))
        .set("Projects", related("projects", PROJECT_COUNT, |project| program_of(project) == number))
        .set("Last edited", Value::LastEditedTime)
        .emoji("🚊");
    if number + 1 == PROGRAM_COUNT { row.archived() } else { row }
}

pub(super) fn project(number: usize, timeline: &Timeline) -> NewRow {
    let choices = &mut Choices::about(&format!("project {number}"));
    let title = project_title(number);
    let team = 2 + choices.below(5);
    let mut row = row("projects", number, PROJECT_COUNT, &title, timeline, choices)
        .set("Number", Value::unique_id(Some("PRJ"), u64::try_from(number + 1).unwrap_or(0)))
        .set("Program", Value::relation([page_id("programs", program_of(number))]))
        .set("Status", Value::status(choices.one(&words::STATUSES)))
        .set("Priority", Value::select(choices.one(&words::PRIORITIES)))
        .set("Owner", people(choices, 1))
        .set("Team", people(choices, team))
        .set("Timeline", range(timeline, choices))
        .set("Health", Value::formula_text(choices.one(&words::HEALTH)))
        .set("Budget lines", related("budget_lines", BUDGET_LINE_COUNT, |line| project_of_line(line) == number))
        .set("Risks", related("risks", RISK_COUNT, |risk| project_of_risk(risk) == number))
        .set("Page", Value::Url(Some(format!("https://intranet.example.com/projects/{}", number + 1))));
    if number.is_multiple_of(4) {
        row = row.set("Charter", Value::Files(vec![File::Uploaded { name: format!("charter-{}.pdf", number + 1) }]));
    }
    match number {
        TRASHED_PROJECT => row.trashed(),
        _ if number % 12 == 11 => row.archived(),
        _ => row,
    }
}

pub(super) fn budget_line(number: usize, timeline: &Timeline) -> NewRow {
    let choices = &mut Choices::about(&format!("budget line {number}"));
    let (category, quarter) = (choices.one(&words::COST_CATEGORIES), choices.one(&words::QUARTERS));
    let title = format!("BL-{:04} {category} {quarter}", number + 1);
    let invoiced = i64::try_from(choices.below(400)).unwrap_or(0);
    let row = row("budget_lines", number, BUDGET_LINE_COUNT, &title, timeline, choices)
        .set("Project", Value::relation([page_id("projects", project_of_line(number))]))
        .set("Category", Value::select(category))
        .set("Quarter", Value::select(quarter))
        .set("Planned", amount(choices, 400_000))
        .set("Committed", amount(choices, 300_000))
        .set("Actual", if choices.chance(60) { amount(choices, 250_000) } else { Value::Number(None) })
        .set("Approved", Value::Checkbox(choices.chance(70)))
        .set("Vendor", Value::text(choices.one(&words::VENDORS)))
        .set("Invoiced", Value::date(&timeline.day(invoiced)))
        .set("Cost centre", Value::text(&format!("CC-{}", 4_000 + choices.below(90))));
    match number % 40 {
        39 => row.archived(),
        20 if number.is_multiple_of(3) => row.trashed(),
        _ => row,
    }
}

pub(super) fn risk(number: usize, timeline: &Timeline) -> NewRow {
    let choices = &mut Choices::about(&format!("risk {number}"));
    let title = format!("{} ({})", choices.one(&words::RISKS), choices.one(&words::PLACES));
    let (probability, impact) = (1 + choices.below(5), 1 + choices.below(5));
    let identified = i64::try_from(choices.below(300)).unwrap_or(0);
    let score = format!("{{\"type\":\"number\",\"number\":{}}}", probability * impact);
    let row = row("risks", number, RISK_COUNT, &title, timeline, choices)
        .set("Project", Value::relation([page_id("projects", project_of_risk(number))]))
        .set("Probability", Value::number(probability))
        .set("Impact", Value::number(impact))
        .set("Score", Value::formula(&score))
        .set("Status", Value::status(choices.one(&["Open", "Mitigated", "Accepted", "Closed"])))
        .set("Owner", people(choices, 1))
        .set("Mitigation", Value::text(choices.one(&words::MITIGATIONS)))
        .set("Identified", Value::date(&timeline.day(identified)))
        .set("Actions", related("actions", ACTION_COUNT, |action| risk_of_action(action) == Some(number)));
    if number % 24 == 23 { row.archived() } else { row }
}

pub(super) fn action(number: usize, timeline: &Timeline) -> NewRow {
    let choices = &mut Choices::about(&format!("action {number}"));
    let project = (number * 11) % PROJECT_COUNT;
    let title = format!("{} “{}”", choices.one(&words::ACTIONS), project_title(project));
    let due = i64::try_from(choices.below(120)).unwrap_or(0) - 60;
    let row = row("actions", number, ACTION_COUNT, &title, timeline, choices)
        .set("Project", Value::relation([page_id("projects", project)]))
        .set("Risk", Value::relation(risk_of_action(number).map(|risk| page_id("risks", risk))))
        .set("Assignee", people(choices, 1))
        .set("Due", Value::date(&timeline.day(due)))
        .set("Status", Value::status(choices.one(&words::STATUSES)))
        .set("Done", Value::Checkbox(choices.chance(40)));
    if number % 12 == 10 { row.archived() } else { row }
}

/// The second data source of the actions: other columns, other rows.
pub(super) fn audit_action(number: usize, timeline: &Timeline) -> NewRow {
    let number = number + ACTION_COUNT - AUDIT_ACTION_COUNT;
    let choices = &mut Choices::about(&format!("audit action {number}"));
    let project = (number * 5) % PROJECT_COUNT;
    let title = format!("Finding {}: {}", number + 1, project_title(project));
    row("actions", number, ACTION_COUNT, &title, timeline, choices)
        .set("Project", Value::relation([page_id("projects", project)]))
        .set("Severity", Value::select(choices.one(&words::PRIORITIES)))
        .set("Auditor", people(choices, 1))
        .set(
            "Evidence",
            Value::Files(vec![File::External {
                name: "minutes".to_owned(),
                url: format!("https://intranet.example.com/minutes/{number}"),
            }]),
        )
}
