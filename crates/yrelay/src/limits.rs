//! Every bound of the shell: unit, value, reason. Those of the documents are in the core.

use std::ops::RangeInclusive;

/// A WebSocket message of a client, whatever its frames.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What may be set instead. A client's presence takes up to 1 MiB, a relay below sends 256 KiB at
/// once. Each client can make us hold the longest message, and it goes whole to all others: to a
/// relay, too, which takes [`UPSTREAM_MESSAGE_BYTES_MAX`]. One that fills what a document may have
/// unsaved leaves no place for the next key until it is saved.
pub const MESSAGE_BYTES_MAX_ALLOWED: RangeInclusive<usize> =
    1 << 20..=yrelay_core::limits::UNSAVED_BYTES_PER_DOCUMENT_MAX;

/// A message of the upstream. A server that does not cut its answers sends a whole document.
pub const UPSTREAM_MESSAGE_BYTES_MAX: usize = 128 << 20;

/// What may wait for one peer, its largest message not counted.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;
/// Messages that may wait for one peer.
pub const OUTBOX_MESSAGES_MAX: usize = 1_024;
/// Up to this a client may be given more of what it pulls.
pub const OUTBOX_ROOM_BYTES: usize = 512 << 10;
/// Up to this the link may be given more. What waits here has had its turn: others wait behind it.
pub const LINK_ROOM_BYTES: usize = 16 << 10;
/// The first part of a document that goes up on a connection is no larger, ...
pub const LINK_PULL_BYTES: usize = 32 << 10;
/// ... and none needs to be smaller, however slow it is.
pub const LINK_PULL_BYTES_MIN: usize = 8 << 10;
/// Messages that leave so soon may be larger, ...
pub const LINK_FAST_MS: u64 = 100;
/// ... and those that take so long should be smaller.
pub const LINK_SLOW_MS: u64 = 500;
/// The system takes more for the link only while less than this is not on its way yet. As it
/// takes some 32 KiB at once, it holds about 40 KiB then; without a bound that is megabytes, and
/// minutes on a slow link.
pub const LINK_UNSENT_BYTES: u32 = 4 << 10;

/// Documents that one link below may join: it never leaves one but by closing.
pub const LINK_DOCUMENTS_MAX: usize = 65_536;
/// A server that grants our subprotocol says hello in this time, or does not speak it.
pub const HELLO_MS: u64 = 2_000;
/// On a link of our own the number of frames is told so long after a frame, at most.
pub const COUNT_MS: u64 = 10_000;

/// A server of Hocuspocus that is told nothing for so long hears that we are there: it closes what
/// says nothing for a minute.
pub const UPSTREAM_KEEP_ALIVE_MS: u64 = 20_000;

/// A word that a command says.
pub const WORD_BYTES_MAX: usize = 64;

/// What an endpoint for tokens may answer.
pub const TICKET_BYTES_MAX: usize = 64 << 10;

/// A server that has made a document anew has so long to send what it holds of it.
pub const THEIRS_MS: u64 = 30_000;

/// So long a server of Hocuspocus may take to close a document before that is opened again.
pub const CLOSING_MS: u64 = 2_000;

/// Documents that a server of Hocuspocus may be looking at the tokens of: with more than a hundred
/// it closes the connection.
pub const ENTRIES_AT_ONCE: usize = 50;

/// Documents that are loaded at once. Reading takes turns, parsing does not; more would only take
/// threads.
pub const LOADS_AT_ONCE: usize = 4;

/// Pings of a peer that leaves our answers unread.
pub const PONGS_OWED_MAX: usize = 1_024;

/// A WebSocket ping goes out this often.
pub const PING_MS: u64 = 15_000;
/// A peer that gave no sign of life for so long is gone.
pub const DEAD_MS: u64 = 35_000;
/// From our close frame to the end of the connection, at most.
pub const CLOSE_MS: u64 = 3_000;

/// The head of a request, the bound of hyper's smallest buffer.
pub const HEADER_BYTES_MAX: usize = 8 << 10;
/// The head of a request must be complete in this time.
pub const HEADER_MS: u64 = 5_000;
/// Connections that have not become WebSockets yet; the oldest makes place for the next. They are
/// never more than half of all that there may be: who only knocks keeps nobody out.
pub const HANDSHAKES_MAX: usize = 1_024;
/// File descriptors for all but connections. The store, the listeners and the log take twenty; the
/// link to the server, a backup and what reads a whole document take some more.
pub const DESCRIPTORS_SPARE: usize = 32;
/// Connections from one address that is not this machine's. Many people may share one, and each of
/// their documents is a connection.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_024;
/// What may be set instead.
pub const CONNECTIONS_PER_ADDRESS_ALLOWED: RangeInclusive<usize> = 1..=usize::MAX;
/// Whoever finds all of them taken is asked to come back after so many seconds.
pub const CROWDED_RETRY_S: u64 = 10;
/// That connections wait, and are turned away, is logged so often at most.
pub const CROWDED_TOLD_MS: u64 = 60_000;

/// Bytes a second that another machine may send on one connection; it is read more slowly then.
/// Programs of this machine may go as fast as they can.
pub const PEER_BYTES_PER_S: u64 = 20 << 20;
/// So much may come at once: a client that has been away sends all it wrote.
pub const PEER_BYTES_BURST: u64 = 4 * PEER_BYTES_PER_S;
/// Each message takes as much time as so many bytes, beside its own.
pub const PEER_MESSAGE_BYTES: u64 = 1 << 10;
/// Documents a second that a link of another machine may join: each is looked up in the store.
pub const LINK_JOINS_PER_S: u64 = 1_000;
/// So many at once: more than most relays have open when they come back.
pub const LINK_JOINS_BURST: u64 = 4_096;

/// One address of an upstream must take the connection in this time.
pub const CONNECT_MS: u64 = 5_000;
/// TLS and the upgrade must be through in this time.
pub const UPGRADE_MS: u64 = 10_000;

/// A page of another relay. A document takes some 250 bytes of `/-/status`.
pub const PAGE_BYTES_MAX: usize = 64 << 20;

/// How often it is looked whether the machine has slept, or another password is there.
pub const WATCH_MS: u64 = 2_000;
/// The wall clock runs ahead by so much more than the monotonic one only if the machine has slept
/// (or the clock was set). Less of it no connection notices.
pub const SLEPT_MS: u64 = 5_000;
/// A password or a token.
pub const SECRET_BYTES_MAX: u64 = 4 << 10;
/// A command that prints a password must end in this time. It may ask a server for it.
pub const COMMAND_MS: u64 = 10_000;
/// Whoever finds the file of a password being read, and not for the first time so long, does not
/// wait for a file system that hangs.
pub const SECRET_FILE_MS: u64 = 1_000;
/// An attempt waits for its login no longer.
pub const LOGIN_MS: u64 = COMMAND_MS + 1_000;
/// While a login is refused, a command is run again so often.
pub const COMMAND_AGAIN_MS: u64 = 60_000;
/// A secret is got anew so long before it ends at least, and not more often than that.
pub const EXPIRY_MARGIN_MS: u64 = 5_000;
/// `~/.netrc`: thousands of servers.
pub const NETRC_BYTES_MAX: u64 = 1 << 20;

/// Updates in one file that is imported: years of typing. A file made to be read for ever ends there.
pub const FILE_ROWS_MAX: i64 = 50_000_000;
/// A command's update must be saved in this time, and a deletion.
pub const PUT_MS: u64 = 30_000;
/// A command waits for its answer so much longer: for the network.
pub const ANSWER_GRACE_MS: u64 = 10_000;
/// A command's update; commands send theirs in parts of some 4 MiB, and one struct may be larger.
pub const PUT_BYTES_MAX: usize = UPSTREAM_MESSAGE_BYTES_MAX;
/// The body of a command's update must be complete in this time.
pub const PUT_BODY_MS: u64 = 60_000;
/// A whole document, packed, as a command reads it.
pub const READ_BYTES_MAX: usize = yrelay_core::limits::UPDATE_BYTES_MAX;
/// A whole document must be read in this time.
pub const READ_MS: u64 = 600_000;
/// The copy of a whole store must be written in this time.
pub const BACKUP_MS: u64 = 6 * 3_600_000;
/// The file of users: some ten thousand of them.
pub const ACCOUNTS_BYTES_MAX: u64 = 1 << 20;
/// The costs of bcrypt that are taken. Each more doubles the time; 10 takes some 50 ms, and 15 more
/// than a second, in which nobody else logs in.
pub const BCRYPT_COST_ALLOWED: RangeInclusive<u32> = 4..=15;
/// What a login has come to is remembered for so long: a program's documents connect at once, and
/// whoever was refused comes back within seconds.
pub const VERDICT_MS: u64 = 60_000;
/// So many are remembered: users, and wrong logins.
pub const VERDICTS_MAX: usize = 1_024;
/// A login waits for others before it no longer than clients wait for an answer.
pub const LOGIN_WAIT_MS: u64 = 10_000;
/// A page that shows tokens has so long to show a right one.
pub const TOKEN_MS: u64 = 30_000;
/// A message before that: a token, or what programs say of a document that they may not open.
pub const TOKEN_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Wrong logins that are logged each for itself ...
pub const WRONG_LOGINS_TOLD_MAX: u32 = 10;
/// ... in this time. The rest of them is a number.
pub const WRONG_LOGINS_MS: u64 = 60_000;
/// So much of a wrong user's name is logged.
pub const WRONG_USER_CHARS_MAX: usize = 64;

/// From the first signal to the end of the process: 5 s are promised.
pub const SHUTDOWN_MS: u64 = 4_500;

/// How often the documents in memory are looked through for those that may leave.
pub const SWEEP_MS: u64 = 5_000;
/// A document that nobody has open leaves memory after this time.
pub const IDLE_MS: u64 = 60_000;
/// What may be set instead. At 0 it leaves at the next look; what has been idle for a week is not
/// about to be used.
pub const IDLE_MS_ALLOWED: RangeInclusive<u64> = 0..=7 * 24 * 3_600_000;
/// How often it is noted that somebody has a document open.
pub const OPENED_MS: u64 = 24 * 3_600_000;
/// Documents that nobody opens are kept for at least two such notes.
pub const RETAIN_MS_ALLOWED: RangeInclusive<u64> = 2 * OPENED_MS..=u64::MAX;
/// How often documents that nobody opens are looked for.
pub const RETAIN_SWEEP_MS: u64 = 3_600_000;
/// Above so many bytes of replicas they leave at once.
pub const MEMORY_BYTES: usize = 1 << 30;
/// What may be set instead. All works with less, but one document after the other, and who sets
/// less has mistaken the unit. How much there is, the machine knows.
pub const MEMORY_BYTES_ALLOWED: RangeInclusive<usize> = 16 << 20..=usize::MAX;
/// What a document takes beside its content and what of it is on its way to the disk.
pub const DOCUMENT_BYTES: usize = 4 << 10;
/// When this part of that memory has been filled anew, they are looked through at once.
pub const GROWTH_SHARE: usize = 8;
/// So much is loaded for the upstream's sake between two such looks.
pub const OFFER_BYTES: u64 = 64 << 20;
/// Of the time for stopping, what the disk gets at most.
pub const COMMIT_ON_STOP_MS: u64 = 2_000;
/// How often a stopping process looks whether it may end.
pub const STOP_POLL_MS: u64 = 5;
