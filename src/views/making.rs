//! Making one view, unless it is there as it must be, or a person has changed it.

use super::text::{DEFINITION, FINGERPRINT, MARK, View, fingerprint};
use crate::databricks;
use crate::databricks::{QualifiedName, Statement};
use crate::failure::{Failure, FailureClass};
use crate::run::Run;

/// The outcome for one view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewState {
    Made,
    Unchanged,
    ChangedByHand,
}

impl ViewState {
    /// As reports call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Unchanged => "unchanged",
            Self::ChangedByHand => "changed_by_hand",
        }
    }
}

/// Makes views.
pub(super) struct Maker<'a> {
    pub(super) databricks: &'a databricks::Client,
    pub(super) run: &'a Run,
    /// True if a person's change is overwritten.
    pub(super) force: bool,
}

impl Maker<'_> {
    pub(super) async fn bring_up_to_date(&self, view: &View) -> Result<ViewState, Failure> {
        match self.shown(&view.name).await? {
            Some(shown) if is_ours(&shown) => {
                if property(&shown, DEFINITION).as_deref() == Some(&view.definition()) {
                    return Ok(ViewState::Unchanged);
                }
            }
            Some(_) if !self.force => return Ok(ViewState::ChangedByHand),
            Some(_) | None => {}
        }
        self.databricks.execute(&view.statement(), self.run).await?;
        Ok(ViewState::Made)
    }

    /// The statement that would make the view as it is now; `None` = there is none.
    async fn shown(&self, name: &QualifiedName) -> Result<Option<String>, Failure> {
        let text = format!("SHOW CREATE TABLE {name}");
        let statement = Statement { purpose: "reading of the view".to_owned(), text, parameters: Vec::new() };
        let rows = match self.databricks.execute(&statement, self.run).await.map_err(Failure::from) {
            Err(failure) if failure.class() == FailureClass::TableMissing => return Ok(None),
            rows => rows?,
        };
        let shown = rows.columns().first().and_then(|name| rows.column(name)?.next()?).map(str::to_owned);
        let unreadable = || {
            let message = format!("SHOW CREATE TABLE brought no text (statement {})", rows.statement_id());
            Failure::new(FailureClass::DatabricksUnreadable, message)
        };
        shown.map(Some).ok_or_else(unreadable)
    }
}

/// Returns whether the text is the one that was made, by the fingerprint beside it.
fn is_ours(shown: &str) -> bool {
    let body = shown.rfind(MARK).and_then(|at| shown.get(at..));
    body.zip(property(shown, FINGERPRINT)).is_some_and(|(body, left)| fingerprint(body) == left)
}

/// The value of a property in the text: `'name' = 'value'`.
fn property(shown: &str, name: &str) -> Option<String> {
    let quoted = format!("'{name}'");
    let rest = shown.get(shown.find(&quoted)? + quoted.len()..)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('\'')?;
    rest.split('\'').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_ours_as_long_as_its_text_is() {
        let body = format!("{MARK}\n  a\nFROM t");
        let shown = |body: &str, made_of: &str| {
            let print = fingerprint(made_of);
            format!(
                "CREATE VIEW v (\n  a COMMENT 'it\\'s {MARK}')\nTBLPROPERTIES (\n  '{FINGERPRINT}' = '{print}')\nAS {body}\n"
            )
        };
        assert!(is_ours(&shown(&body, &body)));
        assert!(is_ours(&shown(&format!("{MARK} a FROM t;"), &body)), "white space does not count");
        assert!(!is_ours(&shown(&format!("{MARK} b FROM t"), &body)));
        assert!(!is_ours("CREATE VIEW v AS SELECT 1"));
        assert_eq!(property(&shown(&body, &body), FINGERPRINT), Some(fingerprint(&body)));
    }
}
