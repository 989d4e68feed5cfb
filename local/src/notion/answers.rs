//! Scripted answers: every documented failure, on demand, instead of the true answer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api::{Incoming, Outgoing};
use super::error::ApiError;
use super::ids::parse_id;
use super::json::{ObjectText, list, quoted};
use super::world::Workspace;

/// Answers requests under `/v1` with `answer` instead of the truth. The request has no effect then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedAnswer {
    /// Only requests of this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path holds this text, such as `/query`.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// So many matching requests get their true answer first.
    #[serde(default)]
    pub skip: u32,
    /// So many matching requests get this answer; then it is used up.
    #[serde(default = "once")]
    pub times: u32,
    /// The answer that they get.
    pub answer: CannedAnswer,
}

fn once() -> u32 {
    1
}

impl ScriptedAnswer {
    /// The next request of any kind gets this answer.
    pub fn next(answer: CannedAnswer) -> Self {
        Self { method: None, path_contains: None, skip: 0, times: 1, answer }
    }

    /// The next query gets this answer.
    pub fn next_query(answer: CannedAnswer) -> Self {
        Self { path_contains: Some("/query".to_owned()), ..Self::next(answer) }
    }

    /// Returns the override for so many requests.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Returns the override after so many true answers.
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// An answer instead of the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CannedAnswer {
    /// 429 with one of the documented reasons (`public_api_request_rate_limit`, `…_space_request_…`, `…_endpoint_…`) or
    /// one nobody knows.
    RateLimited {
        /// `rate_limit_reason`.
        reason: String,
        /// `Retry-After`; left out when not set.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// 429 `public_api_request_blocked`: never to be retried.
    Blocked,
    /// 529.
    Overloaded {
        /// `Retry-After`; left out when not set.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// 503 of the query endpoint, with its `additional_data`.
    QueryUnavailable,
    /// 503 `service_unavailable`.
    ServiceUnavailable,
    /// 503 `database_connection_unavailable`.
    DatabaseConnectionUnavailable,
    /// 500.
    InternalServerError,
    /// 502 with a JSON body.
    BadGateway,
    /// 502 with Cloudflare's HTML.
    BadGatewayHtml,
    /// An answer of the edge in front, which Notion never saw: HTML with `cf-ray`, without a code or a request id.
    Edge {
        /// The status: 520 to 530, 403, 404 or 429.
        status: u16,
    },
    /// 504.
    GatewayTimeout,
    /// 409.
    Conflict,
    /// 401.
    Unauthorized,
    /// 403.
    RestrictedResource,
    /// 404.
    NotFound,
    /// 400 `validation_error` with this message.
    ValidationError { message: String },
    /// 400, as an old API version gets it from a database with several data sources.
    MultipleDataSources {
        database_id: String,
        /// Its data sources.
        child_data_source_ids: Vec<String>,
    },
    /// Anything else.
    Raw {
        status: u16,
        /// The header `Content-Type`.
        content_type: String,
        /// More headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        body: String,
    },
}

/// Scripted answers that wait for their requests.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Vec<ScriptedAnswer>,
}

impl Answers {
    /// The scripted answer to this request, if there is one.
    fn take(&mut self, method: &str, path: &str) -> Option<CannedAnswer> {
        for scripted in &mut self.waiting {
            let matches = scripted.method.as_ref().is_none_or(|wanted| wanted == method)
                && scripted.path_contains.as_ref().is_none_or(|part| path.contains(part.as_str()));
            if !matches || scripted.times == 0 {
                continue;
            }
            if scripted.skip > 0 {
                scripted.skip -= 1;
                continue;
            }
            scripted.times -= 1;
            let answer = scripted.answer.clone();
            self.waiting.retain(|scripted| scripted.times > 0);
            return Some(answer);
        }
        None
    }
}

impl Workspace {
    /// Scripts an answer. Several wait in the order of these calls; the first that fits a request answers it.
    pub fn script_answer(&mut self, answer: ScriptedAnswer) {
        self.answers.waiting.push(answer);
    }

    /// Forgets the scripted answers that were not used up.
    pub fn clear_answers(&mut self) {
        self.answers.waiting.clear();
    }

    /// Scripted answers that were not used up.
    pub fn waiting_answers(&self) -> &[ScriptedAnswer] {
        &self.answers.waiting
    }

    pub(super) fn scripted_answer(&mut self, request: &Incoming, request_id: Uuid) -> Option<Outgoing> {
        let answer = self.answers.take(&request.method, &request.path)?;
        Some(self.outgoing(answer, request_id))
    }

    fn outgoing(&self, answer: CannedAnswer, request_id: Uuid) -> Outgoing {
        let error = match answer {
            CannedAnswer::Raw { status, content_type, headers, body } => {
                return Outgoing { status, content_type, headers, body, request_id, is_of_the_edge: false };
            }
            CannedAnswer::BadGatewayHtml => return edge_page(502, request_id),
            CannedAnswer::Edge { status } => return edge_page(status, request_id),
            CannedAnswer::NotFound => {
                let name = &self.settings().integration_name;
                ApiError::not_found("page", Uuid::nil(), name, self.bot_id())
            }
            CannedAnswer::MultipleDataSources { database_id, child_data_source_ids } => {
                let children: Vec<Uuid> = child_data_source_ids.iter().filter_map(|id| parse_id(id)).collect();
                multiple_data_sources(parse_id(&database_id).unwrap_or_default(), &children)
            }
            CannedAnswer::RateLimited { reason, retry_after_seconds } => rate_limited(&reason, retry_after_seconds),
            CannedAnswer::Blocked => rate_limited("public_api_request_blocked", None),
            other => plain_error(other),
        };
        Outgoing::error(&error, request_id)
    }
}

/// Returns the page that Cloudflare itself answers with.
fn edge_page(status: u16, request_id: Uuid) -> Outgoing {
    let title = match status {
        403 => "Attention Required! | Cloudflare".to_owned(),
        404 => "Not Found".to_owned(),
        429 => "Access denied | api.notion.com used Cloudflare to restrict access".to_owned(),
        502 => "api.notion.com | 502: Bad gateway".to_owned(),
        520 => "api.notion.com | 520: Web server is returning an unknown error".to_owned(),
        521 => "api.notion.com | 521: Web server is down".to_owned(),
        522 => "api.notion.com | 522: Connection timed out".to_owned(),
        524 => "api.notion.com | 524: A timeout occurred".to_owned(),
        other => format!("api.notion.com | {other}"),
    };
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>{title}</title></head>\n<body><h1>{title}</h1>\
         <p>Error code {status}</p></body>\n</html>\n"
    );
    Outgoing {
        status,
        content_type: "text/html; charset=UTF-8".to_owned(),
        headers: Vec::new(),
        body,
        request_id,
        is_of_the_edge: true,
    }
}

/// 429, as measured: `additional_data.retry_after` repeats the header as a string.
pub(super) fn rate_limited(reason: &str, retry_after_seconds: Option<u64>) -> ApiError {
    let data = ObjectText::new().text("rate_limit_reason", reason);
    let data = match retry_after_seconds {
        Some(seconds) => data.text("retry_after", &seconds.to_string()),
        None => data,
    };
    ApiError::new(429, "rate_limited", "You have been rate limited. Please try again later.")
        .with_data(data.finish())
        .with_retry_after(retry_after_seconds)
}

/// Returns the refusal that versions before 2025-09-03 get from a database with several data sources.
pub(super) fn multiple_data_sources(database: Uuid, children: &[Uuid]) -> ApiError {
    let children = list(children.iter().map(|id| quoted(&id.to_string())));
    ApiError::validation("Databases with multiple data sources are not supported in this API version.").with_data(
        ObjectText::new()
            .text("error_type", "multiple_data_sources_for_database")
            .text("database_id", &database.to_string())
            .raw("child_data_source_ids", &children)
            .text("minimum_api_version", "2025-09-03")
            .finish(),
    )
}

fn plain_error(answer: CannedAnswer) -> ApiError {
    let (status, code, message) = match answer {
        CannedAnswer::Overloaded { retry_after_seconds } => {
            let message = "Notion is temporarily overloaded. Please try again later.";
            return ApiError::new(529, "service_overload", message).with_retry_after(retry_after_seconds);
        }
        CannedAnswer::QueryUnavailable => return query_unavailable(),
        CannedAnswer::ValidationError { message } => return ApiError::validation(message),
        CannedAnswer::Unauthorized => return ApiError::unauthorized(),
        CannedAnswer::ServiceUnavailable => {
            (503, "service_unavailable", "Notion is unavailable. Please try again later.")
        }
        CannedAnswer::DatabaseConnectionUnavailable => {
            (503, "database_connection_unavailable", "Notion's database is unavailable. Please try again later.")
        }
        CannedAnswer::BadGateway => {
            (502, "bad_gateway", "Notion could not reach an upstream server. Please try again.")
        }
        CannedAnswer::GatewayTimeout => (504, "gateway_timeout", "Notion timed out. Please try again later."),
        CannedAnswer::Conflict => (409, "conflict_error", "Conflict occurred while saving. Please try again."),
        CannedAnswer::RestrictedResource => (403, "restricted_resource", "Insufficient permissions for this endpoint."),
        _ => (500, "internal_server_error", "An unexpected error occurred."),
    };
    ApiError::new(status, code, message)
}

/// The query endpoint's own 503 (verbatim from the documentation).
fn query_unavailable() -> ApiError {
    ApiError::new(
        503,
        "service_unavailable",
        "Public API data source query is temporarily unavailable due to backend datastore timeouts. Retry with \
         exponential backoff; if retries continue to fail, reduce page_size or narrow filters/sorts.",
    )
    .with_data(
        ObjectText::new()
            .text("endpoint_name", "public_queryDataSource")
            .text("notion_error_name", "PgPoolWaitConnectionTimeout")
            .raw(
                "retry_guidance",
                r#"["Use exponential backoff with jitter","Reduce page_size","Narrow query filters/sorts"]"#,
            )
            .finish(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_answer_waits_for_its_request_and_is_used_up() {
        let mut answers = Answers::default();
        answers.waiting.push(ScriptedAnswer::next_query(CannedAnswer::Conflict).after(1).times(2));
        assert_eq!(answers.take("GET", "/v1/users/me"), None);
        assert_eq!(answers.take("POST", "/v1/data_sources/x/query"), None);
        assert_eq!(answers.take("POST", "/v1/data_sources/x/query"), Some(CannedAnswer::Conflict));
        assert_eq!(answers.take("POST", "/v1/data_sources/x/query"), Some(CannedAnswer::Conflict));
        assert_eq!(answers.take("POST", "/v1/data_sources/x/query"), None);
        assert!(answers.waiting.is_empty());
    }

    #[test]
    fn rate_limits_look_as_measured() {
        let body = rate_limited("public_api_request_rate_limit", Some(49)).body(Uuid::nil());
        assert!(body.starts_with(
            r#"{"object":"error","status":429,"code":"rate_limited","message":"You have been rate limited. Please try again later.","additional_data":{"rate_limit_reason":"public_api_request_rate_limit","retry_after":"49"},"#
        ));
    }

    #[test]
    fn scripts_can_be_written_as_json() {
        let script: ScriptedAnswer =
            serde_json::from_str(r#"{"path_contains":"/query","answer":{"overloaded":{"retry_after_seconds":2}}}"#)
                .unwrap();
        assert_eq!(script.times, 1);
        assert!(serde_json::from_str::<ScriptedAnswer>(r#"{"answer":"blocked"}"#).is_ok());
    }
}
