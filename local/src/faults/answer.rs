//! Answers that a fault gives in the server's place, in the servers' own words.

use serde_json::{Value, json};

/// A whole HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The reason of a rate limit; see Notion's documentation of request limits.
pub const NOTION_RATE_LIMIT_REASONS: [&str; 3] =
    ["public_api_request_rate_limit", "public_api_space_request_rate_limit", "public_api_endpoint_rate_limit"];
/// The reason that is no rate at all: the token is blocked, and waiting does not help.
pub const NOTION_REQUEST_BLOCKED: &str = "public_api_request_blocked";

impl Answer {
    /// An answer with a body; `Content-Length` is added when it is sent.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type".to_owned(), content_type.to_owned())], body: body.into() }
    }

    /// An answer with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// Returns the answer with one more header.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Returns the answer with `Retry-After`, in seconds, where there is one.
    pub fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.header("Retry-After", seconds),
            None => self,
        }
    }

    /// Returns the answer of a gateway, in front of any of the three servers, that gets no answer itself.
    pub fn html_bad_gateway() -> Self {
        let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>\
                    </center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
        Self::new(502, "text/html", body).header("CF-Ray", "8f2a0c5d1b3e4f60-FRA")
    }

    /// A Notion error.
    pub fn notion(status: u16, code: &str, message: &str) -> Self {
        Self::notion_with(status, code, message, Value::Null)
    }

    /// Notion's 429 with a reason, one of [`NOTION_RATE_LIMIT_REASONS`] or [`NOTION_REQUEST_BLOCKED`].
    pub fn notion_rate_limited(reason: &str, retry_after_seconds: Option<u64>) -> Self {
        let mut details = json!({"rate_limit_reason": reason});
        if let Some(seconds) = retry_after_seconds {
            // Text, though the header is a number: so it was measured.
            details["retry_after"] = seconds.to_string().into();
        }
        let message = "You have been rate limited. Please try again later.";
        Self::notion_with(429, "rate_limited", message, details).retry_after(retry_after_seconds)
    }

    /// Notion's 529.
    pub fn notion_overloaded(retry_after_seconds: Option<u64>) -> Self {
        Self::notion(529, "service_overload", "Notion is currently overloaded. Please try again later.")
            .retry_after(retry_after_seconds)
    }

    /// Notion's 503 of a query that was too much for its store.
    pub fn notion_query_unavailable() -> Self {
        let message = "Public API data source query is temporarily unavailable due to backend datastore timeouts. Retry \
                       with exponential backoff; if retries continue to fail, reduce page_size or narrow filters/sorts.";
        let details = json!({
            "endpoint_name": "public_queryDataSource",
            "notion_error_name": "PgPoolWaitConnectionTimeout",
            "retry_guidance": ["Use exponential backoff with jitter", "Reduce page_size", "Narrow query filters/sorts"],
        });
        Self::notion_with(503, "service_unavailable", message, details)
    }

    /// A Databricks error in its common form.
    pub fn databricks(status: u16, error_code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error_code": error_code, "message": message}))
            .header("x-request-id", "5c1b7b3e-6f0a-4a39-9a0c-0f5a3f1d2b77")
    }

    /// A DynamoDB error, such as `ProvisionedThroughputExceededException`.
    pub fn dynamodb(status: u16, exception: &str, message: &str) -> Self {
        let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{exception}"), "message": message});
        Self::new(status, "application/x-amz-json-1.0", body.to_string())
            .header("x-amzn-RequestId", "QK3P0N7D1V5S2M8C6R4T9W0X2Y")
    }

    fn notion_with(status: u16, code: &str, message: &str, details: Value) -> Self {
        let request_id = "b1637152-5698-41ec-9d87-9de35dbbc3aa";
        let mut body = json!({"object": "error", "status": status, "code": code, "message": message});
        if !details.is_null() {
            body["additional_data"] = details;
        }
        body["request_id"] = request_id.into();
        Self::json(status, &body).header("x-notion-request-id", request_id)
    }

    /// The bytes on the wire.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Fault\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
