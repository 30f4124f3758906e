//! Every bound of the core: unit, value, reason.

/// A document identifier in UTF-8. Long enough for any path a person writes.
pub const IDENTIFIER_BYTES_MAX: usize = 512;

/// Y messages in one WebSocket frame: providers send a handful; more is a flood.
pub const MESSAGES_PER_FRAME_MAX: usize = 1_024;

/// Nesting of `Any` values and of JSON texts inside an update: what readers that recurse survive.
pub const ANY_DEPTH_MAX: usize = 64;

/// Client ids are below this: the range of integers that JavaScript holds exactly.
pub const CLIENT_ID_END: u64 = 1 << 53;

/// Clock plus length is below this: JavaScript's bit operations are 32 bits wide and signed.
pub const CLOCK_END: u64 = 1 << 31;

/// Bytes of one update: the index keeps offsets in 32 bits.
pub const UPDATE_BYTES_MAX: usize = 1 << 30;

/// Structs in one update. Each costs an index entry.
pub const STRUCTS_PER_UPDATE_MAX: usize = 2_000_000;

/// Ranges in the delete set of one update. Each costs an index entry.
pub const DELETES_PER_UPDATE_MAX: usize = 2_000_000;

/// Entries of a state vector.
pub const STATE_VECTOR_ENTRIES_MAX: usize = 1_000_000;
