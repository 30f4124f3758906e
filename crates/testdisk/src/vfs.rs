//! The C side: SQLite's default file system, with us in between for files that are watched.
#![allow(unsafe_code, reason = "SQLite calls a file system through C pointers")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, Once, PoisonError};

use rusqlite::ffi::{
    self, SQLITE_IOERR, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_int64,
    sqlite3_io_methods, sqlite3_vfs,
};

use crate::disk::{Call, Fate, Watched};
use crate::replay::Told;

static WATCHED: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());
static REGISTERED: Once = Once::new();

pub(crate) fn watch(watched: &Arc<Watched>) {
    REGISTERED.call_once(register);
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(watched.clone());
}

pub(crate) fn unwatch(watched: &Arc<Watched>) {
    let mut all = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|other| !Arc::ptr_eq(other, watched));
}

/// Who watches a file, and what it is called there.
pub(crate) fn watcher(path: &Path) -> Option<(Arc<Watched>, String)> {
    let all = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    let watched = all.iter().find(|watched| path.parent() == Some(&*watched.directory))?;
    Some((watched.clone(), path.file_name()?.to_str()?.to_owned()))
}

/// A file that is watched. SQLite gives the room; the system's own file follows.
#[repr(C)]
struct File {
    head: sqlite3_file,
    known: *mut Known,
}

struct Known {
    disk: Arc<Watched>,
    number: usize,
    /// Its next sync also syncs its name, as SQLite does for new logs.
    is_new: bool,
}

/// `pAppData` of the system's file system is needed by its own functions: so ours is a copy of it
/// that differs in some of them, and what it stems from is kept beside.
struct Base(*mut sqlite3_vfs);

// SAFETY: SQLite's file systems live as long as the process and are shared by all threads.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

static BASE: std::sync::OnceLock<Base> = std::sync::OnceLock::new();

#[allow(clippy::expect_used, reason = "the bundled SQLite has a default file system")]
fn base() -> *mut sqlite3_vfs {
    BASE.get().expect("registered").0
}

fn register() {
    // SAFETY: initialised before use; the copy is leaked, so that it lives as long as SQLite.
    unsafe {
        ffi::sqlite3_initialize();
        let system = ffi::sqlite3_vfs_find(ptr::null());
        BASE.get_or_init(|| Base(system));
        let mut ours = *system;
        ours.zName = c"watched".as_ptr();
        ours.pNext = ptr::null_mut();
        ours.szOsFile += size_of::<File>() as c_int;
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        ours.xAccess = Some(access);
        ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1);
    }
}

unsafe fn path<'a>(name: *const c_char) -> Option<&'a Path> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite's names end with a zero.
    let name = unsafe { CStr::from_ptr(name) };
    Some(Path::new(name.to_str().ok()?))
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    const NEW: c_int =
        ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    // SAFETY: SQLite gives room for `szOsFile` bytes, a `File` and the system's own after it.
    unsafe {
        let Some(open) = (*base()).xOpen else { return SQLITE_IOERR };
        let watcher = path(name).and_then(watcher);
        let Some((disk, name_there)) = watcher else {
            return open(base(), name, file, flags, flags_out);
        };
        (*file).pMethods = ptr::null();
        if disk.fate(Call::Other) != Fate::Well {
            return ffi::SQLITE_CANTOPEN;
        }
        let code = open(base(), name, real(file), flags, flags_out);
        if code == SQLITE_OK {
            let is_new = flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & NEW != 0;
            let number = disk.file(&name_there);
            let known = Box::into_raw(Box::new(Known { disk, number, is_new }));
            file.cast::<File>().write(File { head: sqlite3_file { pMethods: &METHODS }, known });
        }
        code
    }
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: the name is SQLite's.
    unsafe {
        let Some(delete) = (*base()).xDelete else { return SQLITE_IOERR };
        let act = || delete(base(), name, sync);
        let Some((disk, there)) = path(name).and_then(watcher) else { return act() };
        if disk.fate(Call::Other) != Fate::Well {
            return ffi::SQLITE_IOERR_DELETE;
        }
        disk.tell(act, || Told::Delete { name: there, synced: sync != 0 })
    }
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        let Some(access) = (*base()).xAccess else { return SQLITE_IOERR };
        if let Some((disk, _)) = path(name).and_then(watcher)
            && disk.fate(Call::Other) != Fate::Well
        {
            return ffi::SQLITE_IOERR_ACCESS;
        }
        access(base(), name, flags, found)
    }
}

/// The system's own file.
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: it stands behind ours, see `open`.
    unsafe { file.cast::<File>().add(1).cast() }
}

unsafe fn known<'a>(file: *mut sqlite3_file) -> &'a mut Known {
    // SAFETY: only called through METHODS, which stand in files made by `open`; SQLite uses a file
    // from one thread at a time.
    unsafe { &mut *(*file.cast::<File>()).known }
}

/// Passes a call on to the system's own file.
macro_rules! pass {
    ($file:ident, $method:ident $(, $argument:expr)*) => {{
        // SAFETY: the system's file was opened, so it has methods.
        unsafe {
            match (*(*real($file)).pMethods).$method {
                Some(method) => method(real($file) $(, $argument)*),
                None => SQLITE_IOERR,
            }
        }
    }};
}

/// Whether a call is to fail, by what it is.
macro_rules! fail {
    ($file:ident, $code:ident) => {
        // SAFETY: see `known`.
        if unsafe { known($file) }.disk.fate(Call::Other) != Fate::Well {
            return ffi::$code;
        }
    };
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(take_lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let code = pass!(file, xClose);
    // SAFETY: made by `open`; nobody uses the file any more.
    drop(unsafe { Box::from_raw((*file.cast::<File>()).known) });
    code
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    amount: c_int,
    at: sqlite3_int64,
) -> c_int {
    fail!(file, SQLITE_IOERR_READ);
    pass!(file, xRead, to, amount, at)
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: sqlite3_int64,
) -> c_int {
    let mut length = 0;
    let _ = pass!(file, xFileSize, &raw mut length);
    let call = if at + sqlite3_int64::from(amount) > length { Call::Grow } else { Call::Other };
    // SAFETY: see `known`; SQLite hands over so many bytes.
    let (known, bytes) =
        unsafe { (known(file), std::slice::from_raw_parts(from.cast::<u8>(), amount as usize)) };
    let fate = known.disk.fate(call);
    // Of what fails, a half may be written.
    let amount = if fate == Fate::Well { amount } else { amount / 2 };
    let told = || {
        let bytes = bytes[..amount as usize].to_vec();
        Told::Write { file: known.number, at: at as usize, bytes }
    };
    let code = known.disk.tell(|| pass!(file, xWrite, from, amount, at), told);
    match fate {
        Fate::Well => code,
        Fate::IoError => ffi::SQLITE_IOERR_WRITE,
        Fate::Full => ffi::SQLITE_FULL,
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    fail!(file, SQLITE_IOERR_TRUNCATE);
    // SAFETY: see `known`.
    let known = unsafe { known(file) };
    let told = || Told::Truncate { file: known.number, length: length as usize };
    known.disk.tell(|| pass!(file, xTruncate, length), told)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see `known`.
    let known = unsafe { known(file) };
    if known.disk.fate(Call::Sync) != Fate::Well {
        known.disk.tell(|| SQLITE_OK, || Told::SyncFailed { file: known.number });
        return ffi::SQLITE_IOERR_FSYNC;
    }
    let told = || Told::Sync { file: known.number, with_names: known.is_new };
    let code = known.disk.tell(|| pass!(file, xSync, flags), told);
    known.is_new &= code != SQLITE_OK;
    code
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, length: *mut sqlite3_int64) -> c_int {
    fail!(file, SQLITE_IOERR_FSTAT);
    pass!(file, xFileSize, length)
}

unsafe extern "C" fn take_lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    fail!(file, SQLITE_IOERR_LOCK);
    pass!(file, xLock, level)
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    pass!(file, xUnlock, level)
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, held: *mut c_int) -> c_int {
    pass!(file, xCheckReservedLock, held)
}

unsafe extern "C" fn file_control(
    file: *mut sqlite3_file,
    what: c_int,
    argument: *mut c_void,
) -> c_int {
    pass!(file, xFileControl, what, argument)
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    pass!(file, xSectorSize)
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    pass!(file, xDeviceCharacteristics)
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    fail!(file, SQLITE_IOERR_SHMMAP);
    pass!(file, xShmMap, region, bytes, extend, to)
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    if flags & ffi::SQLITE_SHM_LOCK != 0 {
        fail!(file, SQLITE_IOERR_SHMLOCK);
    }
    pass!(file, xShmLock, offset, count, flags)
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as in `pass`.
    unsafe {
        if let Some(barrier) = (*(*real(file)).pMethods).xShmBarrier {
            barrier(real(file));
        }
    }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, remove: c_int) -> c_int {
    pass!(file, xShmUnmap, remove)
}
