//! The only integration-test binary: features of the service, told as stories, on the real local stack.

mod support;

mod cap;
mod cursor;
mod hydrate;
mod proof;
mod resume;
mod schema_upgrade;
mod simulation;
mod sweep;
mod sync;
mod watermark;
