//! The texts of views, kept in files beside the tables: Sail forgets its catalog when it ends, and does not show a view's text.

use std::io;
use std::path::{Path, PathBuf};

use super::cells::{ResultColumn, ResultSet};
use super::error::StatementError;
use super::rewrite::{TableName, location};

const ENDING: &str = "view.sql";

/// The file that holds a view's text.
fn file(data_directory: &Path, view: &TableName) -> Result<PathBuf, StatementError> {
    Ok(location(data_directory, view)?.with_added_extension(ENDING))
}

/// Keeps the text of a view that was made.
pub(super) async fn keep(data_directory: &Path, view: &TableName, sql: &str) -> Result<(), StatementError> {
    let file = file(data_directory, view)?;
    let written = async {
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        tokio::fs::write(&file, sql).await
    };
    written.await.map_err(|error| StatementError::unsupported(&format!("views here: {}: {error}", file.display())))
}

/// Forgets a view that was dropped.
pub(super) async fn forget(data_directory: &Path, view: &TableName) -> Result<(), StatementError> {
    match tokio::fs::remove_file(file(data_directory, view)?).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StatementError::unsupported(&error.to_string())),
        _ => Ok(()),
    }
}

/// `SHOW CREATE TABLE` of a view; of a table it is not bridged.
pub(super) async fn shown(data_directory: &Path, view: &TableName) -> Result<ResultSet, StatementError> {
    let Ok(sql) = tokio::fs::read_to_string(file(data_directory, view)?).await else {
        if location(data_directory, view)?.is_dir() {
            return Err(StatementError::unsupported("SHOW CREATE TABLE of a table"));
        }
        let text = format!("The table or view `{}` cannot be found.", view.join("`.`"));
        return Err(StatementError::classed("TABLE_OR_VIEW_NOT_FOUND", &text, "42P01"));
    };
    let column = ResultColumn {
        name: "createtab_stmt".to_owned(),
        type_text: "STRING".to_owned(),
        type_name: "STRING".to_owned(),
    };
    Ok(ResultSet {
        columns: vec![column],
        rows: vec![vec![Some(sql.replacen("CREATE OR REPLACE VIEW", "CREATE VIEW", 1))]],
    })
}

/// The texts of all views below a directory, each with its catalog and schema.
pub(super) fn views_in(data_directory: &Path, catalogs: &[String]) -> io::Result<Vec<([String; 2], String)>> {
    let mut views = Vec::new();
    for catalog in catalogs {
        let Ok(schemas) = std::fs::read_dir(data_directory.join(catalog)) else { continue };
        for schema in schemas {
            let schema = schema?;
            let Ok(name) = schema.file_name().into_string() else { continue };
            let Ok(files) = std::fs::read_dir(schema.path()) else { continue };
            for file in files {
                let path = file?.path();
                if path.to_string_lossy().ends_with(&format!(".{ENDING}")) {
                    views.push(([catalog.clone(), name.clone()], std::fs::read_to_string(&path)?));
                }
            }
        }
    }
    Ok(views)
}
