//! HTTP/1.1 messages as they stand on the wire: found, never rewritten.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Longest start line with headers, bytes.
const HEAD_LIMIT: u64 = 256 * 1024;
/// Longest body, bytes as sent; more than the largest statement that the endpoint takes.
const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// A request: its start line read, its bytes untouched.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// True if the client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    framing: Framing,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// An answer: its status read, its bytes untouched.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: Vec<u8>,
    /// As sent, chunk sizes included.
    pub(super) body: Vec<u8>,
    /// True if the end of the connection ends the body.
    pub(super) ends_with_connection: bool,
}

impl Response {
    /// Returns the answer with another status and body, framed by its length.
    pub(super) fn rewritten(&self, change: impl FnOnce(u16, Vec<u8>) -> (u16, Vec<u8>)) -> io::Result<Self> {
        let parsed = Head::parse(&self.head)?;
        let body = match parsed.body_framing()? {
            Framing::Chunked => without_chunk_sizes(&self.body)?,
            _ => self.body.clone(),
        };
        let (status, body) = change(self.status, body);
        let is_kept = |line: &&&str| {
            let name = line.split(':').next().unwrap_or_default().trim();
            let framing = ["content-length", "transfer-encoding", ""];
            !framing.iter().any(|header| name.eq_ignore_ascii_case(header))
        };
        let mut head = format!("HTTP/1.1 {status} Rewritten\r\ncontent-length: {}\r\n", body.len());
        for line in parsed.header_lines.iter().filter(is_kept) {
            head.push_str(line.trim_end());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        Ok(Self { status, head: head.into_bytes(), body, ends_with_connection: self.ends_with_connection })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClosed,
}

/// Reads a request's head; `None` when the client has closed the connection between two requests.
pub(super) async fn read_request_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Request>> {
    let Some(head) = read_head(reader).await? else { return Ok(None) };
    let parsed = Head::parse(&head)?;
    let mut words = parsed.start_line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(malformed("a request without method and path"));
    };
    let framing = match parsed.body_framing()? {
        Framing::UntilClosed => Framing::Empty,
        framing => framing,
    };
    let expects_continue = parsed.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    let (method, path) = (method.to_owned(), path.to_owned());
    Ok(Some(Request { method, path, expects_continue, framing, head, body: Vec::new() }))
}

/// Reads the body that belongs to `request`'s head.
pub(super) async fn read_request_body(
    reader: &mut (impl AsyncBufRead + Unpin),
    request: &mut Request,
) -> io::Result<()> {
    request.body = read_body(reader, request.framing).await?;
    Ok(())
}

/// Reads the whole answer to a request with `method`; interim answers (1xx) are dropped.
pub(super) async fn read_response(reader: &mut (impl AsyncBufRead + Unpin), method: &str) -> io::Result<Response> {
    loop {
        let head = read_head(reader).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let parsed = Head::parse(&head)?;
        let status: u16 = parsed
            .start_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| malformed("an answer without a status"))?;
        if (100..200).contains(&status) {
            continue;
        }
        let has_no_body = method == "HEAD" || status == 204 || status == 304;
        let framing = if has_no_body { Framing::Empty } else { parsed.body_framing()? };
        let body = read_body(reader, framing).await?;
        return Ok(Response { status, head, body, ends_with_connection: framing == Framing::UntilClosed });
    }
}

/// A head's lines, without their bytes changed.
struct Head<'a> {
    start_line: &'a str,
    header_lines: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("a head that is not UTF-8"))?;
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let start_line = lines.next().ok_or_else(|| malformed("an empty head"))?;
        Ok(Self { start_line, header_lines: lines.collect() })
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.header_lines.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn body_framing(&self) -> io::Result<Framing> {
        let is_chunked =
            self.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
        match self.header("content-length") {
            _ if is_chunked => Ok(Framing::Chunked),
            Some(length) => {
                length.parse().map(Framing::Length).map_err(|_| malformed("a Content-Length that is no number"))
            }
            None => Ok(Framing::UntilClosed),
        }
    }
}

async fn read_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut limited = reader.take(HEAD_LIMIT);
    loop {
        let length = limited.read_until(b'\n', &mut head).await?;
        if length == 0 && head.is_empty() {
            return Ok(None);
        }
        if !head.ends_with(b"\n") {
            return Err(malformed("a head that is cut or too long"));
        }
        if length == 2 && head.len() > 2 && head.ends_with(b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
}

async fn read_body(reader: &mut (impl AsyncBufRead + Unpin), framing: Framing) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match framing {
        Framing::Empty => {}
        Framing::Length(length) => append_exactly(reader, length, &mut body).await?,
        Framing::UntilClosed => {
            reader.take(BODY_LIMIT + 1).read_to_end(&mut body).await?;
            ensure_within_limit(body.len() as u64)?;
        }
        Framing::Chunked => {
            while append_chunk(reader, &mut body).await? {}
            append_trailers(reader, &mut body).await?;
        }
    }
    Ok(body)
}

/// Returns the text of a body that came in chunks.
fn without_chunk_sizes(mut chunked: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let end =
            chunked.windows(2).position(|pair| pair == b"\r\n").ok_or_else(|| malformed("a chunk without size"))?;
        let line = std::str::from_utf8(&chunked[..end]).map_err(|_| malformed("a chunk size that is not UTF-8"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk size that is no number"))?;
        if size == 0 {
            return Ok(text);
        }
        let chunk = chunked.get(end + 2..end + 2 + size).ok_or_else(|| malformed("a body that is cut"))?;
        text.extend_from_slice(chunk);
        chunked = chunked.get(end + 2 + size + 2..).unwrap_or_default();
    }
}

/// Appends one chunk with its size line; false after the last one, which is empty.
async fn append_chunk(reader: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<bool> {
    let line_at = body.len();
    append_line(reader, body).await?;
    let size_line = std::str::from_utf8(&body[line_at..]).map_err(|_| malformed("a chunk size that is not UTF-8"))?;
    let size = size_line.split([';', '\r', '\n']).next().unwrap_or_default().trim();
    let size = u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk size that is no number"))?;
    if size == 0 {
        return Ok(false);
    }
    append_exactly(reader, size.saturating_add(2), body).await?;
    Ok(true)
}

async fn append_trailers(reader: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line_at = body.len();
        append_line(reader, body).await?;
        if &body[line_at..] == b"\r\n" {
            return Ok(());
        }
    }
}

async fn append_line(reader: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<()> {
    reader.take(HEAD_LIMIT).read_until(b'\n', body).await?;
    if body.ends_with(b"\n") { Ok(()) } else { Err(malformed("a body that is cut")) }
}

async fn append_exactly(reader: &mut (impl AsyncBufRead + Unpin), length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    ensure_within_limit(length.saturating_add(body.len() as u64))?;
    let read = reader.take(length).read_to_end(body).await?;
    if read as u64 == length { Ok(()) } else { Err(malformed("a body that is cut")) }
}

fn ensure_within_limit(length: u64) -> io::Result<()> {
    if length > BODY_LIMIT { Err(malformed("a body over the proxy's limit")) } else { Ok(()) }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
