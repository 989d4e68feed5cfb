//! A believable workspace.
