//! Conditions on times and dates, as the timestamp filters and date properties have them.

use jiff::civil::{Date, Weekday};
use serde_json::Value;

use super::super::clock::{civil, day_floor_ms, minute_floor_ms, parse_ms};
use super::super::error::ApiError;
use super::super::settings::FilterTime;
use super::shown;

/// A condition on a moment (milliseconds since 1970).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeCondition {
    Compare(Comparison, Bound),
    /// From the first to before the last, as days.
    Within {
        from_ms: i64,
        until_ms: i64,
    },
    IsEmpty,
    IsNotEmpty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    Before,
    After,
    OnOrBefore,
    OnOrAfter,
}

/// The bound that a moment is compared with: a time, or a day when the bound has no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Moment(i64),
    Day(i64),
}

impl TimeCondition {
    /// Returns whether a moment (or none) meets it.
    pub(super) fn holds(&self, moment_ms: Option<i64>, exactness: FilterTime) -> bool {
        match (self, moment_ms) {
            (Self::IsEmpty, moment) => moment.is_none(),
            (Self::IsNotEmpty, moment) => moment.is_some(),
            (_, None) => false,
            (Self::Within { from_ms, until_ms }, Some(moment)) => (*from_ms..*until_ms).contains(&moment),
            (Self::Compare(comparison, bound), Some(moment)) => {
                let (left, right) = match bound {
                    Bound::Moment(bound) if exactness == FilterTime::Shown => {
                        (minute_floor_ms(moment), minute_floor_ms(*bound))
                    }
                    Bound::Moment(bound) => (moment, *bound),
                    Bound::Day(bound) => (day_floor_ms(moment), *bound),
                };
                match comparison {
                    Comparison::Equals => left == right,
                    Comparison::Before => left < right,
                    Comparison::After => left > right,
                    Comparison::OnOrBefore => left <= right,
                    Comparison::OnOrAfter => left >= right,
                }
            }
        }
    }
}

/// Reads `{"on_or_after":"2026-11-22T13:00:00.000Z"}` and its relatives.
pub(super) fn parse(json: &Value, place: &str, now_ms: i64) -> Result<TimeCondition, ApiError> {
    let single = json.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    let Some((operator, value)) = single else {
        return Err(ApiError::body_should_be(place, "an object with one condition", &shown(json)));
    };
    let place = format!("{place}.{operator}");
    let comparison = match operator.as_str() {
        "equals" => Comparison::Equals,
        "before" => Comparison::Before,
        "after" => Comparison::After,
        "on_or_before" => Comparison::OnOrBefore,
        "on_or_after" => Comparison::OnOrAfter,
        "is_empty" if value == &Value::Bool(true) => return Ok(TimeCondition::IsEmpty),
        "is_not_empty" if value == &Value::Bool(true) => return Ok(TimeCondition::IsNotEmpty),
        "is_empty" | "is_not_empty" => return Err(ApiError::body_should_be(&place, "`true`", &shown(value))),
        _ => {
            return match span_of_days(operator, now_ms) {
                None => Err(ApiError::unknown_key(&place, &shown(value))),
                Some(_) if value.as_object().is_none_or(|object| !object.is_empty()) => {
                    Err(ApiError::body_should_be(&place, "an empty object", &shown(value)))
                }
                Some((from_ms, until_ms)) => Ok(TimeCondition::Within { from_ms, until_ms }),
            };
        }
    };
    let bound = value.as_str().and_then(|text| bound(text, now_ms));
    let bound = bound.ok_or_else(|| ApiError::body_should_be(&place, "a valid ISO 8601 date string", &shown(value)))?;
    Ok(TimeCondition::Compare(comparison, bound))
}

fn bound(text: &str, now_ms: i64) -> Option<Bound> {
    let today = civil(now_ms).date();
    let relative = match text {
        "today" => Some(today),
        "yesterday" => today.yesterday().ok(),
        "tomorrow" => today.tomorrow().ok(),
        "one_week_ago" => moved(today, -7, 0),
        "one_week_from_now" => moved(today, 7, 0),
        "one_month_ago" => moved(today, 0, -1),
        "one_month_from_now" => moved(today, 0, 1),
        _ => None,
    };
    if let Some(day) = relative {
        return day_ms(day).map(Bound::Day);
    }
    if let Ok(day) = text.parse::<Date>()
        && !text.contains(['T', 't', ' '])
    {
        return day_ms(day).map(Bound::Day);
    }
    parse_ms(text).map(Bound::Moment)
}

/// The days that `past_week` and its relatives mean, counted from today (UTC); weeks begin on Sunday.
fn span_of_days(operator: &str, now_ms: i64) -> Option<(i64, i64)> {
    let today = civil(now_ms).date();
    let tomorrow = today.tomorrow().ok()?;
    let (from, until) = match operator {
        "this_week" => {
            let sunday = moved(today, -i64::from(today.weekday().since(Weekday::Sunday)), 0)?;
            (sunday, moved(sunday, 7, 0)?)
        }
        "past_week" => (moved(today, -7, 0)?, tomorrow),
        "past_month" => (moved(today, 0, -1)?, tomorrow),
        "past_year" => (moved(today, 0, -12)?, tomorrow),
        "next_week" => (today, moved(tomorrow, 7, 0)?),
        "next_month" => (today, moved(tomorrow, 0, 1)?),
        "next_year" => (today, moved(tomorrow, 0, 12)?),
        _ => return None,
    };
    Some((day_ms(from)?, day_ms(until)?))
}

fn moved(day: Date, days: i64, months: i64) -> Option<Date> {
    let span = jiff::Span::new().try_days(days).ok()?.try_months(months).ok()?;
    day.checked_add(span).ok()
}

fn day_ms(day: Date) -> Option<i64> {
    parse_ms(&format!("{day}T00:00:00Z"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn met(condition: &Value, moment: &str, exactness: FilterTime) -> bool {
        let now_ms = parse_ms("2026-11-22T13:00:00Z").unwrap();
        parse(condition, "body.filter.created_time", now_ms).unwrap().holds(parse_ms(moment), exactness)
    }

    fn holds(condition: &Value, moment: &str) -> bool {
        met(condition, moment, FilterTime::Shown)
    }

    #[test]
    fn a_bound_with_a_time_counts_minutes_and_one_without_counts_days() {
        let (stored, bound) = ("2026-06-27T18:01:00.000+01:00", "2026-06-27T18:01:15.377824+01:00");
        let found: Vec<&str> = ["equals", "before", "after", "on_or_before", "on_or_after"]
            .into_iter()
            .filter(|operator| holds(&json!({ *operator: bound }), stored))
            .collect();
        assert_eq!(found, ["equals", "on_or_before", "on_or_after"]);
        let after = json!({"after": "2026-11-22T13:02:00.000Z"});
        assert!(!holds(&after, "2026-11-22T13:02:59.999Z") && holds(&after, "2026-11-22T13:03:00.000Z"));
        assert!(met(&after, "2026-11-22T13:02:00.001Z", FilterTime::Hidden));
        assert!(!holds(&json!({"after": "2026-11-22"}), "2026-11-22T23:59:59.999Z"));
        assert!(holds(&json!({"equals": "2026-11-22"}), "2026-11-22T23:59:59.999Z"));
        assert!(holds(&json!({"equals": "today"}), "2026-11-22T00:00:00Z"));
    }

    #[test]
    fn relative_spans_are_whole_days() {
        assert!(holds(&json!({"past_week": {}}), "2026-11-15T00:00:00Z"));
        assert!(!holds(&json!({"past_week": {}}), "2026-11-14T23:59:59Z"));
        assert!(holds(&json!({"this_week": {}}), "2026-11-28T23:59:59Z"));
        assert!(holds(&json!({"is_not_empty": true}), "2026-11-28T23:59:59Z"));
    }

    #[test]
    fn nonsense_is_refused() {
        for nonsense in [json!({"on_or_after": "soon"}), json!({"since": "today"}), json!({}), json!("today")] {
            assert_eq!(parse(&nonsense, "body.filter.created_time", 0).unwrap_err().code, "validation_error");
        }
    }
}
