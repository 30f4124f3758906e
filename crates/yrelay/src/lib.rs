//! One local endpoint for everything that edits Yjs documents: sockets, disk and clock around
//! `yrelay-core`.

pub mod store;
