//! The log: JSON lines on Lambda, text for people on the command line.
//!
//! One rule for both: our own events name their fields one by one and never a header, a body or a credential; the libraries'
//! events are shown from WARN up only, at every verbosity, because below it HTTP and AWS libraries print headers and bodies.
//! What still slips in is caught by the [`Outlet`]. `run_id`, `database` and `request_id` come from the spans around an event.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::output::{self, Outlet};
use crate::run::clock::Clock;

/// The longest text of one field. What is longer is cut.
const MAX_FIELD_BYTES: usize = 16 * 1024;
/// The longest line, far below CloudWatch's 1 MB. In a longer one every field is cut to [`MAX_SHORT_FIELD_BYTES`].
const MAX_LINE_BYTES: usize = 128 * 1024;
/// The longest text of one field of a line that was too long.
const MAX_SHORT_FIELD_BYTES: usize = 1024;
/// The most fields of one line.
const MAX_FIELDS: usize = 40;
/// The span that the Lambda runtime puts around an invocation; it carries the request id.
const RUNTIME_SPAN_TARGET: &str = "lambda_runtime::layers::trace";
/// The target under which the Lambda runtime logs a failed invocation a second time; we have logged it already.
const RUNTIME_FAILURE_TARGET: &str = "lambda_runtime::layers::panic";

/// The look of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One JSON object a line, as Lambda's JSON log format wants it (facts/aws §3.3).
    Json,
    /// Text for people.
    Text,
}

/// The level that Lambda's `AWS_LAMBDA_LOG_LEVEL` names; unset or unknown is INFO.
pub fn lambda_level(text: Option<&str>) -> LevelFilter {
    match text.map(str::to_ascii_uppercase).as_deref() {
        Some("TRACE") => LevelFilter::TRACE,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some("WARN") => LevelFilter::WARN,
        Some("ERROR" | "FATAL") => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

/// The level for a number of `-v`: warnings by default.
pub fn command_line_level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Makes lines the process's log and logs panics as one line each. Only the first call of a process counts.
pub fn install(style: Style, level: LevelFilter, outlet: Outlet) {
    // An error says that a log is installed already: tests run several entry points in one process.
    if tracing::subscriber::set_global_default(subscriber(style, level, outlet)).is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or_else(String::new, ToString::to_string);
            tracing::error!(place, panic = panic.payload_as_str().unwrap_or("no text"), "panicked");
        }));
    }
}

/// The log as a subscriber, for [`install`] and for tests.
pub fn subscriber(style: Style, level: LevelFilter, outlet: Outlet) -> impl Subscriber + Send + Sync {
    Registry::default().with(Lines { style, level, outlet, clock: Clock::System })
}

struct Lines {
    style: Style,
    level: LevelFilter,
    outlet: Outlet,
    clock: Clock,
}

/// Field names and values in the order they came.
#[derive(Debug, Default)]
struct Fields(Vec<(Cow<'static, str>, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        let ours = target.starts_with("notion_sync");
        if metadata.is_span() {
            // Whatever the level: a span's fields belong to the errors inside it.
            return target == RUNTIME_SPAN_TARGET || (ours && *metadata.level() <= self.level.max(LevelFilter::INFO));
        }
        let most = if ours { self.level } else { self.level.min(LevelFilter::WARN) };
        *metadata.level() <= most && target != RUNTIME_FAILURE_TARGET
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // From the innermost span outwards: what is nearer to the event counts.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, value) in &of_span.0 {
                    fields.put_if_new(name.clone(), value.clone());
                }
            }
        }
        let level = event.metadata().level();
        if self.style == Style::Text && *level == Level::ERROR && fields.take("class").is_some() {
            // A failed run: the command line shows it with its report.
            return;
        }
        let message = fields.take("message").map_or_else(String::new, |value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        });
        if !event.metadata().target().starts_with("notion_sync") {
            fields.put("target".into(), event.metadata().target().into());
        }
        let now = self.clock.now().to_string();
        let mut line = self.line(&now, level, &message, &fields);
        if line.len() > MAX_LINE_BYTES {
            fields.shorten();
            line = self.line(&now, level, &output::bounded(&message, MAX_SHORT_FIELD_BYTES), &fields);
        }
        // A line that can't be written has nowhere to be reported.
        drop(match self.style {
            Style::Json => self.outlet.json(&line),
            Style::Text => self.outlet.text(&line),
        });
    }
}

impl Lines {
    fn line(&self, timestamp: &str, level: &Level, message: &str, fields: &Fields) -> String {
        match self.style {
            Style::Json => json_line(timestamp, level, message, fields),
            Style::Text => text_line(timestamp, level, message, fields),
        }
    }
}

/// `{"timestamp","level","message",…}`, everything at the top level.
fn json_line(timestamp: &str, level: &Level, message: &str, fields: &Fields) -> String {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let written = serializer.serialize_map(None).and_then(|mut map| {
        map.serialize_entry("timestamp", timestamp)?;
        map.serialize_entry("level", level.as_str())?;
        map.serialize_entry("message", message)?;
        for (name, value) in &fields.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    });
    match written {
        Ok(()) => String::from_utf8(line).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// `2026-11-22T15:00:00Z WARN the message  database=projects`.
fn text_line(timestamp: &str, level: &Level, message: &str, fields: &Fields) -> String {
    let seconds = timestamp.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let mut line = format!("{seconds}Z {level:<5} {}", output::line(message));
    for (name, value) in &fields.0 {
        let text = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
        // Writing to a String can't fail.
        let _ = write!(line, "  {name}={}", output::line(&text));
    }
    line
}

impl Fields {
    /// Sets a field; a later value of the same name replaces it.
    fn put(&mut self, name: Cow<'static, str>, value: Value) {
        let name = line_name(name);
        let is_full = self.0.len() >= MAX_FIELDS;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None if is_full => {}
            None => self.0.push((name, value)),
        }
    }

    /// Cuts every text, for a line that would be too long.
    fn shorten(&mut self) {
        for (_, value) in &mut self.0 {
            if let Value::String(text) = value {
                *text = output::bounded(text, MAX_SHORT_FIELD_BYTES);
            }
        }
    }

    /// Sets a field unless it is set.
    fn put_if_new(&mut self, name: Cow<'static, str>, value: Value) {
        if self.0.iter().all(|(known, _)| *known != name) {
            self.0.push((name, value));
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        self.put(field.name().into(), output::bounded(text, MAX_FIELD_BYTES).into());
    }
}

/// A field's name in lines: the runtime's names as ours are written, and never one that the line itself has.
fn line_name(name: Cow<'static, str>) -> Cow<'static, str> {
    match &*name {
        "requestId" => "request_id".into(),
        "xrayTraceId" => "xray_trace_id".into(),
        "tenantId" => "tenant_id".into(),
        "timestamp" => "field_timestamp".into(),
        "level" => "field_level".into(),
        _ => name,
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name().into(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put_text(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::tests::capture;

    fn logged(style: Style, level: LevelFilter, events: impl FnOnce()) -> Vec<String> {
        let (lines, outlet) = capture();
        tracing::subscriber::with_default(subscriber(style, level, outlet), events);
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn a_line_is_one_flat_object_with_what_the_spans_know() {
        let lines = logged(Style::Json, LevelFilter::INFO, || {
            let invocation = tracing::info_span!(target: RUNTIME_SPAN_TARGET, "invoke", requestId = "request-1");
            let _invocation = invocation.enter();
            let run = tracing::info_span!("run", run_id = "run-1", database = tracing::field::Empty);
            run.record("database", "projects");
            run.in_scope(|| tracing::info!(pages = 7_u64, share = 0.5, level = "deep", "pages\nread"));
        });
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains('\n'));
        let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(timestamp.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
        assert_eq!(
            line,
            json!({"level": "INFO", "message": "pages\nread", "request_id": "request-1", "run_id": "run-1",
                   "database": "projects", "pages": 7, "share": 0.5, "field_level": "deep"})
        );
    }

    #[test]
    fn the_request_id_stands_in_an_error_also_when_only_errors_are_wanted() {
        let lines = logged(Style::Json, LevelFilter::ERROR, || {
            let run = tracing::info_span!("run", request_id = "request-1");
            let _run = run.enter();
            tracing::warn!("not wanted");
            tracing::error!("wanted");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(r#""request_id":"request-1""#), "{}", lines[0]);
    }

    #[test]
    fn libraries_are_heard_from_warn_up_only_at_the_highest_verbosity_too() {
        let lines = logged(Style::Text, command_line_level(9), || {
            tracing::trace!(target: "h2::codec", "HEADERS authorization: Bearer planted-secret");
            tracing::debug!(target: "aws_smithy_runtime::client", body = "planted-secret", "response");
            tracing::info!(target: "hyper_util::client", "planted-secret");
            tracing::error!(target: "lambda_runtime::layers::panic", "Diagnostic planted-secret");
            let span = tracing::error_span!(target: "aws_smithy_runtime::client", "call", header = "planted-secret");
            span.in_scope(|| tracing::warn!(target: "rustls::conn", "certificate expired"));
            tracing::trace!("ours");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("WARN  certificate expired  target=rustls::conn"), "{}", lines[0]);
        assert!(lines[1].ends_with("Z TRACE ours"), "{}", lines[1]);
    }

    #[test]
    fn a_failed_run_is_a_line_on_lambda_and_left_to_the_report_on_the_command_line() {
        let failed = || tracing::error!(class = "NotionForbidden", "the run failed");
        assert_eq!(logged(Style::Json, LevelFilter::INFO, failed).len(), 1);
        assert_eq!(logged(Style::Text, LevelFilter::TRACE, failed).len(), 0);
    }

    #[test]
    fn levels_are_read_as_lambda_and_the_command_line_name_them() {
        assert_eq!(lambda_level(None), LevelFilter::INFO);
        assert_eq!(lambda_level(Some("debug")), LevelFilter::DEBUG);
        assert_eq!(lambda_level(Some("FATAL")), LevelFilter::ERROR);
        assert_eq!(lambda_level(Some("loud")), LevelFilter::INFO);
        assert_eq!(command_line_level(0), LevelFilter::WARN);
        assert_eq!(command_line_level(3), LevelFilter::TRACE);
    }

    #[test]
    fn an_endless_field_is_cut() {
        let lines = logged(Style::Json, LevelFilter::INFO, || {
            tracing::info!(text = "ä".repeat(MAX_FIELD_BYTES), "long");
        });
        assert!(lines[0].len() < MAX_FIELD_BYTES + 200);
    }

    #[test]
    fn a_line_of_endless_fields_is_cut() {
        for style in [Style::Json, Style::Text] {
            let lines = logged(style, LevelFilter::INFO, || {
                let text = "\u{1b}".repeat(MAX_FIELD_BYTES);
                tracing::info!(a = text, b = text, c = text, d = text, e = text, "{text}");
            });
            assert!(lines[0].len() < MAX_LINE_BYTES, "{}", lines[0].len());
        }
    }
}
