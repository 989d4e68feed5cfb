//! The variables with which the service finds a running stack, and the forms in which they are handed on.

use std::fmt::Write;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

/// Variables in the order in which they are shown, and the credentials, which are in the secret as on AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(String, String)>,
    credentials: Vec<(String, String)>,
}

impl Environment {
    /// Sets a variable; a value set before is replaced in its place.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    /// Adds a credential, which goes into the secret.
    pub fn set_credential(&mut self, name: &str, value: impl Into<String>) {
        self.credentials.push((name.to_owned(), value.into()));
    }

    /// The variables, without the credentials.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// One variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The secret's value: the credentials by their variables' names.
    pub fn secret(&self) -> Value {
        let credentials = self.credentials.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        Value::Object(credentials.collect::<Map<String, Value>>())
    }

    /// Lines for a shell; the credentials as comments, since the service reads them from the secret.
    pub fn exports(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        for (name, value) in &self.variables {
            let _ = writeln!(text, "export {name}={}", shell_quoted(value));
        }
        if !self.credentials.is_empty() {
            let _ = writeln!(text, "# In the secret, as on AWS; a variable would win over it:");
        }
        for (name, value) in &self.credentials {
            let _ = writeln!(text, "# export {name}={}", shell_quoted(value));
        }
        text
    }

    /// Lines for `--env-file`.
    pub fn env_file(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.variables {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }

    /// Writes [`Self::env_file`]; the folder is made where it is missing.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_env_file(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.env_file())
    }

    /// Reads what [`Self::write_env_file`] wrote.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read_env_file(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let mut environment = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            environment.set(name, value);
        }
        Ok(environment)
    }
}

fn shell_quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_into_the_secret_and_nowhere_else() {
        let mut environment = Environment::default();
        environment.set("NOTION_BASE_URL", "http://127.0.0.1:1");
        environment.set("BRONZE_SCHEMA", "it's");
        environment.set_credential("NOTION_API_KEY", "ntn_1");
        assert_eq!(environment.secret(), serde_json::json!({"NOTION_API_KEY": "ntn_1"}));
        assert_eq!(environment.env_file(), "NOTION_BASE_URL=http://127.0.0.1:1\nBRONZE_SCHEMA=it's\n");
        let exports = environment.exports();
        assert!(exports.contains("export NOTION_BASE_URL=http://127.0.0.1:1\n"), "{exports}");
        assert!(exports.contains(r"export BRONZE_SCHEMA='it'\''s'"), "{exports}");
        assert!(exports.contains("\n# export NOTION_API_KEY=ntn_1\n"), "{exports}");
    }

    #[test]
    fn an_env_file_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/env");
        let mut environment = Environment::default();
        environment.set("A", "1=2");
        environment.set("B", "old");
        environment.set("B", "new");
        environment.write_env_file(&path).unwrap();
        assert_eq!(Environment::read_env_file(&path).unwrap(), environment);
        assert_eq!(environment.get("B"), Some("new"));
    }
}
