//! The event a Lambda invocation brings: parsed strictly, before any network call.
