//! Actions that read or prepare, one file each; a sync and a sweep are in [`crate::sync`].

pub mod health;
pub mod init_tables;
pub mod startup;
pub mod status;
pub mod verify;
