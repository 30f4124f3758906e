//! A relay in this process, and its pages.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;
use yrelay::config::{Bounds, Config, Patterns, Storage, Upstream};
use yrelay::handle::{self, Handle};
use yrelay::keeping::Policies;
use yrelay::login::Login;
use yrelay::origin::Rules;
use yrelay::status::Role;
use yrelay::target::Target;

use crate::server::Server;
use crate::wait::{PATIENCE, eventually};

pub(crate) struct Relay {
    pub(crate) handle: Handle,
    pub(crate) pages: Pages,
}

impl Relay {
    /// Without a server above, on a disk.
    pub(crate) fn alone(directory: &Path) -> Self {
        Self::start(Storage::Directory(directory.into()), None)
    }

    /// Below a server, on a disk.
    pub(crate) fn below(server: &Server, directory: &Path) -> Self {
        Self::start(Storage::Directory(directory.into()), Some(server))
    }

    /// Below a server, without a disk.
    pub(crate) fn diskless(server: &Server) -> Self {
        Self::start(Storage::Ephemeral, Some(server))
    }

    /// Below a server with a login, without a disk.
    pub(crate) fn with_login(server: &Server, login: Login) -> Self {
        let upstream = Upstream { login: Some(login), ..open(server) };
        Self::run(Storage::Ephemeral, Some(upstream), Bounds::default())
    }

    pub(crate) fn start(storage: Storage, server: Option<&Server>) -> Self {
        Self::run(storage, server.map(open), Bounds::default())
    }

    /// Without a server above, on a disk, with other bounds.
    pub(crate) fn bounded(directory: &Path, bounds: Bounds) -> Self {
        Self::run(Storage::Directory(directory.into()), None, bounds)
    }

    /// Below a server, on a disk, with other bounds.
    pub(crate) fn bounded_below(server: &Server, directory: &Path, bounds: Bounds) -> Self {
        Self::run(Storage::Directory(directory.into()), Some(open(server)), bounds)
    }

    fn run(storage: Storage, upstream: Option<Upstream>, bounds: Bounds) -> Self {
        Self::of(Config { storage, upstream, bounds, ..config() })
    }

    /// With settings that few tests need.
    pub(crate) fn of(config: Config) -> Self {
        let handle = handle::start(config).unwrap();
        let pages = Pages(handle.addresses[0]);
        Self { handle, pages }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.pages.0
    }
}

/// On a free port, with nothing above and nothing kept.
pub(crate) fn config() -> Config {
    Config {
        role: Role::Service,
        host: "127.0.0.1".into(),
        port: 0,
        upstream: None,
        routes: Vec::new(),
        storage: Storage::Ephemeral,
        rules: Rules::default(),
        accounts: None,
        opaque: Patterns::new(["secret/*"]),
        policies: Policies::ALL,
        bounds: Bounds::default(),
    }
}

pub(crate) fn open(server: &Server) -> Upstream {
    Upstream::open(Target::parse(&server.url()).unwrap())
}

/// What a relay shows of itself.
#[derive(Clone, Copy)]
pub(crate) struct Pages(pub(crate) SocketAddr);

impl Pages {
    pub(crate) fn get(self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        body.to_owned()
    }

    pub(crate) fn json(self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    pub(crate) fn upstream(self) -> Value {
        self.json("/-/status")["upstream"].take()
    }

    pub(crate) fn documents(self) -> Vec<Value> {
        self.json("/-/status")["documents"].take().as_array().unwrap().clone()
    }

    /// How a document stands; null if it is unknown.
    pub(crate) fn document(self, identifier: &str) -> Value {
        let found = self.documents().into_iter().find(|d| d["identifier"] == identifier);
        found.unwrap_or(Value::Null)
    }

    /// One number of the metrics; 0 where it is not counted yet.
    pub(crate) fn metric(self, name: &str) -> u64 {
        let text = self.get("/-/metrics");
        let prefix = format!("yrelay_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |number| number.parse().unwrap())
    }

    pub(crate) fn until_upstream_is(self, state: &str) {
        eventually(&format!("the upstream is {state}"), || self.upstream()["state"] == state);
    }

    pub(crate) fn until_synced(self, identifier: &str) {
        let synced = || self.document(identifier)["synced"] == true;
        eventually(&format!("{identifier} is synced"), synced);
    }
}
