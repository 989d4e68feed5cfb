//! Marks rows as removed, and proves that they are: the success of a MERGE is not taken on trust.

use crate::run::Run;
use crate::sync::{Engine, Stop};
use crate::warehouse::{Removal, Tables, check_removals, merge_removals};

/// The number of removals in one statement; each is about 200 bytes in the body.
const REMOVALS_PER_STATEMENT: usize = 40_000;

/// Marks rows, in halves when the server refuses a body as too large. Returns the number of rows not marked before.
pub(super) async fn mark(engine: &Engine<'_>, removals: &[Removal], run: &Run) -> Result<u64, Stop> {
    let tables = Tables::of(engine.databricks.config());
    let mut marked = 0;
    let mut pending: Vec<&[Removal]> = removals.rchunks(REMOVALS_PER_STATEMENT).collect();
    while let Some(removals) = pending.pop() {
        match engine.databricks.execute(&merge_removals(&tables, removals, &run.id)?, run).await {
            Ok(answer) => {
                marked += answer.merge_counts().map_or(removals.len() as u64, |counts| counts.updated);
                engine.databricks.execute(&check_removals(&tables, engine.database.id, removals)?, run).await?;
            }
            Err(error) if error.is_too_large() && removals.len() > 1 => {
                let (first, second) = removals.split_at(removals.len() / 2);
                pending.extend([second, first]);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(marked)
}
