//! The Notion emulator.
