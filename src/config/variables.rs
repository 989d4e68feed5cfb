//! The variables as they were read: the environment, with the values of an `--env-file` where the environment has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::failure::{Failure, FailureClass};

/// Names and values. Values lose white space around them, a byte order mark, and the quotation marks that a container's
/// `--env-file` leaves around them; one that is then empty counts as unset.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    from_file: BTreeSet<String>,
    blank: BTreeSet<String>,
    not_text: BTreeSet<String>,
}

impl Variables {
    /// Reads the process's environment.
    pub fn from_environment() -> Self {
        let mut variables = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => variables.set(name, &value),
                Err(_) => {
                    variables.not_text.insert(name);
                }
            }
        }
        variables
    }

    /// Adds the values of a file in `.env` form. The environment wins; the process's environment stays as it is.
    ///
    /// # Errors
    /// `Configuration` when the file can't be read; the message names file and line, never what the line says.
    pub fn with_file(mut self, path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |cause: &dyn fmt::Display| {
            Failure::new(FailureClass::Configuration, format!("--env-file {shown} can't be read: {cause}"))
        };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut of_file = Self::default();
        for entry in dotenvy::from_read_iter(text.as_bytes()) {
            match entry {
                Ok((name, value)) => of_file.set(name, &value),
                Err(dotenvy::Error::LineParse(line, _)) => {
                    let place = line_number(text, &line).map_or_else(String::new, |number| format!("line {number} "));
                    return Err(unreadable(&format!("{place}is not NAME=value (quote values with spaces or $)")));
                }
                Err(error) => return Err(unreadable(&error)),
            }
        }
        self.blank.extend(of_file.blank);
        for (name, value) in of_file.values {
            if !self.values.contains_key(&name) {
                self.from_file.insert(name.clone());
                self.values.insert(name, value);
            }
        }
        Ok(self)
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a variable that the environment has not, only the file.
    pub fn get_from_file(&self, name: &str) -> Option<&str> {
        self.from_file.contains(name).then(|| self.get(name)).flatten()
    }

    /// Returns whether the variable is set to something that is no text (invalid UTF-8).
    pub fn is_not_text(&self, name: &str) -> bool {
        self.not_text.contains(name)
    }

    /// All names that are set, sorted, also those set to nothing or to something that is no text.
    pub fn names_set(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&String> = self.values.keys().chain(&self.blank).chain(&self.not_text).collect();
        names.into_iter().map(String::as_str)
    }

    fn set(&mut self, name: String, value: &str) {
        let value = bare(value);
        if value.is_empty() {
            self.values.remove(&name);
            self.blank.insert(name);
        } else {
            self.blank.remove(&name);
            self.values.insert(name, value.to_owned());
        }
    }
}

/// The value itself: no white space and byte order mark around it, no pair of quotation marks.
fn bare(value: &str) -> &str {
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let unquoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
    unquoted('"').or_else(|| unquoted('\'')).unwrap_or(value).trim()
}

impl<N: Into<String>, V: AsRef<str>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut variables = Self::default();
        for (name, value) in pairs {
            variables.set(name.into(), value.as_ref());
        }
        variables
    }
}

/// Names only: any value may be a secret.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// The number, from 1, of the line of `text` that holds `part` (a line, or its value, as the parser gave it back).
fn line_number(text: &str, part: &str) -> Option<usize> {
    let start = part.lines().next().unwrap_or(part).trim();
    text.lines().position(|line| line.trim().ends_with(start)).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn the_environment_wins_over_the_file_and_an_empty_value_is_none() {
        let file = file("# local\nA=file\nB='b $x'\nexport C=\"c\"\nD=\n");
        let variables: Variables = [("A", "environment"), ("C", "  ")].into_iter().collect();
        let variables = variables.with_file(file.path()).unwrap();
        assert_eq!(variables.get("A"), Some("environment"));
        assert_eq!(variables.get_from_file("A"), None);
        assert_eq!(variables.get("B"), Some("b $x"));
        assert_eq!(variables.get_from_file("C"), Some("c"), "blank in the environment is unset");
        assert_eq!(variables.get("D"), None);
    }

    #[test]
    fn a_broken_line_is_named_by_number_and_not_shown() {
        for line in ["planted secret without equals", "B=planted secret without quotes", "B='planted secret"] {
            let file = file(&format!("A=1\n{line}\n"));
            let failure = Variables::default().with_file(file.path()).unwrap_err();
            assert_eq!(failure.class(), FailureClass::Configuration);
            let text = failure.describe();
            assert!(text.contains("line 2 is not NAME=value"), "{text}");
            assert!(!text.contains("planted"), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = Variables::default().with_file(Path::new("nowhere/.env")).unwrap_err();
        assert!(failure.describe().contains("--env-file nowhere/.env can't be read"), "{failure:?}");
    }

    #[test]
    fn a_value_loses_what_pasting_and_env_files_put_around_it() {
        for value in ["x y", " x y\r\n", "\u{feff}x y", "\"x y\"", "'x y'", " \u{feff}\" x y \" "] {
            let variables: Variables = [("A", value)].into_iter().collect();
            assert_eq!(variables.get("A"), Some("x y"), "{value:?}");
        }
        let kept: Variables = [("A", "\"x"), ("B", "it's"), ("C", "\"")].into_iter().collect();
        assert_eq!(["A", "B", "C"].map(|name| kept.get(name)), [Some("\"x"), Some("it's"), Some("\"")]);
    }

    #[test]
    fn a_name_set_to_nothing_is_among_the_names_unless_the_file_has_a_value() {
        let file = file("B=1\nD=\n");
        let variables: Variables = [("A", ""), ("B", "''"), ("C", "c")].into_iter().collect();
        let variables = variables.with_file(file.path()).unwrap();
        assert_eq!(variables.names_set().collect::<Vec<_>>(), ["A", "B", "C", "D"]);
        assert_eq!((variables.get("A"), variables.get("B"), variables.get("D")), (None, Some("1"), None));
    }

    #[test]
    fn debug_shows_names_only() {
        let variables: Variables = [("NOTION_API_KEY", "planted-secret")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"NOTION_API_KEY"}"#);
    }
}
