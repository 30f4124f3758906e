//! A relay below a relay below a server, and any of the three is killed: what the lowest says of
//! those above is what they have on their disks.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tempfile::TempDir;

use crate::ledger::{Account, Writer, read};
use crate::program::Program;
use crate::random::Random;
use crate::scale::scaled;
use crate::wait::within;

const SEED: u64 = 3;
const DOCUMENT: &str = "notes";
/// What one cycle may write.
const EDITS: usize = 40;
/// Who was away for long is tried again after up to half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of the three, on a port and a disk that outlive it.
struct Place {
    directory: TempDir,
    /// What follows the role on the command line.
    arguments: Vec<String>,
    is_server: bool,
    address: SocketAddr,
    program: Option<Program>,
}

impl Place {
    fn new(above: Option<&Place>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        let mut arguments = vec!["--data-dir".to_owned(), path];
        if let Some(above) = above {
            arguments.extend(["-s".to_owned(), format!("ws://{}/", above.address)]);
        }
        drop(listener);
        let is_server = above.is_none();
        let mut place = Self { directory, arguments, is_server, address, program: None };
        place.start();
        place
    }

    fn start(&mut self) {
        let role = if self.is_server { "serve" } else { "service" };
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.program = Some(Program::at(role, self.address.port(), &arguments));
    }

    fn kill(&mut self) {
        self.program.take().unwrap().kill();
    }

    /// What is on its disk, as somebody reads it whom nobody above or below knows.
    fn settle(&self, account: &Account, claimed: usize) {
        assert!(self.program.is_none(), "somebody else reads it");
        let reader = Program::start(self.directory.path(), &[]);
        let mut account = Account { acknowledged: claimed, ..account.clone() };
        account.settle(&read(reader.address, DOCUMENT));
        reader.kill();
    }
}

/// What the lowest of them says of a document.
fn says(lowest: &Place, word: &str) -> bool {
    lowest.program.as_ref().unwrap().pages().document(DOCUMENT)[word] == true
}

#[test]
fn what_a_chain_says_is_on_the_disks_of_all_it_is_said_of() {
    let top = Place::new(None);
    let middle = Place::new(Some(&top));
    let low = Place::new(Some(&middle));
    let mut places = [low, middle, top];
    let mut random = Random(SEED);
    let mut writer = Writer::join(places[0].address, DOCUMENT, 1);
    // How many edits are said to be on whose disk.
    let mut claims = [0; 3];
    let mut checked = [0; 3];
    let cycles = scaled(24, 200);
    for _ in 0..cycles {
        for _ in 0..=random.below(EDITS) {
            writer.write();
        }
        writer.until_acknowledged();
        let all = writer.account.acknowledged;
        claims[0] = all;
        // It is killed at each stage of the way.
        for (place, word) in [(1, "confirmed"), (2, "above")].into_iter().take(random.below(3)) {
            // Whoever comes has the server tried anew.
            within(PATIENCE, word, || {
                drop(read(places[0].address, "a-reason-to-try"));
                says(&places[0], word)
            });
            claims[place] = all;
        }
        let victim = random.below(places.len());
        places[victim].kill();
        places[victim].settle(&writer.account, claims[victim]);
        checked[victim] += 1;
        places[victim].start();
        if victim == 0 {
            writer.return_to(places[0].address);
        }
    }
    within(PATIENCE, "all is at the top", || says(&places[0], "above"));
    for place in &mut places {
        place.kill();
    }
    for place in &places {
        place.settle(&writer.account, writer.account.sent);
    }
    println!(
        "{cycles} kills in a chain, {checked:?} of each: the {} edits were where they were said \
         to be",
        writer.account.sent
    );
}
