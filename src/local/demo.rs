//! The demo: what happens, step by step, on screen.
