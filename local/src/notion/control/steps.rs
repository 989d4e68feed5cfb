//! Scripted changes over the control interface: lists of control requests that wait for their moment.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::world::Workspace;
use super::{Answer, ControlError, done, perform, read, unknown};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    #[serde(default)]
    after_page: Option<u32>,
    #[serde(default)]
    data_source_id: Option<String>,
    #[serde(default)]
    after_requests: Option<u32>,
    steps: Vec<Step>,
}

/// One control request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    method: String,
    path: String,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// Adds or forgets scripted changes.
pub(super) fn hooks(world: &mut Workspace, method: &str, body: &str) -> Answer {
    match method {
        "DELETE" => {
            world.clear_hooks();
            done()
        }
        "POST" => {
            let Hook { after_page, data_source_id, after_requests, steps } = read(body)?;
            let change = move |world: &mut Workspace| {
                for step in steps {
                    let body = step.body.as_ref().map_or("", |body| body.get());
                    // A step that fails leaves its mark in the log: nobody is there to be told.
                    if let Err(error) = perform(world, &step.method, &step.path, "", body) {
                        tracing::warn!(method = step.method, path = step.path, ?error, "a scripted change failed");
                    }
                }
            };
            match (after_page, after_requests) {
                (Some(page), None) => world.after_query_page(data_source_id.as_deref(), page, change)?,
                (None, Some(count)) => world.after_requests(count, change),
                _ => return Err(ControlError::bad("give one of `after_page`, `after_requests`")),
            }
            done()
        }
        _ => Err(unknown(method, "hooks")),
    }
}
