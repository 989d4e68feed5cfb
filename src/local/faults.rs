//! The scripted fault proxy.
