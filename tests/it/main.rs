//! The only integration-test binary: features of the service, told as stories, on the real local stack.

mod support;

mod sync;
