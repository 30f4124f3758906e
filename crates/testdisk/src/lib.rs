//! A disk below SQLite that loses power and fails, for the tests of the store.
//!
//! [`Disk::watch`] puts itself between SQLite and the real files of one directory. It writes down
//! every write, truncation, sync and deletion, and lets calls fail on demand. From what it wrote
//! down, [`Replay`] makes the files as they may look after a power cut at any point: whatever was
//! not synced may be there, be lost, be torn or be garbage, sector by sector.
//!
//! What the model assumes of a disk: what was synced stays; a write damages nothing beside it
//! ("powersafe overwrite", which SQLite assumes, too). A failed sync says nothing of what is on the
//! disk, and later syncs write none of it (as ext4, XFS and Btrfs behave): only writing it again does.

mod disk;
pub mod files;
mod image;
mod random;
mod replay;
mod vfs;

pub use disk::{Disk, Fault};
pub use image::Image;
pub use random::Random;
pub use replay::{Loss, Replay};
