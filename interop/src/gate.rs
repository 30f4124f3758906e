//! A gate that asks for a login, before a server.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::process::Process;
use crate::{install, port};

/// Python's websockets with Basic auth: whoever logs in is connected with the server behind.
pub struct Gate {
    home: TempDir,
    port: u16,
    server_url: String,
    secure: bool,
    requests: Arc<Mutex<Vec<String>>>,
    process: Process,
}

impl Gate {
    /// Starts a gate that accepts this login, and waits until it listens.
    pub fn start(server_url: &str, user: &str, password: &str) -> Gate {
        Gate::build(server_url, user, password, None)
    }

    /// The same with TLS.
    pub fn secure(server_url: &str, user: &str, password: &str, certificate: &Certificate) -> Gate {
        Gate::build(server_url, user, password, Some(certificate))
    }

    fn build(
        server_url: &str,
        user: &str,
        password: &str,
        certificate: Option<&Certificate>,
    ) -> Gate {
        let home = TempDir::new().expect("temporary directories can be made");
        let port = port::free();
        let server_url = server_url.to_owned();
        accept(&home, user, password);
        let requests = Arc::default();
        let process = launch(&home, port, &server_url, certificate, &requests);
        Gate { home, port, server_url, secure: certificate.is_some(), requests, process }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://localhost:{}/", self.port)
    }

    /// Accepts another login from now on, and no longer the one before.
    pub fn accept(&self, user: &str, password: &str) {
        accept(&self.home, user, password);
    }

    /// What the requests so far bore: `none`, a `right` or a `wrong` login.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it, as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same port, after `kill`.
    pub fn restart(&mut self, certificate: Option<&Certificate>) {
        self.secure = certificate.is_some();
        self.process = launch(&self.home, self.port, &self.server_url, certificate, &self.requests);
    }
}

fn credentials(home: &TempDir) -> PathBuf {
    home.path().join("credentials")
}

/// The gate may read at any time: the file is replaced, not rewritten.
fn accept(home: &TempDir, user: &str, password: &str) {
    let fresh = home.path().join("fresh");
    let written = fs::write(&fresh, format!("{user}\n{password}"));
    written.and_then(|()| fs::rename(fresh, credentials(home))).expect("homes are writable");
}

fn launch(
    home: &TempDir,
    port: u16,
    server_url: &str,
    certificate: Option<&Certificate>,
    requests: &Arc<Mutex<Vec<String>>>,
) -> Process {
    let mut command = install::gate();
    command.arg(port.to_string()).arg(server_url).arg(credentials(home));
    if let Some(certificate) = certificate {
        command.args(certificate.files());
    }
    let requests = Arc::clone(requests);
    let on_line = move |line: String| {
        if let Some(bore) = line.strip_prefix("request ") {
            requests.lock().unwrap_or_else(PoisonError::into_inner).push(bore.to_owned());
        }
        Some(line)
    };
    let process = Process::spawn("gate", &mut command, Box::new(on_line));
    process.ready(|line| line == "listening");
    process
}
