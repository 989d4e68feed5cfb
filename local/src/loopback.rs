//! Addresses and HTTP on this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The time that one request inside the local stack may take; a statement on the real engine is the slowest.
const REQUEST_BOUND: Duration = Duration::from_secs(120);

/// The loopback address with a port; 0 = any free one.
pub fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that is free at this moment, for a child process that can't tell which one it took.
///
/// # Errors
/// When the system has none to give.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(address(0))?.local_addr()?.port())
}

/// Fails when something listens on this port already: another program there must not be taken for ours.
///
/// # Errors
/// When the address can't be bound.
pub fn ensure_free(port: u16) -> std::io::Result<()> {
    let taken = |error: std::io::Error| {
        std::io::Error::new(
            error.kind(),
            format!("{} is taken ({error}); end what listens there, or start with --free-ports", address(port)),
        )
    };
    TcpListener::bind(address(port)).map(drop).map_err(taken)
}

/// A client for the local stack's own use.
///
/// # Errors
/// When the system's root certificates can't be loaded.
pub fn client() -> reqwest::Result<reqwest::Client> {
    // No proxy: a proxy of the environment must not come between the parts of one machine.
    reqwest::Client::builder().timeout(REQUEST_BOUND).no_proxy().build()
}
