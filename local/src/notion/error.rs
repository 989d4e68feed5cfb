//! Error answers: Notion's codes, messages and key order (`object status code message [additional_data] request_id`).

use uuid::Uuid;

use super::json::{ObjectText, quoted};

/// An error answer without its request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// JSON text of `additional_data`.
    pub(super) additional_data: Option<String>,
    /// Seconds of the `Retry-After` header.
    pub(super) retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), additional_data: None, retry_after_seconds: None }
    }

    pub(super) fn with_data(mut self, json: String) -> Self {
        self.additional_data = Some(json);
        self
    }

    pub(super) fn with_retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after_seconds = seconds;
        self
    }

    /// The body.
    pub(super) fn body(&self, request_id: Uuid) -> String {
        let mut object = ObjectText::new()
            .text("object", "error")
            .raw("status", &self.status.to_string())
            .text("code", self.code)
            .text("message", &self.message);
        if let Some(data) = &self.additional_data {
            object = object.raw("additional_data", data);
        }
        object.text("request_id", &request_id.to_string()).finish()
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "validation_error", message)
    }

    /// "body failed validation: PLACE should be EXPECTED, instead was JSON."
    pub(super) fn body_should_be(place: &str, expected: &str, instead_json: &str) -> Self {
        Self::validation(format!("body failed validation: {place} should be {expected}, instead was `{instead_json}`."))
    }

    /// A key that has no business in this body.
    pub(super) fn unknown_key(place: &str, instead_json: &str) -> Self {
        Self::body_should_be(place, "not present", instead_json)
    }

    pub(super) fn not_an_id(parameter: &str, text: &str) -> Self {
        let instead = quoted(text);
        Self::validation(format!(
            "path failed validation: path.{parameter} should be a valid uuid, instead was `{instead}`."
        ))
    }

    pub(super) fn invalid_url() -> Self {
        Self::new(400, "invalid_request_url", "Invalid request URL.")
    }

    pub(super) fn invalid_json() -> Self {
        Self::new(400, "invalid_json", "Error parsing JSON body.")
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "API token is invalid.")
    }

    pub(super) fn missing_version() -> Self {
        Self::new(
            400,
            "missing_version",
            "Notion-Version header failed validation: Notion-Version header should be defined, instead was `undefined`.",
        )
    }

    pub(super) fn unknown_version(text: &str) -> Self {
        let instead = quoted(text);
        Self::validation(format!(
            "Notion-Version header failed validation: Notion-Version header should be `\"2021-05-11\"`, \
             `\"2021-05-13\"`, `\"2021-08-16\"`, `\"2022-02-22\"`, `\"2022-06-28\"`, `\"2025-09-03\"`, or \
             `\"2026-03-11\"`, instead was `{instead}`."
        ))
    }

    /// Deleted, unshared, or never there: Notion does not tell.
    pub(super) fn not_found(kind: &str, id: Uuid, integration_name: &str, integration_id: Uuid) -> Self {
        Self::new(
            404,
            "object_not_found",
            format!(
                "Could not find {kind} with ID: {id}. Make sure the relevant pages and databases are shared with your \
                 integration \"{integration_name}\"."
            ),
        )
        .with_data(ObjectText::new().text("integration_id", &integration_id.to_string()).finish())
    }

    /// A page's id where a database's is asked for.
    pub(super) fn page_not_database(id: Uuid) -> Self {
        Self::validation(format!("Provided ID {id} is a page, not a database. Use the retrieve page API instead."))
    }

    /// A database's id where a page's is asked for.
    pub(super) fn database_not_page(id: Uuid) -> Self {
        Self::validation(format!("Provided ID {id} is a database, not a page. Use the retrieve database API instead."))
    }

    /// A user that the workspace does not have.
    pub(super) fn no_user(id: Uuid, integration_id: Uuid) -> Self {
        Self::new(
            404,
            "object_not_found",
            format!(
                "Could not find user with ID: {id}. Make sure your integration has capabilities to read user information. \
                 With those capabilities, only members and guests in the integration's workspace are visible."
            ),
        )
        .with_data(ObjectText::new().text("integration_id", &integration_id.to_string()).finish())
    }

    pub(super) fn cursor_rejected(cursor: &str) -> Self {
        Self::validation(format!("The start_cursor provided is invalid: {cursor}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_look_as_recorded() {
        let id = Uuid::nil();
        assert_eq!(
            ApiError::not_an_id("page_id", "not-an-id").body(id),
            r#"{"object":"error","status":400,"code":"validation_error","message":"path failed validation: path.page_id should be a valid uuid, instead was `\"not-an-id\"`.","request_id":"00000000-0000-0000-0000-000000000000"}"#
        );
        assert_eq!(
            ApiError::not_found("page", id, "Sync", id).body(id),
            r#"{"object":"error","status":404,"code":"object_not_found","message":"Could not find page with ID: 00000000-0000-0000-0000-000000000000. Make sure the relevant pages and databases are shared with your integration \"Sync\".","additional_data":{"integration_id":"00000000-0000-0000-0000-000000000000"},"request_id":"00000000-0000-0000-0000-000000000000"}"#
        );
    }
}
