//! The command line: arguments, tables, progress.
