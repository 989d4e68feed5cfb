//! One client connection: its exchanges one after another, each with its fault.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use super::script::Fault;
use super::wire::{self, Request, Response};
use super::{State, Ticket, connect};

/// In how many pieces a slow body comes.
const DRIPS: usize = 10;

/// The state of the client's connection after an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    KeepOpen,
    Close,
    Reset,
}

/// The client's side of the proxy.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// Serves one client until it goes away or a fault ends the connection.
pub(super) async fn serve(client: TcpStream, state: Arc<State>) {
    // Without it small answers wait for the other side's acknowledgement.
    let _ = client.set_nodelay(true);
    let (reader, writer) = client.into_split();
    let mut client = Client { reader: BufReader::new(reader), writer };
    let end = loop {
        match serve_one(&mut client, &state).await {
            Ok(Next::KeepOpen) => {}
            Ok(end) => break end,
            // An upstream that breaks off or refuses looks to the client as it would without the proxy.
            Err(_) => break Next::Reset,
        }
    };
    // Put together again: a writing half that is dropped alone would end the connection in order first.
    let stream = client.reader.into_inner().reunite(client.writer);
    if let (Next::Reset, Ok(stream)) = (end, stream) {
        // With a linger of zero the end of the connection is a reset.
        let _ = stream.set_zero_linger();
    }
}

async fn serve_one(client: &mut Client, state: &State) -> io::Result<Next> {
    let Some(mut request) = wire::read_request_head(&mut client.reader).await? else { return Ok(Next::Close) };
    if request.expects_continue {
        client.writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    wire::read_request_body(&mut client.reader, &mut request).await?;
    let (ticket, fault) = state.begin(&request);
    match fault {
        None => {
            let response = forward(state, ticket, &request).await?;
            deliver(client, state, ticket, &response).await
        }
        Some(fault) => serve_with(&fault, client, state, ticket, &request).await,
    }
}

async fn serve_with(
    fault: &Fault,
    client: &mut Client,
    state: &State,
    ticket: Ticket,
    request: &Request,
) -> io::Result<Next> {
    match fault {
        Fault::Answer(answer) => {
            client.writer.write_all(&answer.encode()).await?;
            state.note(ticket, |exchange| exchange.status = Some(answer.status));
            return Ok(Next::KeepOpen);
        }
        Fault::ResetBefore => return Ok(Next::Reset),
        Fault::HangBefore(bound) => return hang(client, *bound).await,
        Fault::SlowRequest(delay) => client.while_connected(sleep(*delay)).await?,
        Fault::HoldRequest(hold) => client.while_connected(hold.pass()).await?,
        _ => {}
    }
    let response = forward(state, ticket, request).await?;
    match fault {
        Fault::ResetAfter => return Ok(Next::Reset),
        Fault::HangAfter(bound) => return hang(client, *bound).await,
        Fault::TruncateBody => return truncate(client, state, ticket, &response).await,
        Fault::SlowBody(duration) => return drip(client, state, ticket, &response, *duration).await,
        Fault::HoldAnswer(hold) => client.while_connected(hold.pass()).await?,
        Fault::Rewrite(rewrite) => {
            let rewritten = response.rewritten(|status, body| rewrite.apply(status, body))?;
            return deliver(client, state, ticket, &rewritten).await;
        }
        _ => {}
    }
    deliver(client, state, ticket, &response).await
}

/// Sends the request on and reads the whole answer: then the upstream has applied it.
async fn forward(state: &State, ticket: Ticket, request: &Request) -> io::Result<Response> {
    let (reader, mut writer) = connect(state).await?.into_split();
    writer.write_all(&request.head).await?;
    writer.write_all(&request.body).await?;
    let response = wire::read_response(&mut BufReader::new(reader), &request.method).await?;
    state.note(ticket, |exchange| exchange.upstream_status = Some(response.status));
    Ok(response)
}

async fn deliver(client: &mut Client, state: &State, ticket: Ticket, response: &Response) -> io::Result<Next> {
    client.writer.write_all(&response.head).await?;
    client.writer.write_all(&response.body).await?;
    state.note(ticket, |exchange| exchange.status = Some(response.status));
    Ok(if response.ends_with_connection { Next::Close } else { Next::KeepOpen })
}

async fn hang(client: &mut Client, bound: Option<Duration>) -> io::Result<Next> {
    match bound {
        Some(bound) => client.while_connected(sleep(bound)).await?,
        None => client.while_connected(std::future::pending()).await?,
    }
    Ok(Next::Reset)
}

/// Sends the first half of the body, or of the head where there is no body to cut, and ends the connection in order.
async fn truncate(client: &mut Client, state: &State, ticket: Ticket, response: &Response) -> io::Result<Next> {
    if response.ends_with_connection {
        // Nothing would tell a cut body from a whole one; a reset does.
        client.writer.write_all(&response.head).await?;
        return Ok(Next::Reset);
    }
    if response.body.is_empty() {
        client.writer.write_all(&response.head[..response.head.len() / 2]).await?;
    } else {
        client.writer.write_all(&response.head).await?;
        client.writer.write_all(&response.body[..response.body.len() / 2]).await?;
        state.note(ticket, |exchange| exchange.status = Some(response.status));
    }
    client.writer.shutdown().await?;
    Ok(Next::Close)
}

async fn drip(
    client: &mut Client,
    state: &State,
    ticket: Ticket,
    response: &Response,
    duration: Duration,
) -> io::Result<Next> {
    client.writer.write_all(&response.head).await?;
    let piece_length = response.body.len().div_ceil(DRIPS).max(1);
    for piece in response.body.chunks(piece_length) {
        client.while_connected(sleep(duration / u32::try_from(DRIPS).unwrap_or(1))).await?;
        client.writer.write_all(piece).await?;
    }
    state.note(ticket, |exchange| exchange.status = Some(response.status));
    Ok(if response.ends_with_connection { Next::Close } else { Next::KeepOpen })
}

impl Client {
    /// Waits for `wait`, unless the client goes away first.
    async fn while_connected(&mut self, wait: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            () = wait => Ok(()),
            () = gone(&mut self.reader) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// Resolves when the client has closed its side.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    match reader.fill_buf().await {
        Ok(bytes) if !bytes.is_empty() => {
            // The next request has come already: the client is there.
            std::future::pending().await
        }
        _ => {}
    }
}
