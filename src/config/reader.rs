//! Reads variables one by one and collects every problem on the way, so that they are reported together.

use super::values::Expected;
use super::variables::Variables;
use super::vars::{self, Fallback};
use crate::failure::{Failure, FailureClass};
use crate::placeholder::is_placeholder;

/// The longest part of a value that a message shows.
const MAX_SHOWN_CHARACTERS: usize = 80;

/// A reading of variables under way, with the problems found so far. `None` from a method always comes with a problem, unless
/// it says otherwise.
pub(super) struct Reader<'a> {
    variables: &'a Variables,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(variables: &'a Variables) -> Self {
        Self { variables, problems: Vec::new() }
    }

    /// The text of a variable that may be unset (`None` without a problem); placeholders are refused.
    pub(super) fn optional(&mut self, name: &str) -> Option<&'a str> {
        if self.variables.is_not_text(name) {
            self.problem(format!("BLOCKED: invalid value for {name}: it is not UTF-8 text"));
            return None;
        }
        let text = self.variables.get(name)?;
        if is_placeholder(text) {
            self.suspicious(name);
            return None;
        }
        Some(text)
    }

    /// The text of a variable, or its default's text; unset without one is a problem.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        let problems_before = self.problems.len();
        let text = self.optional(name);
        if text.is_some() || self.problems.len() > problems_before {
            return text;
        }
        match vars::find(name).map(|variable| variable.default) {
            Some(Fallback::Text(text)) => Some(text),
            _ => {
                self.missing(name, "");
                None
            }
        }
    }

    /// The value of a variable or its default, read by `read`.
    pub(super) fn value<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, Expected>) -> Option<T> {
        let text = self.text(name)?;
        self.read(name, text, read)
    }

    /// The value of a variable that may be unset: `None` is a problem, `Some(None)` unset.
    pub(super) fn optional_value<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, Expected>,
    ) -> Option<Option<T>> {
        let problems_before = self.problems.len();
        match self.optional(name) {
            Some(text) => self.read(name, text, read).map(Some),
            None => (self.problems.len() == problems_before).then_some(None),
        }
    }

    /// Reads `text`, the value of `name`; a problem names the value too, unless it is a secret.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        text: &str,
        read: impl FnOnce(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        match read(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                // An address may hold a password before its `@`.
                let hidden = text.contains('@') || vars::find(name).is_some_and(|variable| variable.secret);
                let shown = if hidden { "its value".to_owned() } else { quoted(text) };
                self.problem(format!("BLOCKED: invalid value for {name}: {shown} is not {expected}"));
                None
            }
        }
    }

    /// Notes that `name` is unset; `instead` (may be empty) says what else would do.
    pub(super) fn missing(&mut self, name: &str, instead: &str) {
        self.problem(format!("BLOCKED: missing env var {name}{instead}"));
    }

    /// Notes a placeholder.
    pub(super) fn suspicious(&mut self, name: &str) {
        self.problem(format!("BLOCKED: suspicious default value for {name}"));
    }

    /// Notes any other problem; one line.
    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The variables read from.
    pub(super) fn variables(&self) -> &'a Variables {
        self.variables
    }

    /// Returns whether nothing was wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// All problems as one failure, each on a line of its own.
    pub(super) fn into_failure(self) -> Failure {
        Failure::new(FailureClass::Configuration, self.problems.join("\n"))
    }
}

/// A value in quotes, cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
