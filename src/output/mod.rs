//! The one exit for text. Whatever the process shows or stores passes here and loses its credentials; what a person reads
//! loses control and bidirectional characters as well.
//!
//! [`Outlet`] is the only way to standard output and standard error (clippy bans the others). Texts that leave by another
//! road, such as an item in DynamoDB or the Lambda's answer, pass [`redacted`], [`bounded`] or [`json`].

mod encodings;
mod escape;
pub(crate) mod redaction;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;

pub(crate) use self::redaction::{redacted, redacted_json};

/// A place that takes lines: standard output, standard error, or a test's memory.
type Target = dyn Fn(&str) -> io::Result<()> + Send + Sync;

/// A way out of the process. Cheap to clone.
#[derive(Clone)]
pub struct Outlet {
    target: Arc<Target>,
}

impl Outlet {
    /// The process's standard output.
    #[expect(clippy::disallowed_methods, reason = "the one exit")]
    pub fn standard_output() -> Self {
        Self::to(|line| {
            let mut output = io::stdout().lock();
            writeln!(output, "{line}").and_then(|()| output.flush())
        })
    }

    /// The process's standard error.
    #[expect(clippy::disallowed_methods, reason = "the one exit")]
    pub fn standard_error() -> Self {
        Self::to(|line| writeln!(io::stderr().lock(), "{line}"))
    }

    /// An outlet to any other place. `target` gets one clean line, or one clean block of lines, without its last line feed.
    pub fn to(target: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { target: Arc::new(target) }
    }

    /// Writes text for people. Line feeds stay; a text from outside must pass [`line()`] before it becomes a part of `text`.
    ///
    /// # Errors
    /// The target's own.
    pub fn text(&self, text: &str) -> io::Result<()> {
        (self.target)(&escape::lines(&redacted(text)))
    }

    /// Writes text for people; `paint` adds colours once the text is clean.
    ///
    /// # Errors
    /// The target's own.
    pub fn painted(&self, text: &str, paint: impl Fn(&str) -> String) -> io::Result<()> {
        (self.target)(&paint(&escape::lines(&redacted(text))))
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    /// The target's own.
    pub fn json(&self, line: &str) -> io::Result<()> {
        (self.target)(&json(line))
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

/// JSON that is safe to show: no credential is in it, and characters that could act on a terminal are written as JSON's own
/// escapes, so that a parser reads the exact values.
pub fn json(line: &str) -> String {
    escape::in_json(&redacted_json(line)).into_owned()
}

/// A text from outside as a part of one line: everything that could act on a terminal, line feeds too, is visible.
pub fn line(text: &str) -> Cow<'_, str> {
    escape::line(text)
}

/// A text from outside without credentials and at most `max_bytes` long, with a note of what was cut off.
pub fn bounded(text: &str, max_bytes: usize) -> String {
    // What lies far behind the cut is not looked at: a text may be as long as a body.
    let near = &text[..text.floor_char_boundary(max_bytes.saturating_mul(4))];
    let clean = redacted(near);
    if near.len() == text.len() && clean.len() <= max_bytes {
        return clean.into_owned();
    }
    let note = format!("… ({} bytes in all)", text.len());
    let end = clean.floor_char_boundary(max_bytes.saturating_sub(note.len()));
    format!("{}{note}", &clean[..end])
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Lines that were written, and the outlet to write them to.
    pub(crate) fn capture() -> (Arc<Mutex<Vec<String>>>, Outlet) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let written = lines.clone();
        let outlet = Outlet::to(move |line| {
            written.lock().unwrap().push(line.to_owned());
            Ok(())
        });
        (lines, outlet)
    }

    #[test]
    fn what_acts_on_a_terminal_is_visible_and_json_keeps_its_value() {
        let foreign = "a\u{1b}[2J\u{1b}]0;title\u{7}\r\u{202e}b\u{9b}31m\u{7f}\nsecond";
        let (lines, outlet) = capture();
        outlet.text(&format!("name: {}", line(foreign))).unwrap();
        outlet.text("first\nsecond").unwrap();
        outlet.json(&serde_json::json!({ "name": foreign }).to_string()).unwrap();
        let lines = lines.lock().unwrap();
        let shown = r"name: a\u{1b}[2J\u{1b}]0;title\u{7}\r\u{202e}b\u{9b}31m\u{7f}\nsecond";
        assert_eq!((lines[0].as_str(), lines[1].as_str()), (shown, "first\nsecond"));
        assert!(lines[2].is_ascii() && !lines[2].contains(char::is_control), "{}", lines[2]);
        let read: serde_json::Value = serde_json::from_str(&lines[2]).unwrap();
        assert_eq!(read["name"], foreign);
    }

    #[test]
    fn a_text_that_is_too_long_says_how_long_it_was() {
        assert_eq!(bounded("short", 10), "short");
        let cut = bounded(&"ä".repeat(1000), 50);
        assert!(cut.len() <= 50 && cut.starts_with("ää") && cut.ends_with("… (2000 bytes in all)"), "{cut}");
    }
}
