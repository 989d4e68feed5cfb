//! Spacing between requests, and the pause that a server asks of everyone.
