//! The paths of the local stack's programs, which `make setup` and cargo put into the repository's folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Variables of the product and of AWS: a person may have real ones exported, and none of them may reach a child of
/// the local stack.
const KEPT_OUT: [&str; 12] = [
    "AWS_",
    "BATCH_SIZE",
    "BRONZE_SCHEMA",
    "DATABRICKS_",
    "MERGE_BATCH_BYTES",
    "NOTION_",
    "RATE_LIMIT_DELAY",
    "RUN_BUDGET",
    "SECRETS_ID",
    "SWEEP_MAX_REMOVED_SHARE",
    "SYNC_SETTLE",
    "WATERMARK_TABLE",
];

/// The programs of one clone of the repository.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Self::of_this_repository()
    }
}

impl Tools {
    /// The programs of the clone that this was compiled in.
    pub fn of_this_repository() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { root: package.parent().unwrap_or(package).to_owned() }
    }

    /// The repository's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The sample events.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Sail, the Spark SQL engine.
    pub fn sail(&self) -> PathBuf {
        self.root.join(".venv/bin/sail")
    }

    /// ministack, the AWS emulator.
    pub fn ministack(&self) -> PathBuf {
        self.root.join(".venv-aws/bin/ministack")
    }

    /// cargo-lambda, which runs the Lambda's handler.
    pub fn cargo_lambda(&self) -> PathBuf {
        self.root.join(".venv/bin/cargo-lambda")
    }
}

/// A program that cargo built into the folder of the one that is running.
///
/// # Errors
/// When the system does not say which program is running.
pub fn sibling_program(name: &str) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(name))
}

/// This process' environment without any configuration of the product or of AWS.
pub fn neutral_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !is_kept_out(name)).collect()
}

fn is_kept_out(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    KEPT_OUT.iter().any(|kept_out| name.starts_with(kept_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_configuration_stays_out_and_the_rest_passes() {
        for name in ["NOTION_API_KEY", "DATABRICKS_TOKEN", "AWS_PROFILE", "SYNC_SETTLE"] {
            assert!(is_kept_out(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "SSL_CERT_FILE"] {
            assert!(!is_kept_out(OsStr::new(name)), "{name}");
        }
    }
}
