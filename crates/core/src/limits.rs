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

/// Structs of one document that stand beyond gaps. They are stored and passed on, but no reader
/// can use them, each joiner is sent them all, and none is ever joined with what it belongs to.
/// What comes beyond a gap then is left out; what fills one never is.
pub const PENDING_STRUCTS_MAX: usize = 100_000;
/// Their bytes. The update that passes either bound is still taken, whole.
pub const PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of a state vector.
pub const STATE_VECTOR_ENTRIES_MAX: usize = 1_000_000;

/// One awareness state as JSON. Cursors and names take hundreds of bytes.
pub const AWARENESS_STATE_BYTES_MAX: usize = 16 * 1024;

/// Nesting of an awareness state.
pub const AWARENESS_DEPTH_MAX: usize = 32;

/// Awareness ids that one local peer may announce: its own and those it forwards.
pub const AWARENESS_IDS_PER_PEER_MAX: usize = 64;

/// All live awareness states of one document.
pub const AWARENESS_BYTES_MAX: usize = 1024 * 1024;
/// What each of them counts beside its own bytes. Clients are few; a relay may bring any number.
pub const AWARENESS_ENTRY_BYTES: usize = 128;

/// Departed ids remembered per document, so that one that returns with an old clock is told.
pub const AWARENESS_TOMBSTONES_MAX: usize = 4_096;

/// An awareness entry lives this long without renewal (y-protocols: 30 s; renewed each 15 s).
pub const AWARENESS_EXPIRY_MS: u64 = 30_000;

/// What came over the upstream outlives its connection by this: a flap is not a storm.
pub const AWARENESS_LINK_GRACE_MS: u64 = 10_000;

/// What a server takes of awareness it has sent back by then.
pub const AWARENESS_ECHO_MS: u64 = 3_000;

/// So much higher may an awareness clock be above than here. What a server does not send back for
/// other reasons is not told again for ever.
pub const AWARENESS_RAISE_MAX: i64 = 1_022;

/// Some peers count awareness clocks in 32 bits, and add one.
pub const AWARENESS_CLOCK_MAX: u64 = u32::MAX as u64 - 1;

/// A larger jump of an awareness clock would freeze the id for its honest owner.
pub const AWARENESS_CLOCK_JUMP_MAX: u64 = 1 << 31;

/// Bytes of one document that wait to be saved; beyond, its writers are sent away.
pub const UNSAVED_BYTES_PER_DOCUMENT_MAX: usize = 64 * 1024 * 1024;

/// Saved updates of one document that a returning author is told of once more.
pub const RECENT_BYTES_MAX: usize = 64 * 1024;

/// Of what one commit has saved of a client, it is told so much at once, and the rest as it has room:
/// a few hundred keystrokes, for which every queue has place.
pub const ACKS_AT_ONCE_BYTES: usize = 16 * 1024;

/// What a client may leave unread of that while it writes on: some large pastes.
pub const ACKS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Rows behind a snapshot before they are compacted.
pub const LOG_UPDATES_MAX: usize = 500;

/// Bytes behind a snapshot before they are compacted, if they also outgrow it twice.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Inputs held while a document loads; its readers wait beyond that.
pub const HELD_INPUTS_MAX: usize = 256;

/// Bytes held while a document loads.
pub const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One message of a difference on a link, however fast that is: below the 1 MiB that Python's
/// websockets takes, and small enough that one document's backlog does not hold up the others.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// One message to a client. It has its connection to itself.
pub const CLIENT_CHUNK_BYTES_MAX: usize = 768 * 1024;

/// So much is remembered and shown of why another relay does not take a document.
pub const REASON_CHARS_MAX: usize = 256;

/// Frames and bytes of an opaque document that are not kept and wait for a link.
pub const OPAQUE_FRAMES_MAX: usize = 1_024;
/// See [`OPAQUE_FRAMES_MAX`].
pub const OPAQUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Frames of an opaque document that are kept. A program that is open and idle sends one each 15 s:
/// three weeks of that, or some days of writing. Who joins has to decrypt them all, in about 5 s.
pub const ARCHIVE_FRAMES_MAX: usize = 131_072;
/// Their bytes, all of which are in memory while the document is: what one paste of each hour of a
/// month comes to, or what who joins over 100 Mbit/s waits 3 s for.
pub const ARCHIVE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What each takes in memory beside its bytes.
pub const ARCHIVE_FRAME_BYTES: usize = 128;

/// Frames that are not kept and have been passed on lately: so many are known when they come back.
pub const PASSED_FRAMES_MAX: usize = 256;

/// A program of ELVA sends the three frames of its opening within milliseconds.
pub const OPENING_MS: u64 = 1_000;
/// More of it would come within this time: a machine that is busy may hold up a program so long.
pub const SETTLE_MS: u64 = 250;
/// Who says nothing for this long may not be going to.
pub const SILENT_MS: u64 = 5_000;

/// Who is told what is kept has dealt with it when it was quiet for this long.
pub const QUIET_MS: u64 = 1_000;
/// While somebody writes, it never is: after this long it is asked all the same.
pub const TOLD_MS: u64 = 5_000;
/// Its own question it answers within this time; what comes later may be something else.
pub const ANSWER_MS: u64 = 500;

/// What went over a link so long before its end has arrived: one that is dead is found sooner.
pub const DELIVERED_MS: u64 = 60_000;

/// A client that sends no step 1 gets live updates after this time.
pub const STEP_1_PATIENCE_MS: u64 = 1_000;

/// A client's step 2 waits this long for the upstream's, where nothing is stored.
pub const UPSTREAM_FIRST_MS: u64 = 1_500;

/// An upstream that has not answered a step 1 within this time will not.
pub const UPSTREAM_ANSWER_MS: u64 = 2_000;

/// One that has answered before will: only what is on the way is slow. It is given this long
/// before everything is pushed that it may hold already; a link that is dead is found sooner.
pub const UPSTREAM_KEEPER_ANSWER_MS: u64 = 40_000;

/// A document that could not be loaded for the upstream's sake is tried again after this time.
pub const LOAD_RETRY_MS: u64 = 60_000;
/// If it fails again and again, it is tried no less often than this.
pub const LOAD_RETRY_MS_MAX: u64 = 3_600_000;

/// Spread of the full push to an upstream that only broadcasts, so that many relays do not all
/// answer one joiner.
pub const PUSH_JITTER_MS: u64 = 500;

/// Quiet time before the upstream is asked to prove what it holds.
pub const PROOF_QUIET_MS: u64 = 2_000;

/// While changes keep coming, the upstream is asked this often at most.
pub const PROOF_BUSY_MS: u64 = 30_000;

/// Clients that are remembered to tell one history of a document from another. A document has as
/// many as there were times that somebody opened and changed it.
pub const HISTORY_CLIENTS_MAX: usize = 4_096;

/// A server that says that it has nothing of a document may not have loaded it yet.
pub const EMPTY_GRACE_MS: u64 = 1_000;

/// A server is asked what it holds of a document at least this often, though nothing changes.
pub const AUDIT_MS: u64 = 300_000;

/// The author of a gap is asked for what is missing this often at most.
pub const GAP_ASK_MS: u64 = 1_000;

/// A client that heard nothing for this long gets the empty awareness message.
pub const KEEP_ALIVE_MS: u64 = 20_000;

/// The first delays before another attempt to reach the upstream are at most this, ...
pub const UPSTREAM_BACKOFF_MS: u64 = 250;
/// ... and none is above this.
pub const UPSTREAM_BACKOFF_MS_MAX: u64 = 30_000;

/// A client that comes hurries the next attempt, but not within this time of the last.
pub const UPSTREAM_HURRY_MS: u64 = 1_000;

/// An upstream that refuses the login is tried again after this time.
pub const UPSTREAM_UNAUTHORIZED_MS: u64 = 300_000;

/// A server that asks not to be tried for a while (Retry-After) is obeyed for this long at most.
pub const UPSTREAM_BUSY_MS_MAX: u64 = 300_000;

/// Where each document has a connection of its own, so many are opened at the same time.
pub const UPSTREAM_OPENING_MAX: usize = 8;

/// A link that stood for this long was a good one: the next delay is short again.
pub const UPSTREAM_STABLE_MS: u64 = 5_000;

/// A server that closes the link so soon after a document's message may mean that document.
pub const PARK_BLAME_MS: u64 = 5_000;

/// A suspect whose message the server puts up with for this long is acquitted.
pub const TRIAL_MS: u64 = 500;

/// A document that the server has closed by itself is opened there again after this time.
pub const LET_GO_MS: u64 = 10_000;

/// A document that closed the link twice is kept off it for this long.
pub const PARK_MS: u64 = 600_000;
