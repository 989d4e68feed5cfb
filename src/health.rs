//! The probes of `health`: each dependency by itself.
