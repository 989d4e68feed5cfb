//! The rows a query finds, in order; computed once and kept while nothing changes.

use std::sync::Arc;

use uuid::Uuid;

use super::super::clock::{DAY_MS, day_floor_ms};
use super::super::ids::number_of;
use super::super::render::{ApiVersion, Painter};
use super::super::world::row::Kind;
use super::super::world::{SignedUrls, Workspace};
use super::KEPT_RESULTS;
use super::body::{QueryBody, Wanted};
use super::sort::{self, SortValue};

/// One row of a result.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) id: Uuid,
    pub(super) sorted_by: Vec<SortValue>,
    pub(super) tie: u64,
    created_ms: i64,
}

/// All rows a query finds, in order, the ones beyond the cap too.
#[derive(Debug)]
pub(super) struct ResultList {
    data_source: Uuid,
    fingerprint: String,
    revision: u64,
    /// The list is right from here to before there.
    from_ms: i64,
    until_ms: i64,
    pub(super) rows: Vec<Found>,
}

/// The rows a query finds.
pub(super) fn find(world: &mut Workspace, data_source: Uuid, query: &QueryBody, now_ms: i64) -> Arc<ResultList> {
    let kept = world.walks.results.iter().find(|list| {
        list.data_source == data_source
            && list.revision == world.revision
            && (list.from_ms..list.until_ms).contains(&now_ms)
            && list.fingerprint == query.fingerprint
    });
    if let Some(list) = kept {
        return Arc::clone(list);
    }
    let list = Arc::new(compute(world, data_source, query, now_ms));
    if world.walks.results.len() == KEPT_RESULTS {
        world.walks.results.pop_front();
    }
    world.walks.results.push_back(Arc::clone(&list));
    list
}

fn compute(world: &Workspace, data_source: Uuid, query: &QueryBody, now_ms: i64) -> ResultList {
    let painter = Painter {
        world,
        version: ApiVersion::Latest,
        now_ms,
        signed_urls: SignedUrls::LeftOut,
        signature: number_of(""),
        selection: None,
    };
    let mut rows = Vec::new();
    // Relative filters ("past_week") mean other days tomorrow.
    let mut until_ms = day_floor_ms(now_ms).saturating_add(DAY_MS);
    if let Some(source) = world.sources.get(&data_source) {
        for row in source.members.iter().filter_map(|number| world.rows.get(number)) {
            until_ms = until_ms.min(row.next_visible_ms(now_ms).unwrap_or(until_ms));
            let Some(state) = row.indexed(now_ms) else { continue };
            let wanted = match query.wanted {
                Wanted::Everything => true,
                Wanted::Pages => row.kind == Kind::Page,
                Wanted::DataSources => row.kind != Kind::Page,
            };
            let here = row.shared && !row.is_database && state.parent.data_source() == Some(data_source);
            let in_partition = !state.trashed && state.archived == query.archived;
            let matches = || query.filter.as_ref().is_none_or(|filter| filter.holds(&painter, &source.schema, state));
            if wanted && here && in_partition && matches() {
                let (sorted_by, tie) =
                    sort::sorted_by(&query.sorts, &painter, &source.schema, row, state, &query.fingerprint);
                rows.push(Found { number: row.number, id: row.id, sorted_by, tie, created_ms: state.created_ms });
            }
        }
    }
    rows.sort_by(|left, right| sort::compare(&query.sorts, left, right));
    if let Some(seconds) = world.settings().disorder_younger_than_seconds {
        disorder(&mut rows, now_ms.saturating_sub(i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)));
        until_ms = now_ms + 1;
    }
    let fingerprint = query.fingerprint.clone();
    ResultList { data_source, fingerprint, revision: world.revision, from_ms: now_ms, until_ms, rows }
}

/// Puts the last of the young rows before the others, as one recorded answer has it (13:47, 13:46, 13:46).
fn disorder(rows: &mut [Found], young_from_ms: i64) {
    let places: Vec<usize> = (0..rows.len()).filter(|&at| rows[at].created_ms > young_from_ms).collect();
    for pair in places.windows(2).rev() {
        rows.swap(pair[0], pair[1]);
    }
}
