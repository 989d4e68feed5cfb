//! Each fault against a small upstream, seen from a raw client: what comes over the wire, and what the upstream has seen.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::*;

/// An answer as a server might send it: odd spelling, chunks of odd sizes, a body that is no text.
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-TYPE:  application/json\r\nX-Odd:a\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;x=y\r\n\x1f\x8b\x08\0\0\r\nc\r\n\r\n0\r\n\r\nrest!\r\n0\r\nX-Trailer: 1\r\n\r\n";
const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789";
const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const QUERY: &[u8] = b"POST /v1/query?a=b HTTP/1.1\r\nhost: x\r\nContent-LENGTH: 13\r\n\r\n{\"page\":\"one\"";

/// A server that gives every request the same answer and keeps what it was sent.
struct Upstream {
    base_url: String,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    async fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(loopback::address(0)).await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&seen);
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (reader, mut writer) = stream.split();
                let mut reader = BufReader::new(reader);
                let Ok(Some(mut request)) = wire::read_request_head(&mut reader).await else { continue };
                wire::read_request_body(&mut reader, &mut request).await.unwrap();
                kept.lock().unwrap().push([request.head, request.body].concat());
                writer.write_all(answer).await.unwrap();
            }
        });
        Self { base_url, seen, _tasks: tasks }
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

struct Setup {
    upstream: Upstream,
    proxy: FaultProxy,
    client: BufReader<TcpStream>,
}

impl Setup {
    async fn new(answer: &'static [u8], rules: impl IntoIterator<Item = Rule>) -> Self {
        let upstream = Upstream::answering(answer).await;
        let proxy = FaultProxy::start(&upstream.base_url).await.unwrap();
        rules.into_iter().for_each(|rule| proxy.add(rule));
        let client = BufReader::new(TcpStream::connect(proxy.address).await.unwrap());
        Self { upstream, proxy, client }
    }

    /// A client on a new connection.
    async fn reconnect(&mut self) {
        self.client = BufReader::new(TcpStream::connect(self.proxy.address).await.unwrap());
    }

    async fn send(&mut self, request: &[u8]) {
        self.client.get_mut().write_all(request).await.unwrap();
    }

    /// Sends a request and reads a whole answer of the length of `answer`.
    async fn exchange(&mut self, answer: &[u8]) -> Vec<u8> {
        self.send(QUERY).await;
        let mut bytes = vec![0; answer.len()];
        self.client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// Sends a request and reads until the connection ends.
    async fn exchange_to_the_end(&mut self) -> (Vec<u8>, Result<(), ErrorKind>) {
        self.send(QUERY).await;
        let mut bytes = Vec::new();
        let end = self.client.read_to_end(&mut bytes).await;
        (bytes, end.map(drop).map_err(|error| error.kind()))
    }

    fn last(&self) -> Exchange {
        self.proxy.exchanges().pop().unwrap()
    }
}

fn logged(upstream_status: Option<u16>, status: Option<u16>, fault: Option<&str>) -> Exchange {
    let (method, path, fault) = ("POST".to_owned(), "/v1/query?a=b".to_owned(), fault.map(str::to_owned));
    Exchange { index: 0, method, path, upstream_status, status, fault }
}

#[tokio::test]
async fn without_a_fault_every_byte_passes_and_the_connection_stays_open() {
    for answer in [CHUNKED, SIZED, EMPTY] {
        let mut setup = Setup::new(answer, []).await;
        for _ in 0..3 {
            assert_eq!(setup.exchange(answer).await, answer);
        }
        assert_eq!(*setup.upstream.seen.lock().unwrap(), [QUERY; 3]);
        let exchanges = setup.proxy.exchanges();
        assert_eq!(exchanges[0], logged(Some(200), Some(200), None));
        assert_eq!(exchanges.iter().map(|exchange| exchange.index).collect::<Vec<_>>(), [0, 1, 2]);
    }
}

#[tokio::test]
async fn a_body_in_chunks_passes_in_the_same_chunks() {
    const CHUNKED_QUERY: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut setup = Setup::new(SIZED, []).await;
    setup.send(CHUNKED_QUERY).await;
    setup.client.read_exact(&mut [0; SIZED.len()]).await.unwrap();
    assert_eq!(*setup.upstream.seen.lock().unwrap(), [CHUNKED_QUERY]);
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_passes() {
    const UNTIL_CLOSED: &[u8] = b"HTTP/1.0 200 OK\r\n\r\nwhatever comes";
    let mut setup = Setup::new(UNTIL_CLOSED, []).await;
    assert_eq!(setup.exchange_to_the_end().await, (UNTIL_CLOSED.to_vec(), Ok(())));
}

#[tokio::test]
async fn a_client_that_waits_before_its_body_is_told_to_go_on() {
    let mut setup = Setup::new(SIZED, []).await;
    setup.send(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    let mut line = String::new();
    setup.client.read_line(&mut line).await.unwrap();
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
}

#[tokio::test]
async fn an_answer_in_the_servers_place_never_reaches_the_upstream() {
    let rate_limited = Answer::notion_rate_limited("public_api_space_request_rate_limit", Some(7));
    let mut setup = Setup::new(SIZED, [Rule::new(Fault::Answer(rate_limited.clone()))]).await;
    let text = String::from_utf8(setup.exchange(&rate_limited.encode()).await).unwrap();
    assert!(text.starts_with("HTTP/1.1 429 "), "{text}");
    assert!(text.contains("\r\nRetry-After: 7\r\n"), "{text}");
    let body: serde_json::Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["additional_data"]["rate_limit_reason"], "public_api_space_request_rate_limit");
    assert_eq!(setup.last(), logged(None, Some(429), Some("answer 429")));
    // The rule is used up, the connection still there.
    assert_eq!(setup.exchange(SIZED).await, SIZED);
    assert_eq!(setup.upstream.requests(), 1);
}

#[tokio::test]
async fn a_reset_before_leaves_nothing_done_and_a_reset_after_everything() {
    for (fault, name, requests, status) in
        [(Fault::ResetBefore, "reset before", 0, None), (Fault::ResetAfter, "reset after", 1, Some(200))]
    {
        let mut setup = Setup::new(SIZED, [Rule::new(fault)]).await;
        assert_eq!(setup.exchange_to_the_end().await, (Vec::new(), Err(ErrorKind::ConnectionReset)), "{name}");
        assert_eq!(setup.upstream.requests(), requests, "{name}");
        assert_eq!(setup.last(), logged(status, None, Some(name)));
    }
}

#[tokio::test]
async fn a_truncated_answer_ends_early_and_in_order() {
    for answer in [SIZED, CHUNKED, EMPTY] {
        let mut setup = Setup::new(answer, [Rule::new(Fault::TruncateBody)]).await;
        let (bytes, end) = setup.exchange_to_the_end().await;
        assert_eq!(end, Ok(()));
        assert!(!bytes.is_empty() && bytes.len() < answer.len() && answer.starts_with(&bytes));
        assert_eq!(setup.upstream.requests(), 1);
    }
    let mut setup = Setup::new(SIZED, [Rule::new(Fault::TruncateBody)]).await;
    let (bytes, _) = setup.exchange_to_the_end().await;
    assert!(bytes.ends_with(b"\r\n\r\n0123456789"), "half of the body");
}

#[tokio::test]
async fn a_http_client_takes_a_truncated_answer_for_an_error() {
    for answer in [SIZED, CHUNKED] {
        let setup = Setup::new(answer, [Rule::new(Fault::TruncateBody)]).await;
        let response = loopback::client().unwrap().get(setup.proxy.base_url()).send().await.unwrap();
        assert!(response.bytes().await.is_err());
    }
}

#[tokio::test]
async fn a_hang_holds_the_connection_open_until_its_bound() {
    for (fault, requests) in [(Fault::HangBefore as fn(_) -> _, 0), (Fault::HangAfter, 1)] {
        let bound = Duration::from_millis(50);
        let mut setup = Setup::new(SIZED, [Rule::new(fault(Some(bound))), Rule::new(fault(None))]).await;
        let start = Instant::now();
        assert_eq!(setup.exchange_to_the_end().await, (Vec::new(), Err(ErrorKind::ConnectionReset)));
        assert!(start.elapsed() >= bound);
        assert_eq!(setup.upstream.requests(), requests);
        setup.reconnect().await;
        setup.send(QUERY).await;
        let nothing = tokio::time::timeout(bound, setup.client.read_u8()).await;
        assert!(nothing.is_err(), "a hang without a bound stays open: {nothing:?}");
        setup.proxy.stop().await;
        assert!(setup.client.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn slow_requests_and_bodies_arrive_whole() {
    let delay = Duration::from_millis(60);
    let rules = [Rule::new(Fault::SlowRequest(delay)), Rule::new(Fault::SlowBody(delay))];
    let mut setup = Setup::new(CHUNKED, rules).await;
    for _ in 0..2 {
        let start = Instant::now();
        assert_eq!(setup.exchange(CHUNKED).await, CHUNKED);
        assert!(start.elapsed() >= delay);
    }
}

#[tokio::test]
async fn a_held_exchange_waits_for_its_release() {
    let (request, answer) = (Hold::new(), Hold::new());
    let rules = [Rule::new(Fault::HoldRequest(request.clone())), Rule::new(Fault::HoldAnswer(answer.clone()))];
    let mut setup = Setup::new(SIZED, rules).await;
    for (hold, requests_while_held) in [(request, 0), (answer, 2)] {
        setup.send(QUERY).await;
        hold.reached().await;
        assert_eq!(setup.upstream.requests(), requests_while_held);
        assert_eq!(setup.last().status, None);
        hold.release();
        let mut bytes = [0; SIZED.len()];
        setup.client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, SIZED);
    }
}

#[tokio::test]
async fn the_exchanges_of_one_run_can_be_counted_and_one_of_them_broken() {
    let mut setup = Setup::new(SIZED, []).await;
    for _ in 0..3 {
        setup.exchange(SIZED).await;
    }
    let count = setup.proxy.exchanges().len() as u64;
    for broken in 0..count {
        setup.proxy.forget_exchanges();
        setup.proxy.clear_rules();
        setup.proxy.add(Rule::new(Fault::ResetAfter).exchange(broken));
        setup.reconnect().await;
        for index in 0..count {
            if index == broken {
                assert_eq!(setup.exchange_to_the_end().await.1, Err(ErrorKind::ConnectionReset));
                setup.reconnect().await;
            } else {
                assert_eq!(setup.exchange(SIZED).await, SIZED);
            }
        }
        let faults: Vec<bool> = setup.proxy.exchanges().iter().map(|exchange| exchange.fault.is_some()).collect();
        assert_eq!(faults, (0..count).map(|index| index == broken).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stopped_proxy_and_a_missing_upstream_refuse() {
    let mut setup = Setup::new(SIZED, []).await;
    setup.upstream._tasks.shutdown().await;
    assert_eq!(setup.exchange_to_the_end().await.1, Err(ErrorKind::ConnectionReset));
    let address = setup.proxy.address;
    setup.proxy.stop().await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(FaultProxy::start("https://127.0.0.1:1").await.is_err());
}
