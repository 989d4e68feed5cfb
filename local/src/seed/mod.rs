//! A believable workspace: programs, projects, budget lines, risks and actions of an organisation that runs trams.
//!
//! The same each time but for the times, which lie before the `now` given: ids, texts, relations, people and the order of
//! everything depend on nothing else. Some rows are archived, some lie in the trash, some relations and people exceed the
//! 25 that a page shows, some files have signed URLs, and `actions` has two data sources.

mod random;
mod rows;
mod words;

use jiff::Timestamp;

use super::notion::{NewRow, Workspace, WorkspaceError};

/// The five databases, in the order in which they are added.
pub const DATABASES: [&str; 5] = ["programs", "projects", "budget_lines", "risks", "actions"];

pub(super) const PROGRAM_COUNT: usize = 12;
pub(super) const PROJECT_COUNT: usize = 72;
pub(super) const BUDGET_LINE_COUNT: usize = 1_260;
pub(super) const RISK_COUNT: usize = 96;
pub(super) const ACTION_COUNT: usize = 120;
/// A project that is in the trash; the demo restores it.
pub(super) const TRASHED_PROJECT: usize = 50;
/// Of [`ACTION_COUNT`], those in the second data source.
pub(super) const AUDIT_ACTION_COUNT: usize = 24;

/// One database of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededDatabase {
    /// Its configured name, such as `budget_lines`.
    pub name: &'static str,
    /// Its id in Notion.
    pub database_id: String,
    /// Its data sources and their rows.
    pub data_sources: Vec<SeededDataSource>,
}

/// One data source of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededDataSource {
    /// Its name in Notion.
    pub name: &'static str,
    /// Its id in Notion.
    pub id: String,
    /// The ids of its rows, oldest first; archived ones and those in the trash too.
    pub page_ids: Vec<String>,
}

impl SeededDatabase {
    /// The variable that configures the database.
    pub fn variable(&self) -> String {
        format!("NOTION_{}_DB_ID", self.name.to_ascii_uppercase())
    }
}

/// A data source to be made: where it belongs, what it is called, how many rows it gets and how each looks.
struct Plan {
    database: &'static str,
    database_title: &'static str,
    data_source: &'static str,
    count: usize,
    row: fn(usize, &Timeline) -> NewRow,
    /// Relation properties and the database they lead to.
    relations: &'static [(&'static str, &'static str)],
}

const PLANS: [Plan; 6] = [
    Plan {
        database: "programs",
        database_title: "Programs",
        data_source: "Programs",
        count: PROGRAM_COUNT,
        row: rows::program,
        relations: &[("Projects", "projects")],
    },
    Plan {
        database: "projects",
        database_title: "Projects",
        data_source: "Projects",
        count: PROJECT_COUNT,
        row: rows::project,
        relations: &[("Program", "programs"), ("Budget lines", "budget_lines"), ("Risks", "risks")],
    },
    Plan {
        database: "budget_lines",
        database_title: "Budget lines",
        data_source: "Budget lines",
        count: BUDGET_LINE_COUNT,
        row: rows::budget_line,
        relations: &[("Project", "projects")],
    },
    Plan {
        database: "risks",
        database_title: "Risks",
        data_source: "Risks",
        count: RISK_COUNT,
        row: rows::risk,
        relations: &[("Project", "projects"), ("Actions", "actions")],
    },
    Plan {
        database: "actions",
        database_title: "Actions",
        data_source: "Actions",
        count: ACTION_COUNT - AUDIT_ACTION_COUNT,
        row: rows::action,
        relations: &[("Project", "projects"), ("Risk", "risks")],
    },
    Plan {
        database: "actions",
        database_title: "Actions",
        data_source: "Actions from audits",
        count: AUDIT_ACTION_COUNT,
        row: rows::audit_action,
        relations: &[("Project", "projects")],
    },
];

/// Fills an empty workspace; every row was made and last edited some time before `now`.
///
/// # Errors
/// When the workspace holds one of the ids already, that is, when it was filled before.
pub fn fill(workspace: &mut Workspace, now: Timestamp) -> Result<Vec<SeededDatabase>, WorkspaceError> {
    let timeline = Timeline { now };
    let mut databases: Vec<SeededDatabase> = Vec::new();
    for plan in &PLANS {
        if databases.last().is_none_or(|database| database.name != plan.database) {
            let database_id = random::id_of(&format!("database {}", plan.database));
            let database_id = workspace.add_database_with_id(&database_id, plan.database_title)?;
            databases.push(SeededDatabase { name: plan.database, database_id, data_sources: Vec::new() });
        }
        let Some(database) = databases.last_mut() else { continue };
        let id = workspace.add_data_source(&database.database_id, plan.data_source)?;
        let rows = (0..plan.count).map(|number| workspace.add_row(&id, (plan.row)(number, &timeline)));
        let page_ids = rows.collect::<Result<Vec<String>, WorkspaceError>>()?;
        database.data_sources.push(SeededDataSource { name: plan.data_source, id, page_ids });
    }
    relate(workspace, &databases)?;
    Ok(databases)
}

/// Tells Notion's schema where the relations lead.
fn relate(workspace: &mut Workspace, databases: &[SeededDatabase]) -> Result<(), WorkspaceError> {
    let all_sources =
        || databases.iter().flat_map(|database| database.data_sources.iter().map(move |source| (database, source)));
    for plan in &PLANS {
        let made = all_sources().find(|(_, source)| source.name == plan.data_source);
        for (property, target) in plan.relations {
            let leads_to = all_sources().find(|(database, _)| database.name == *target);
            if let (Some((_, source)), Some((_, target))) = (made, leads_to) {
                workspace.relate(&source.id, property, &target.id)?;
            }
        }
    }
    Ok(())
}

/// When things happened.
pub(super) struct Timeline {
    now: Timestamp,
}

impl Timeline {
    /// So many minutes ago.
    pub(super) fn minutes_ago(&self, minutes: usize) -> Timestamp {
        let milliseconds = i64::try_from(minutes).unwrap_or(i64::MAX).saturating_mul(60_000);
        let moment = self.now.as_millisecond().saturating_sub(milliseconds);
        Timestamp::from_millisecond(moment).unwrap_or(self.now)
    }

    /// The day so many days ago (before) or to come (negative), as `2026-11-22`.
    pub(super) fn day(&self, days_ago: i64) -> String {
        let seconds = self.now.as_second().saturating_sub(days_ago.saturating_mul(86_400));
        let moment = Timestamp::from_second(seconds).unwrap_or(self.now);
        jiff::tz::Offset::UTC.to_datetime(moment).date().to_string()
    }
}

#[cfg(test)]
mod tests;
