//! Other processes: one that holds the store, one that is killed, one that dies compacting.
//! Each test starts itself again as that process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use super::*;

/// In the child: the data directory.
const CHILD: &str = "YRELAY_TEST_STORE";

/// This test again, as another process on the directory.
fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::tests::process::{test}"), "--nocapture"])
        .env(CHILD, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn parent() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

/// Says something to the parent, in one write.
fn say(line: &str) {
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

#[test]
fn another_process_is_locked_out_by_pid() {
    if let Some(path) = parent() {
        let _desk = Desk::quick(&path);
        say("open");
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut holder = child("another_process_is_locked_out_by_pid", dir.path());
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "open"));
    let error = Store::open(directory(dir.path()), None, || {}).unwrap_err();
    let pid = holder.id();
    assert!(matches!(error, StoreError::InUse { pid: Some(found), .. } if found == pid));
    holder.kill().unwrap();
    holder.wait().unwrap();
    Desk::quick(dir.path()).close();
}

const DOCUMENTS: u64 = 5;

/// Lets a writer say so many times, of its documents by number, how far they have come, and kills
/// it. What it has said last of each goes into `said`, and is there at the next start.
fn kill_after(lines_before_kill: u32, test: &str, path: &Path, said: &mut [u64]) {
    let mut writer = child(test, path);
    if lines_before_kill == 0 {
        writer.kill().unwrap();
    }
    let mut count = 0;
    for line in BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some(words) = line.strip_prefix("has ") else { continue };
        let (number, seq) = words.split_once(' ').unwrap();
        said[number.parse::<usize>().unwrap()] = seq.parse().unwrap();
        count += 1;
        if count == lines_before_kill {
            // What is still in the pipe was said as well: read on to its end.
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(count >= lines_before_kill, "the writer ended by itself");
    let desk = Desk::quick(path);
    for (number, said) in said.iter().enumerate() {
        let loaded = desk.store.load(&id(&number.to_string())).unwrap();
        assert!(loaded.seq >= *said, "document {number}: {} < {said}", loaded.seq);
        assert_eq!(held(&loaded), (1..=loaded.seq).collect::<Vec<_>>());
    }
    desk.close();
}

/// Writes for ever, compacting now and then, and says what is saved.
fn write_for_ever(path: &Path) -> ! {
    let mut desk = Desk::quick(path);
    let names: Vec<_> = (0..DOCUMENTS).map(|number| id(&number.to_string())).collect();
    let mut seqs: Vec<_> = names.iter().map(|d| desk.store.load(d).unwrap().seq).collect();
    loop {
        for (number, document) in names.iter().enumerate() {
            for _ in 0..=number {
                seqs[number] += 1;
                desk.append(document, seqs[number]);
            }
            if seqs[number].is_multiple_of(20) {
                let upto = seqs[number];
                desk.store.compact(document, upto, vec![snapshot(upto - 1), update(upto)]);
            }
        }
        for (number, document) in names.iter().enumerate() {
            desk.wait_saved(document, seqs[number]);
            say(&format!("has {number} {}", seqs[number]));
        }
    }
}

#[test]
fn what_was_said_to_be_saved_survives_kill() {
    if let Some(path) = parent() {
        write_for_ever(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut saved = [0; DOCUMENTS as usize];
    for lines_before_kill in [0, 1, 3, 10, 20, 31, 47, 60, 111, 150] {
        let test = "what_was_said_to_be_saved_survives_kill";
        kill_after(lines_before_kill, test, dir.path(), &mut saved);
    }
    assert!(saved.iter().all(|seq| *seq > 0));
}

/// Appends for ever, and says what.
fn append_for_ever(path: &Path) -> ! {
    let mut desk = Desk::quick(path);
    let names: Vec<_> = (0..DOCUMENTS).map(|number| id(&number.to_string())).collect();
    let mut seqs: Vec<_> = names.iter().map(|d| desk.store.load(d).unwrap().seq).collect();
    for step in 0_u64.. {
        let number = (step % DOCUMENTS) as usize;
        seqs[number] += 1;
        desk.append(&names[number], seqs[number]);
        say(&format!("has {number} {}", seqs[number]));
        if step % 50 == 49 {
            desk.wait_saved(&names[number], seqs[number]);
        }
    }
    unreachable!()
}

#[test]
fn what_was_appended_survives_kill() {
    if let Some(path) = parent() {
        append_for_ever(&path);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut appended = [0; DOCUMENTS as usize];
    for lines_before_kill in [1, 2, 5, 30, 77, 200, 333, 1_000] {
        let test = "what_was_appended_survives_kill";
        kill_after(lines_before_kill, test, dir.path(), &mut appended);
    }
}

/// Compacts and dies before the commit, or right after it is reported.
fn die_compacting(path: &Path) -> ! {
    let when = std::fs::read_to_string(path.join("when")).unwrap();
    let compacting = std::sync::atomic::AtomicBool::new(false);
    let probe: Probe = Box::new(move |step, _| {
        let is_commit = matches!(step, Step::Commit);
        let is_compaction = match step {
            Step::ReadBack => true,
            _ => compacting.load(std::sync::atomic::Ordering::SeqCst),
        };
        compacting.store(is_compaction, std::sync::atomic::Ordering::SeqCst);
        if is_compaction && (when == "read back" || (when == "commit" && is_commit)) {
            std::process::abort();
        }
        Ok(())
    });
    let mut desk = Desk::open(directory(path), None, QUICK, probe);
    for seq in 1..=9 {
        desk.append(&id("a"), seq);
    }
    desk.wait_saved(&id("a"), 9);
    assert_eq!(desk.compact(&id("a"), 9), Ok(9));
    std::process::abort();
}

#[test]
fn dying_in_a_compaction_leaves_old_or_new() {
    if let Some(path) = parent() {
        die_compacting(&path);
    }
    for (when, updates) in [("read back", 9), ("commit", 9), ("after", 1)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("when"), when).unwrap();
        let status =
            child("dying_in_a_compaction_leaves_old_or_new", dir.path()).wait_with_output();
        assert!(!status.unwrap().status.success());
        let loaded = Desk::quick(dir.path()).store.load(&id("a")).unwrap();
        assert_eq!(held(&loaded), (1..=9).collect::<Vec<_>>(), "{when}");
        assert_eq!(loaded.updates.len(), updates, "{when}");
    }
}
