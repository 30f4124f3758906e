//! The program on real disks that fill up or take nothing any more. Only root may make such disks:
//! for others these tests say so, and are nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::client::Client;
use crate::program::{Program, start_error};
use crate::wait::eventually;

/// A file system of its own.
struct Disk {
    at: TempDir,
    /// What it is made on.
    below: TempDir,
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.path()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Disk {
    /// A small one in memory.
    fn of_memory() -> Option<Self> {
        Self::mount(|_, at| run("mount", &["-t", "tmpfs", "-o", "size=1m", "yrelay-test", at]))
    }

    /// One that turns read-only when it meets an error.
    fn of_file() -> Option<Self> {
        Self::mount(|file, at| {
            fs::write(file, vec![0; 16 << 20]).unwrap();
            run("mkfs.ext4", &["-q", file]) && Self::mount_file(file, at)
        })
    }

    fn mount_file(file: &str, at: &str) -> bool {
        run("mount", &["-o", "loop,errors=remount-ro", file, at])
    }

    fn mount(mount: impl FnOnce(&str, &str) -> bool) -> Option<Self> {
        let (at, below) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = below.path().join("disk");
        if !mount(file.to_str().unwrap(), at.path().to_str().unwrap()) {
            eprintln!("skipped: no right to mount a file system");
            return None;
        }
        Some(Self { at, below })
    }

    fn path(&self) -> &str {
        self.at.path().to_str().unwrap()
    }

    fn directory(&self) -> std::path::PathBuf {
        self.at.path().join("data")
    }

    /// Has the kernel find something wrong with it.
    fn fails(&self) {
        let source = Command::new("findmnt").args(["-no", "SOURCE", self.path()]).output().unwrap();
        let device = String::from_utf8(source.stdout).unwrap();
        let device = device.trim().strip_prefix("/dev/").unwrap();
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    }

    /// As after a restart of the machine.
    fn mounted_anew(self) -> Self {
        let file = self.below.path().join("disk");
        assert!(run("umount", &[self.path()]));
        assert!(Self::mount_file(file.to_str().unwrap(), self.path()));
        self
    }
}

/// Takes all the space there is. Removing it gives it back.
fn fill(path: &Path) {
    let mut size = 1 << 20;
    let mut content = Vec::new();
    while size > 0 {
        content.resize(content.len() + size, 1);
        if fs::write(path, &content).is_err() {
            content.truncate(content.len() - size);
            size /= 2;
        }
    }
    // The last try may have left less than fits.
    let _ = fs::write(path, vec![1; content.len() + 4096]);
}

#[test]
fn a_full_disk_takes_what_waits_once_it_has_space_again() {
    let Some(disk) = Disk::of_memory() else { return };
    let program = Program::start(&disk.directory(), &[]);
    let mut author = Client::synced(program.address, "notes", 1);
    let mut other = Client::synced(program.address, "notes", 2);
    author.save("a");
    let filler = disk.at.path().join("filler");
    fill(&filler);
    let words = "b".repeat(200_000);
    let message = author.write(&words);
    let pages = program.pages();
    eventually("it fails", || pages.document("notes")["unsaved"] == true);
    assert_eq!(pages.json("/-/status")["store"], serde_json::Value::Null);
    other.read_until(&format!("a{words}"));
    assert_eq!(author.sent_so_far(), Vec::<Vec<u8>>::new());
    fs::remove_file(&filler).unwrap();
    author.receive(&message);
    assert_eq!(pages.document("notes")["unsaved"], false);
    assert_eq!(pages.metric("unsaved_bytes"), 0);
    program.kill();
    let program = Program::start(&disk.directory(), &[]);
    assert_eq!(Client::synced(program.address, "notes", 3).text(), format!("a{words}"));
}

#[test]
fn on_a_read_only_disk_it_does_not_start_and_says_so_in_one_line() {
    let Some(disk) = Disk::of_memory() else { return };
    let program = Program::start(&disk.directory(), &[]);
    Client::synced(program.address, "notes", 1).save("a");
    program.kill();
    assert!(run("mount", &["-o", "remount,ro", disk.path()]));
    let files = || {
        let names = disk.directory().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        std::collections::BTreeSet::from_iter(names)
    };
    let before = files();
    let words = start_error(&disk.directory());
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(words.starts_with("error: ") && words.contains("is not writable"), "{words}");
    assert_eq!(files(), before, "nothing is moved");
    assert!(run("mount", &["-o", "remount,rw", disk.path()]));
    let program = Program::start(&disk.directory(), &[]);
    assert_eq!(Client::synced(program.address, "notes", 2).text(), "a");
}

#[test]
fn a_disk_that_turns_read_only_costs_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::of_file() else { return };
    let program = Program::start(&disk.directory(), &[]);
    let mut author = Client::synced(program.address, "notes", 1);
    let mut other = Client::synced(program.address, "notes", 2);
    author.save("a");
    disk.fails();
    author.write("b");
    let pages = program.pages();
    eventually("it fails", || pages.document("notes")["unsaved"] == true);
    other.read_until("ab");
    assert_eq!(author.sent_so_far(), Vec::<Vec<u8>>::new());
    program.signal("TERM");
    assert_eq!(program.code(), Some(1), "not all of it is saved");

    let disk = disk.mounted_anew();
    let program = Program::start(&disk.directory(), &[]);
    assert_eq!(program.pages().json("/-/status")["store"], serde_json::Value::Null);
    let mut reader = Client::synced(program.address, "notes", 3);
    assert_eq!(reader.text(), "a");
    drop(author.rejoin(program.address, "notes"));
    reader.read_until("ab");
}
