//! The variables as they were read: the environment, with the values of an `--env-file` where the environment has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use crate::failure::{Failure, FailureClass};

/// Names and values. A value that is empty or blank counts as unset; values are trimmed.
#[derive(Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
    from_file: BTreeSet<String>,
    not_text: BTreeSet<String>,
}

impl Variables {
    /// Reads the process's environment.
    #[must_use]
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
        for (name, value) in of_file.values {
            if !self.values.contains_key(&name) {
                self.from_file.insert(name.clone());
                self.values.insert(name, value);
            }
        }
        Ok(self)
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a variable that the environment has not, only the file.
    #[must_use]
    pub fn get_from_file(&self, name: &str) -> Option<&str> {
        self.from_file.contains(name).then(|| self.get(name)).flatten()
    }

    /// Whether the variable is set to something that is no text (invalid UTF-8).
    #[must_use]
    pub fn is_not_text(&self, name: &str) -> bool {
        self.not_text.contains(name)
    }

    /// All names that have a value, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn set(&mut self, name: String, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            self.values.remove(&name);
        } else {
            self.values.insert(name, value.to_owned());
        }
    }
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

/// Where `part` (a line, or its value, as the parser gave it back) stands in `text`, counted from 1.
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
    fn debug_shows_names_only() {
        let variables: Variables = [("NOTION_API_KEY", "planted-secret")].into_iter().collect();
        assert_eq!(format!("{variables:?}"), r#"{"NOTION_API_KEY"}"#);
    }
}
