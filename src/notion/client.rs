//! The exchanges with Notion that we use, each with its bounded retries; one limiter for all of them.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::Notion;
use super::judge::Exchange;
use super::property::PropertyItems;
use super::wire::{DataSourceInfo, DatabaseInfo, Frame, ListAnswer, Query, QueryPage, RequestStatus};
use super::{API_VERSION, NotionConfig, NotionError, TruncatedProperty, without_request_id};
use crate::aws::secrets::{CredentialSet, Secrets};
use crate::failure::Failure;
use crate::http::exchange::{Answer, Connection, CredentialSource, read_in_time, with_credential};
use crate::http::retry::RetryPolicy;
use crate::ids::{DataSourceId, DatabaseId, PageId};
use crate::run::Run;

/// Items asked for per page of a property.
const PROPERTY_PAGE_SIZE: &str = "100";

/// The Notion API; cheap to clone, all clones share connections and limiter.
#[derive(Debug, Clone)]
pub struct Client {
    page_size: u32,
    connection: Arc<Connection>,
    token: Token,
}

/// The source of Notion's token.
#[derive(Debug, Clone)]
struct Token(Secrets);

impl CredentialSource<Notion> for Token {
    type Credential = CredentialSet;

    async fn current(&self, run: &Run) -> Result<CredentialSet, NotionError> {
        read_in_time(run, self.0.current()).await
    }

    async fn after_refusal(&self, refused: &CredentialSet, run: &Run) -> Result<Option<CredentialSet>, NotionError> {
        let newer = read_in_time(run, self.0.reread(refused.generation)).await?;
        // Nothing newer: the secret may be right and the refusal a passing one, so it is tried once more all the same.
        Ok(newer.or_else(|| self.0.come_from_a_secret().then(|| refused.clone())))
    }
}

/// One request, described so that it can be sent again.
struct Request<'a> {
    exchange: Exchange,
    query: &'a [(&'a str, &'a str)],
    body: Option<&'a Value>,
    /// The same data is available in smaller pieces.
    can_shrink: bool,
}

impl<'a> Request<'a> {
    fn get(exchange: Exchange, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { exchange, query, body: None, can_shrink: false }
    }
}

impl Client {
    /// A client for the configured address; no network call.
    ///
    /// # Errors
    /// `Internal` when the HTTP client can't be set up.
    pub fn new(config: NotionConfig, secrets: Secrets, retry: RetryPolicy) -> Result<Self, Failure> {
        let NotionConfig { base_url, rate_limit_delay, timeout, page_size } = config;
        let connection = Arc::new(Connection::new(base_url, timeout, rate_limit_delay, retry)?);
        Ok(Self { page_size, connection, token: Token(secrets) })
    }

    /// Rows asked for per query page where nothing forces fewer.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// `GET /v1/users/me`: whether the token is accepted.
    ///
    /// # Errors
    /// [`NotionError`].
    pub async fn me(&self, run: &Run) -> Result<(), NotionError> {
        let request = Request::get(Exchange::Me, &[]);
        self.read(&request, run, |answer| Frame::read(&answer.body)?.is("user", None)).await
    }

    /// `GET /v1/databases/{id}`: the database and its data sources.
    ///
    /// # Errors
    /// [`NotionError`]; 404 when it does not exist or is not shared.
    pub async fn database(&self, id: DatabaseId, run: &Run) -> Result<DatabaseInfo, NotionError> {
        let request = Request::get(Exchange::Database(id), &[]);
        self.read(&request, run, |answer| {
            Frame::read(&answer.body)?.is("database", Some(&id.to_string()))?;
            let info: DatabaseInfo = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            Ok(DatabaseInfo { answered_at: answer.date, ..info })
        })
        .await
    }

    /// `GET /v1/data_sources/{id}`.
    ///
    /// # Errors
    /// [`NotionError`]; 404 when it does not exist or is not shared.
    pub async fn data_source(&self, id: DataSourceId, run: &Run) -> Result<DataSourceInfo, NotionError> {
        let request = Request::get(Exchange::DataSource(id), &[]);
        self.read(&request, run, |answer| {
            Frame::read(&answer.body)?.is("data_source", Some(&id.to_string()))?;
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
        })
        .await
    }

    /// `GET /v1/data_sources/{id}`: its text as received, schema and all.
    ///
    /// # Errors
    /// [`NotionError`]; 404 when it does not exist or is not shared.
    pub async fn data_source_text(&self, id: DataSourceId, run: &Run) -> Result<String, NotionError> {
        let request = Request::get(Exchange::DataSource(id), &[]);
        self.read(&request, run, |answer| {
            Frame::read(&answer.body)?.is("data_source", Some(&id.to_string()))?;
            std::str::from_utf8(&answer.body).map(str::to_owned).map_err(|error| error.to_string())
        })
        .await
    }

    /// `GET /v1/pages/{id}`: the page as a query would give it (its `request_id` is cut out).
    ///
    /// # Errors
    /// [`NotionError`]; 404 when it was deleted for good or is not shared.
    pub async fn page(&self, id: PageId, run: &Run) -> Result<Box<RawValue>, NotionError> {
        let request = Request::get(Exchange::Page(id), &[]);
        self.read(&request, run, |answer| {
            Frame::read(&answer.body)?.is("page", Some(&id.to_string()))?;
            let text = without_request_id(std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?)
                .map_err(|error| error.to_string())?;
            RawValue::from_string(text).map_err(|error| error.to_string())
        })
        .await
    }

    /// `POST /v1/data_sources/{id}/query`: one page of rows, raw. A query is a read, so it is retried like one.
    ///
    /// # Errors
    /// [`NotionError`]; also when `has_more` comes without a cursor.
    pub async fn query(
        &self,
        id: DataSourceId,
        query: &Query,
        cursor: Option<&str>,
        run: &Run,
    ) -> Result<QueryPage, NotionError> {
        let body = query.body(cursor);
        let title_only: &[(&str, &str)] = if query.title_only { &[("filter_properties[]", "title")] } else { &[] };
        let exchange = Exchange::Query(id);
        let request = Request { exchange, query: title_only, body: Some(&body), can_shrink: query.can_shrink };
        self.read(&request, run, |answer| {
            Frame::read(&answer.body)?.is("list", None)?;
            let list: ListAnswer = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            if list.has_more && list.next_cursor.is_none() {
                return Err("has_more is true and there is no next_cursor".to_owned());
            }
            Ok(QueryPage {
                rows: list.results,
                next_cursor: list.next_cursor.filter(|_| list.has_more),
                is_incomplete: list.request_status.as_ref().is_some_and(RequestStatus::is_incomplete),
                odd_status: list.request_status.as_ref().and_then(RequestStatus::oddity),
                request_id: list.request_id.or_else(|| answer.request_id.clone()),
            })
        })
        .await
    }

    /// `GET /v1/pages/{id}/properties/{property_id}`: one page of a property's items. The property's id is
    /// percent-encoded as the page gives it (facts/notion §5.2).
    ///
    /// # Errors
    /// [`NotionError`].
    pub async fn property_items(
        &self,
        page_id: PageId,
        property: &TruncatedProperty,
        cursor: Option<&str>,
        run: &Run,
    ) -> Result<PropertyItems, NotionError> {
        let mut query = vec![("page_size", PROPERTY_PAGE_SIZE)];
        query.extend(cursor.map(|cursor| ("start_cursor", cursor)));
        let request = Request::get(Exchange::PropertyItems(page_id, property.id.clone()), &query);
        self.read(&request, run, |answer| {
            let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
            PropertyItems::read(text, property)
        })
        .await
    }

    /// Sends an exchange with its retries; after a refusal once more with credentials read again.
    async fn read<T>(
        &self,
        request: &Request<'_>,
        run: &Run,
        parse: impl Fn(&Answer) -> Result<T, String>,
    ) -> Result<T, NotionError> {
        let policy = RetryPolicy { gives_up_overload: request.can_shrink, ..self.connection.retry };
        let (policy, parse) = (&policy, &parse);
        let tries = |credentials: &CredentialSet| {
            let token = credentials.notion_api_key.clone();
            async move {
                let attempt = || async {
                    let answer = self.once(request, run, &token).await?;
                    parse(&answer).map_err(|reason| NotionError::Unreadable {
                        exchange: request.exchange.clone(),
                        reason,
                        request_id: answer.request_id.clone(),
                    })
                };
                self.connection.tries(policy, run, attempt).await
            }
        };
        with_credential(&self.token, run, tries).await
    }

    async fn once(&self, request: &Request<'_>, run: &Run, token: &SecretString) -> Result<Answer, NotionError> {
        run.meter.request();
        let exchange = &request.exchange;
        let mut builder = self
            .connection
            .request(exchange.method(), &format!("/v1/{}", exchange.path()))
            .bearer_auth(token.expose_secret())
            .header("Notion-Version", API_VERSION);
        if !request.query.is_empty() {
            builder = builder.query(request.query);
        }
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        self.connection.send(exchange, builder, &[token]).await
    }
}
