//! The bound on a report: whatever a run met, its report stays small enough for every place that takes one (Lambda's answer
//! of 6 MB, an asynchronous destination's 256 KB, a terminal), has no credential in it, and says what was left out.

use serde::Serialize;
use serde_json::Value;

use crate::output;
use crate::run::report::{DataSourceReport, Report};

/// The largest report as JSON: destinations of asynchronous invocations take 256 KB with their own frame.
pub const MAX_REPORT_BYTES: usize = 250_000;

/// The longest message of a failure. A broken configuration names every variable in it.
pub(super) const MAX_ERROR_BYTES: usize = 16 * 1024;
/// The longest warning, and the longest text of an item.
const MAX_TEXT_BYTES: usize = 2 * 1024;
/// The longest name of a data source.
const MAX_NAME_BYTES: usize = 512;
/// Warnings of one kind that are shown in full; the others are counted.
const MAX_EXAMPLES: usize = 3;
/// The end of the warning that counts the others of its kind.
const COUNTED: &str = " more warnings like the one before were counted and left out";
/// Bytes of the run's own warnings, of all data sources, of all items. With the failure's message they fill a report.
const MAX_WARNINGS_BYTES: usize = 32 * 1024;
const MAX_DATA_SOURCES_BYTES: usize = 96 * 1024;
const MAX_ITEMS_BYTES: usize = 64 * 1024;
/// Bytes of one data source's warnings, and of its stored position.
const MAX_SOURCE_WARNINGS_BYTES: usize = 8 * 1024;
const MAX_RESUME_BYTES: usize = 8 * 1024;

/// Counts of what a report does not show, because it would have become too large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Warnings, beyond those that a warning of their kind counts.
    #[serde(skip_serializing_if = "is_zero")]
    pub warnings: usize,
    /// Entries of data sources; the totals include them.
    #[serde(skip_serializing_if = "is_zero")]
    pub data_sources: usize,
    /// Items.
    #[serde(skip_serializing_if = "is_zero")]
    pub items: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Report {
    /// Brings the report under [`MAX_REPORT_BYTES`] and takes credentials out of it. A second call changes nothing.
    pub fn bound(&mut self) {
        let mut left_out = self.left_out.unwrap_or_default();
        left_out.warnings += bound_warnings(&mut self.warnings, MAX_WARNINGS_BYTES);
        for source in &mut self.data_sources {
            left_out.warnings += bound_source(source);
        }
        for item in &mut self.items {
            item.texts_mut().into_iter().for_each(|text| *text = output::bounded(text, MAX_TEXT_BYTES));
            item.values_mut().into_iter().for_each(bound_position);
        }
        left_out.data_sources += keep_first(&mut self.data_sources, MAX_DATA_SOURCES_BYTES);
        left_out.items += keep_first(&mut self.items, MAX_ITEMS_BYTES);
        if let Some(error) = &mut self.error {
            error.message = output::bounded(&error.message, MAX_ERROR_BYTES);
        }
        self.left_out = (left_out != LeftOut::default()).then_some(left_out);
    }
}

/// Bounds one data source's texts; gives the number of warnings left out.
fn bound_source(source: &mut DataSourceReport) -> usize {
    source.name = output::bounded(&source.name, MAX_NAME_BYTES);
    if let Some(resume) = &mut source.resume {
        bound_position(resume);
    }
    bound_warnings(&mut source.warnings, MAX_SOURCE_WARNINGS_BYTES)
}

/// Bounds a stored position.
fn bound_position(position: &mut Value) {
    bound_value(position);
    if shown_bytes(position) > MAX_RESUME_BYTES {
        *position = "left out: the stored position is too long for a report".into();
    }
}

/// Bounds every text in a value, however deep it is.
fn bound_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = output::bounded(text, MAX_TEXT_BYTES),
        Value::Array(values) => values.iter_mut().for_each(bound_value),
        Value::Object(object) => object.values_mut().for_each(bound_value),
        _ => {}
    }
}

/// Keeps a few warnings of each kind and counts the others of it, kind by kind until `max_bytes` are full; gives the number
/// of those that neither stand there nor are counted there.
fn bound_warnings(warnings: &mut Vec<String>, max_bytes: usize) -> usize {
    let mut kinds: Vec<WarningKind> = Vec::new();
    let mut left_out = 0;
    let mut bytes = 0;
    for (index, warning) in warnings.drain(..).enumerate() {
        // A count of an earlier call stands for itself.
        let kind = if warning.ends_with(COUNTED) { index.to_string() } else { kind_of(&warning) };
        match kinds.iter_mut().find(|known| known.kind == kind) {
            Some(known) if known.examples.len() >= MAX_EXAMPLES => known.more += 1,
            known => {
                let warning = output::bounded(&warning, MAX_TEXT_BYTES);
                bytes += shown_bytes(&warning);
                match known {
                    _ if bytes > max_bytes => left_out += 1,
                    Some(known) => known.examples.push(warning),
                    None => kinds.push(WarningKind { kind, examples: vec![warning], more: 0 }),
                }
            }
        }
    }
    for WarningKind { examples, more, .. } in kinds {
        warnings.extend(examples);
        if more > 0 {
            warnings.push(format!("{more}{COUNTED}"));
        }
    }
    left_out
}

struct WarningKind {
    kind: String,
    examples: Vec<String>,
    more: usize,
}

/// The part that warnings of one kind have in common: their words, without ids, numbers and what stands in quotation marks.
fn kind_of(warning: &str) -> String {
    const MAX_KIND_BYTES: usize = 512;
    let mut kind = String::new();
    let mut is_quoted = false;
    for word in warning[..warning.floor_char_boundary(MAX_KIND_BYTES)].split(' ') {
        let marks = word.matches('"').count();
        let is_value = is_quoted || marks > 0 || word.contains(|c: char| c.is_ascii_digit());
        is_quoted ^= marks % 2 == 1;
        if !is_value {
            kind.push_str(word);
        }
    }
    kind
}

/// Keeps the first entries that fit into `max_bytes`; gives the number of the others.
fn keep_first<T: Serialize>(entries: &mut Vec<T>, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let mut fits = |entry: &T| {
        bytes += shown_bytes(entry) + 1;
        bytes <= max_bytes
    };
    let kept = entries.iter().take_while(|entry| fits(entry)).count();
    let left_out = entries.len() - kept;
    entries.truncate(kept);
    left_out
}

/// The length of a value as it is shown: JSON with all escapes.
fn shown_bytes(value: &impl Serialize) -> usize {
    // What is no JSON has no place in a report; reports have text keys and finite numbers only.
    serde_json::to_string(value).map_or(usize::MAX, |json| output::json(&json).len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::action::ActionKind;
    use crate::failure::{Failure, FailureClass};
    use crate::ids::{DataSourceId, RunId};
    use crate::run::items::{HealthItem, Item};
    use crate::run::report::{Mode, Totals};

    fn report() -> Report {
        Report::begin(Some(ActionKind::Sync), RunId::random(), jiff::Timestamp::UNIX_EPOCH)
    }

    fn item(text: &str) -> Item {
        Item::Health(HealthItem { dependency: text.to_owned(), ok: false, class: None, detail: text.to_owned() })
    }

    fn source(name: &str) -> DataSourceReport {
        DataSourceReport {
            data_source_id: DataSourceId::parse("be633bf1dfa0436db259571129a590e5").unwrap(),
            name: name.to_owned(),
            mode: Mode::Incremental,
            totals: Totals::default(),
            preview: None,
            window: None,
            watermark_before: None,
            watermark_after: None,
            resume: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn two_hundred_thousand_rows_that_each_warn_are_three_warnings_and_a_count() {
        let mut report = report();
        let mut rows = source("Projects");
        for row in 0..200_000 {
            report.warnings.push(format!("page {row:032x} has {row} mentions that could not be read: \"row {row}\""));
            rows.warnings.push(format!("page {row:032x} is skipped by the sweep"));
        }
        report.warnings.push("the cache is down".to_owned());
        report.data_sources.push(rows);
        report.bound();
        let more = "199997 more warnings like the one before were counted and left out";
        assert_eq!((report.warnings.len(), report.warnings[3].as_str()), (5, more));
        assert_eq!(report.warnings[4], "the cache is down");
        assert_eq!(report.data_sources[0].warnings[3], more);
        assert_eq!(report.left_out, None, "every one is counted");
        assert!(shown_bytes(&report) < 4_000);
    }

    #[test]
    fn warnings_of_as_many_kinds_as_rows_are_left_out_and_counted() {
        let mut report = report();
        let word = |row: u32| (0..17).map(|bit| if row >> bit & 1 == 1 { 'x' } else { 'y' }).collect::<String>();
        report.warnings = (0..100_000).map(|row| format!("{} is odd", word(row))).collect();
        report.bound();
        assert!(shown_bytes(&report) < 64 * 1024);
        assert_eq!(report.left_out.map(|left_out| left_out.warnings + report.warnings.len()), Some(100_000));
    }

    #[test]
    fn foreign_names_and_messages_of_a_megabyte_are_cut() {
        let long = "\u{9b}\u{202e}ä".repeat(150_000);
        let mut report = report();
        report.data_sources = (0..200).map(|_| source(&long)).collect();
        report.items = (0..120).map(|_| item(&long)).collect();
        report.warnings = vec![long.clone(); 10];
        report.data_sources[0].warnings = vec![long.clone()];
        report.data_sources[0].resume = Some(json!({"stretches": vec!["2026-11-22"; 10_000]}));
        report.fail(&Failure::new(FailureClass::StatementFailed, long));
        report.bound();
        assert!(shown_bytes(&report) < MAX_REPORT_BYTES, "{}", shown_bytes(&report));
        let left_out = report.left_out.unwrap();
        assert_eq!(
            (left_out.data_sources, left_out.items),
            (200 - report.data_sources.len(), 120 - report.items.len())
        );
        assert!(report.data_sources.len() > 10 && report.items.len() > 3, "{left_out:?}");
        let message = report.error.as_ref().unwrap().message.clone();
        let before = serde_json::to_value(&report).unwrap();
        report.bound();
        assert_eq!(serde_json::to_value(&report).unwrap(), before, "a second call changes nothing");
        assert!(message.contains("bytes in all"), "{}", message.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn every_report_is_bounded(
            texts in proptest::collection::vec((".{0,50}", 1..1_000_usize), 1..4), copies in 1..60_usize
        ) {
            let texts: Vec<String> = texts.into_iter().map(|(text, times)| text.repeat(times)).collect();
            let mut report = report();
            for index in 0..copies {
                let text = &texts[index % texts.len()];
                report.warnings.push(format!("{index} {text}"));
                let mut source = source(text);
                source.warnings.push(text.to_owned());
                report.data_sources.push(source);
                report.items.push(item(text));
            }
            report.fail(&Failure::new(FailureClass::Internal, texts.concat()));
            report.bound();
            prop_assert!(shown_bytes(&report) < MAX_REPORT_BYTES, "{}", shown_bytes(&report));
        }
    }
}
