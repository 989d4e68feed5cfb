//! Properties that the demo and a first look rely on.

use std::collections::HashSet;

use super::*;
use crate::loopback;
use crate::notion::{ExpectedRow, NotionEmulator, Settings, SignedUrls};

fn now() -> Timestamp {
    "2026-11-22T15:47:00Z".parse().unwrap()
}

async fn filled() -> (NotionEmulator, Vec<SeededDatabase>) {
    let notion = NotionEmulator::start(loopback::address(0), Settings::default()).await.unwrap();
    let databases = notion.workspace(|workspace| fill(workspace, now())).unwrap();
    (notion, databases)
}

fn shown(notion: &NotionEmulator, database: &SeededDatabase) -> Vec<ExpectedRow> {
    notion.workspace(|workspace| workspace.expected(&database.database_id, SignedUrls::LeftOut)).unwrap()
}

#[tokio::test]
async fn the_workspace_is_the_same_each_time() {
    let ((first, databases), (second, again)) = (filled().await, filled().await);
    assert_eq!(databases, again);
    for database in &databases {
        assert_eq!(shown(&first, database), shown(&second, database), "{}", database.name);
    }
}

#[tokio::test]
async fn one_database_is_large_and_the_others_are_a_few_hundred_rows_together() {
    let (notion, databases) = filled().await;
    assert_eq!(databases.iter().map(|database| database.name).collect::<Vec<_>>(), DATABASES);
    let mut others = 0;
    for database in &databases {
        let rows = shown(&notion, database);
        let (archived, live): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_archived);
        assert!(!archived.is_empty() && archived.len() < live.len() / 4, "{}: {}", database.name, archived.len());
        if database.name == "budget_lines" {
            assert!(rows.len() > 1_000, "{}", rows.len());
            assert!(rows.len() < BUDGET_LINE_COUNT, "some are in the trash");
        } else {
            others += rows.len();
        }
    }
    assert!((200..600).contains(&others), "{others}");
}

#[tokio::test]
async fn ids_are_unique_and_times_lie_before_now() {
    let (notion, databases) = filled().await;
    let mut ids = HashSet::new();
    for database in &databases {
        assert!(ids.insert(database.database_id.clone()));
        for row in shown(&notion, database) {
            let (created, edited): (Timestamp, Timestamp) =
                (row.created_time.parse().unwrap(), row.last_edited_time.parse().unwrap());
            assert!(created <= edited && edited <= now() - jiff::SignedDuration::from_mins(10), "{edited}");
            assert!(ids.insert(row.page_id));
        }
    }
}

#[tokio::test]
async fn pages_show_cut_relations_cut_people_and_signed_urls() {
    let (notion, databases) = filled().await;
    let mut cut_types = HashSet::new();
    let mut signed = 0;
    for database in &databases {
        for page_id in database.data_sources.iter().flat_map(|source| &source.page_ids) {
            let cut = notion.workspace(|workspace| workspace.cut_properties(page_id)).unwrap();
            cut_types.extend(cut.into_iter().map(|property| property.type_name));
        }
        let rows = notion.workspace(|workspace| workspace.expected(&database.database_id, SignedUrls::AsServed));
        signed += rows.unwrap().iter().filter(|row| row.payload.contains("X-Amz-Signature")).count();
    }
    assert_eq!(cut_types, HashSet::from(["relation".to_owned(), "people".to_owned()]));
    assert!(signed > 5, "{signed}");
}

#[tokio::test]
async fn relations_lead_to_rows_that_are_there() {
    let (notion, databases) = filled().await;
    let pages: HashSet<&String> =
        databases.iter().flat_map(|database| &database.data_sources).flat_map(|source| &source.page_ids).collect();
    let mut related = 0;
    for row in databases.iter().flat_map(|database| shown(&notion, database)) {
        let page: serde_json::Value = serde_json::from_str(&row.payload).unwrap();
        for property in page["properties"].as_object().unwrap().values() {
            for target in property["relation"].as_array().into_iter().flatten() {
                assert!(pages.contains(&target["id"].as_str().unwrap().to_owned()), "{}", row.page_id);
                related += 1;
            }
        }
    }
    assert!(related > BUDGET_LINE_COUNT, "{related}");
}

#[tokio::test]
async fn a_workspace_is_filled_once() {
    let (notion, _) = filled().await;
    assert!(notion.workspace(|workspace| fill(workspace, now())).is_err());
}
