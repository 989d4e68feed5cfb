//! The HTTP face: axum in front of the workspace; headers as Notion (behind Cloudflare) sends them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, SERVER,
};
use axum::http::{Response, StatusCode};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::api::{self, Incoming, Outgoing};
use super::control;
use super::error::ApiError;
use super::gzip::gzip;
use super::log::LoggedRequest;
use super::settings::Settings;
use super::world::Workspace;

/// Largest request body that is read, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// The time that an ending server waits for unfinished answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A Notion of one's own, listening. It ends when it is dropped.
#[derive(Debug)]
pub struct NotionEmulator {
    address: SocketAddr,
    workspace: SharedWorkspace,
    end: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl NotionEmulator {
    /// Starts an empty workspace at this address (port 0: any free one). Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn start(address: SocketAddr, settings: Settings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let workspace = SharedWorkspace(Arc::new(Mutex::new(Workspace::new(settings))));
        let router = Router::new().fallback(serve).with_state(workspace.clone());
        let (end, ended) = oneshot::channel();
        // Answers are small and many: without this each could wait 40 ms for the client's acknowledgement.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let server = tokio::spawn(async move {
            // A closed channel ends the server too: that is the drop.
            let served = axum::serve(listener, router).with_graceful_shutdown(async { drop(ended.await) });
            drop(served.await);
        });
        Ok(Self { address, workspace, end: Some(end), server })
    }

    /// Returns the server's address, such as `http://127.0.0.1:8123`, without `/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The workspace, for as long as `work` takes; no request is answered meanwhile.
    pub fn workspace<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        work(&mut self.workspace.lock())
    }

    /// The requests under `/v1` so far, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.workspace(|world| world.requests())
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.workspace(Workspace::clear_requests);
    }

    /// Ends the server; answers on their way get two seconds.
    pub async fn stop(mut self) {
        drop(self.end.take());
        drop(tokio::time::timeout(LAST_ANSWERS, &mut self.server).await);
        self.server.abort();
    }
}

#[derive(Debug, Clone)]
struct SharedWorkspace(Arc<Mutex<Workspace>>);

impl SharedWorkspace {
    /// A test that panicked inside the workspace must not hide behind a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, Workspace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(State(workspace): State<SharedWorkspace>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let header = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let incoming = Incoming {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        token: header(&AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
        notion_version: header(&HeaderName::from_static("notion-version")).map(str::to_owned),
        body: body.into(),
    };
    if incoming.path == "/control" || incoming.path.starts_with("/control/") {
        let (status, body) = control::answer(&mut workspace.lock(), &incoming);
        return response(status, "application/json", &[], body.into_bytes());
    }
    let (mut outgoing, latency_ms, with_gzip) = answered(&workspace, &incoming);
    let date = workspace.lock().now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    outgoing.headers.push((DATE.to_string(), date));
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    notion_response(outgoing, with_gzip && accepts_gzip(&head.headers))
}

fn answered(workspace: &SharedWorkspace, incoming: &Incoming) -> (Outgoing, u64, bool) {
    let mut world = workspace.lock();
    let outgoing = if incoming.path.starts_with("/v1/") {
        api::answer(&mut world, incoming)
    } else {
        Outgoing::error(&ApiError::invalid_url(), uuid::Uuid::new_v4())
    };
    let settings = world.settings();
    (outgoing, settings.latency_ms, settings.gzip)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"))
}

/// Sent in chunks without a length, as Notion does.
fn notion_response(outgoing: Outgoing, with_gzip: bool) -> Response<Body> {
    let ray = format!("{:016x}-FRA", outgoing.request_id.as_u128() >> 64);
    let mut headers = outgoing.headers;
    if !outgoing.is_of_the_edge {
        headers.push(("x-notion-request-id".to_owned(), outgoing.request_id.to_string()));
    }
    headers.push(("cf-ray".to_owned(), ray));
    headers.push((SERVER.to_string(), "cloudflare".to_owned()));
    let mut body = outgoing.body.into_bytes();
    if with_gzip {
        headers.push((CONTENT_ENCODING.to_string(), "gzip".to_owned()));
        body = gzip(&body);
    }
    response(outgoing.status, &outgoing.content_type, &headers, body)
}

fn response(status: u16, content_type: &str, headers: &[(String, String)], body: Vec<u8>) -> Response<Body> {
    let chunks = futures_util::stream::once(std::future::ready(Ok::<_, Infallible>(body)));
    let mut response = Response::new(Body::from_stream(chunks));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = response.headers_mut();
    let content_type = (CONTENT_TYPE.to_string(), content_type.to_owned());
    for (name, value) in headers.iter().chain([&content_type]) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.insert(name, value);
        }
    }
    response
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
