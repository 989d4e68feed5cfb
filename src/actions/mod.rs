//! Actions that read or prepare, one file each; a sync and a sweep are in [`crate::sync`].

pub(crate) mod health;
pub(crate) mod init_tables;
pub(crate) mod startup;
pub(crate) mod status;
pub(crate) mod verify;
