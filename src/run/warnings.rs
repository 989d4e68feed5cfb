//! The warnings of a run: what an operator should know though the run continued.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::DataSourceId;
use crate::run::report::Report;

/// Warnings of one kind that are kept word for word; further ones are only counted.
const MAX_EXAMPLES: u64 = 5;

/// Kinds of warnings that are kept apart. A kind counts once per data source, so a database with very many data sources
/// could have more; what comes after that is counted together.
const MAX_KINDS: usize = 100;

/// The kind that counts the warnings beyond [`MAX_KINDS`].
const FURTHER_KINDS: &str = "further warnings";

/// Warnings that were given and are not yet in the report. Bounded, however much goes wrong.
#[derive(Debug, Default)]
pub struct Warnings {
    collected: Mutex<Collection>,
}

/// The data source that a warning is about (`None` = the run as a whole), and its kind.
type Key = (Option<DataSourceId>, &'static str);

#[derive(Debug, Default)]
struct Collection {
    /// The number of warnings of each kind in the whole run.
    counts: HashMap<Key, u64>,
    /// The texts kept since the report last took them, in the order in which they were given.
    examples: Vec<(Key, String)>,
    /// The number of warnings left out since then, in the order in which each kind first had too many.
    left_out: Vec<(Key, u64)>,
}

impl Warnings {
    /// Collects one warning. A text that is waiting already is not repeated.
    pub(super) fn add(&self, source: Option<DataSourceId>, kind: &'static str, text: String) {
        let mut collected = self.lock();
        let mut key = (source, kind);
        if collected.examples.iter().any(|(other, example)| *other == key && *example == text) {
            return;
        }
        if collected.counts.len() >= MAX_KINDS && !collected.counts.contains_key(&key) {
            key = (None, FURTHER_KINDS);
        }
        let count = collected.counts.entry(key).or_default();
        *count += 1;
        if *count <= MAX_EXAMPLES {
            collected.examples.push((key, text));
            return;
        }
        match collected.left_out.iter_mut().find(|(other, _)| *other == key) {
            Some((_, left_out)) => *left_out += 1,
            None => collected.left_out.push((key, 1)),
        }
    }

    /// Moves what was collected since the last time into the report: a data source's warnings into its entry, where it has
    /// one.
    pub fn move_into(&self, report: &mut Report) {
        let (examples, left_out) = {
            let mut collected = self.lock();
            (std::mem::take(&mut collected.examples), std::mem::take(&mut collected.left_out))
        };
        let left_out = left_out.into_iter().map(|(key, count)| (key, format!("{count} more warnings: {}", key.1)));
        for ((source, _), text) in examples.into_iter().chain(left_out) {
            let entry = report.data_sources.iter_mut().find(|entry| Some(entry.data_source_id) == source);
            entry.map_or(&mut report.warnings, |entry| &mut entry.warnings).push(text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Collection> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ids::RunId;

    fn report() -> Report {
        Report::begin(Some(crate::action::ActionKind::Sync), RunId::random(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn five_of_a_kind_are_kept_and_the_rest_is_counted() {
        let warnings = Warnings::default();
        for number in 0..1_000 {
            warnings.add(None, "hydration", format!("property {number}"));
            warnings.add(None, "hydration", "property 0".to_owned());
        }
        warnings.add(None, "cache", "the cache is down".to_owned());
        let mut report = report();
        warnings.move_into(&mut report);
        assert_eq!(report.warnings.len(), 7);
        assert_eq!(report.warnings[4..], ["property 4", "the cache is down", "995 more warnings: hydration"]);
        warnings.add(None, "hydration", "one more".to_owned());
        warnings.move_into(&mut report);
        assert_eq!(report.warnings[7..], ["1 more warnings: hydration"]);
    }

    #[test]
    fn more_kinds_than_there_are_share_one_count() {
        let warnings = Warnings::default();
        let source = |number: u128| DataSourceId::parse(&uuid::Uuid::from_u128(number).to_string()).ok();
        for number in 0..10_000 {
            warnings.add(source(number), "cache", format!("the cache lacks {number}"));
        }
        let mut report = report();
        warnings.move_into(&mut report);
        assert_eq!(report.warnings.len(), MAX_KINDS + 6);
        assert_eq!(report.warnings.last().unwrap(), "9895 more warnings: further warnings");
    }
}
