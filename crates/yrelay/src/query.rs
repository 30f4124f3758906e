//! `yrelay status`: asks a running relay how it stands, and shows it to people and to scripts.

mod table;

use std::io::Write;

use bytes::Bytes;
use rustls::pki_types::CertificateDer;
use tokio::runtime;
use tokio::task::LocalSet;
use yrelay::clock;
use yrelay::connector::{ConnectError, Connector, PageError};
use yrelay::status::{Document, Status, UpstreamState};
use yrelay::target::{Target, TargetError};

use self::table::table;
use crate::printable::printable;

/// Where a relay says how it stands.
const PATH: &str = "/-/status";

/// No relay answers.
const NOT_RUNNING: u8 = 1;
/// What `clap` ends with, too, where the command line is wrong.
pub(crate) const USAGE: u8 = 2;

/// Whom to trust beside those that the machine trusts.
type Authorities = Vec<CertificateDer<'static>>;

/// What it comes to. The worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// All is where it belongs.
    InSync,
    /// It is not yet, and will be by itself once the network and the others are back.
    Behind,
    /// It will not be unless somebody does something.
    Stuck,
}

impl Verdict {
    /// For scripts.
    fn exit_code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Behind => 3,
            Self::Stuck => 4,
        }
    }
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Never repeats the address: it may hold a password.
    #[error("no address of a relay: {0}; write it like http://localhost:8000")]
    Address(String),
    #[error(
        "no relay answers at {at}: {why}; is it running (`yrelay service`), or is another meant \
         (--url)?"
    )]
    Nobody { at: String, why: String },
    #[error("no relay shows its status at {at}{PATH}: {why}; name another with --url")]
    Other { at: String, why: String },
}

/// Asks the relay at the address and shows the answer. Returns the exit code.
pub(crate) fn run(
    url: &str,
    authorities: Authorities,
    json: bool,
    out: &mut impl Write,
    err: &mut impl Write,
) -> u8 {
    // Whoever closed our output does not want to know.
    match ask(url, authorities) {
        Ok((page, status)) => {
            let mut text =
                if json { page.to_vec() } else { table(&status, clock::unix_ms()).into_bytes() };
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let _ = out.write_all(&text).and_then(|()| out.flush());
            verdict(&status).exit_code()
        }
        Err(failure) => {
            let _ = writeln!(err, "error: {}", printable(&failure.to_string()));
            if matches!(failure, Failure::Address(_)) { USAGE } else { NOT_RUNNING }
        }
    }
}

/// How everything stands, taken together.
pub(crate) fn verdict(status: &Status) -> Verdict {
    let upstream = |state| match state {
        UpstreamState::None | UpstreamState::Idle | UpstreamState::Online => Verdict::InSync,
        UpstreamState::Connecting | UpstreamState::Offline => Verdict::Behind,
        UpstreamState::Unauthorized => Verdict::Stuck,
    };
    let upstreams = status.routes.iter().map(|route| upstream(route.state));
    let worst = upstreams.fold(upstream(status.upstream.state), Verdict::max);
    status.documents.iter().map(verdict_on).fold(worst, Verdict::max)
}

fn verdict_on(document: &Document) -> Verdict {
    if document.unsaved || document.parked.is_some() {
        Verdict::Stuck
    } else if document.incomplete || !document.synced {
        Verdict::Behind
    } else {
        Verdict::InSync
    }
}

fn ask(url: &str, authorities: Authorities) -> Result<(Bytes, Status), Failure> {
    let target = target(url)?;
    // Shown as people write it: ws becomes http, and wss https.
    let at = format!("http{}", &target.to_string()[2..]);
    let at = at.strip_suffix(PATH).unwrap_or(&at).to_owned();
    let page = match fetch(target, authorities) {
        Ok(page) => page,
        Err(PageError::Connect(ConnectError::Unreachable(why))) => {
            return Err(Failure::Nobody { at, why });
        }
        Err(error) => return Err(Failure::Other { at, why: error.to_string() }),
    };
    let status = serde_json::from_slice(&page)
        .map_err(|error| Failure::Other { at, why: format!("it cannot be read: {error}") })?;
    Ok((page, status))
}

/// The page of the relay at `http://HOST[:PORT]`, or the like with `https`, `ws`, `wss` or nothing
/// in front, and behind it the page itself or nothing.
fn target(url: &str) -> Result<Target, Failure> {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(Failure::Address("it must begin with http:// or https://".into())),
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix(PATH).unwrap_or(rest);
    Target::parse(&format!("{scheme}://{rest}{PATH}"))
        .map_err(|error: TargetError| Failure::Address(error.to_string()))
}

fn fetch(target: Target, authorities: Authorities) -> Result<Bytes, PageError> {
    let unable = |error: std::io::Error| ConnectError::Unreachable(error.to_string());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unable)?;
    let connector = Connector::new(target, authorities)
        .map_err(|error| ConnectError::Tls(error.to_string()))?;
    let page = LocalSet::new().block_on(&runtime, connector.page());
    // A look-up of the name may go on: it is not waited for.
    runtime.shutdown_background();
    page
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use yrelay::status::{Role, Upstream};

    use super::*;

    /// A document of which there is nothing to say.
    pub(super) fn document(identifier: &str) -> Document {
        Document {
            identifier: identifier.into(),
            clients: 1,
            links: 0,
            saved: true,
            confirmed: Some(true),
            above: Some(true),
            synced: true,
            bytes: 1_234,
            unsaved: false,
            incomplete: false,
            opaque: false,
            volatile: false,
            parked: None,
        }
    }

    pub(super) fn status(state: UpstreamState, documents: Vec<Document>) -> Status {
        let url = Some("wss://elva.example.org/".into());
        let upstream =
            Upstream { state, url, reason: None, since: None, next_try: None, advice: None };
        let (role, routes) = (Role::Service, Vec::new());
        Status { version: "0.1.0".into(), role, upstream, routes, store: None, documents }
    }

    fn behind() -> Document {
        Document { confirmed: Some(false), synced: false, ..document("behind") }
    }

    fn stuck() -> Document {
        Document { parked: Some("too large".into()), ..behind() }
    }

    #[test]
    fn the_way_up_counts() {
        for (state, expected) in [
            (UpstreamState::None, Verdict::InSync),
            (UpstreamState::Idle, Verdict::InSync),
            (UpstreamState::Online, Verdict::InSync),
            (UpstreamState::Connecting, Verdict::Behind),
            (UpstreamState::Offline, Verdict::Behind),
            (UpstreamState::Unauthorized, Verdict::Stuck),
        ] {
            assert_eq!(verdict(&status(state, vec![])), expected, "{state:?}");
            assert_eq!(verdict(&status(state, vec![document("a")])), expected, "{state:?}");
        }
    }

    #[test]
    fn each_document_counts() {
        let all = || document("a");
        for (document, expected) in [
            (all(), Verdict::InSync),
            // What cannot be proved is not held against it, nor what is not stored.
            (Document { confirmed: None, opaque: true, ..all() }, Verdict::InSync),
            (Document { clients: 0, bytes: 0, ..all() }, Verdict::InSync),
            (Document { synced: false, ..all() }, Verdict::Behind),
            (Document { incomplete: true, ..all() }, Verdict::Behind),
            (Document { unsaved: true, ..all() }, Verdict::Stuck),
            (Document { parked: Some(String::new()), ..all() }, Verdict::Stuck),
        ] {
            let status = status(UpstreamState::Online, vec![all(), document.clone(), all()]);
            assert_eq!(verdict(&status), expected, "{document:?}");
        }
    }

    #[test]
    fn the_worst_counts() {
        for (state, documents, expected) in [
            (UpstreamState::Online, vec![stuck(), behind(), document("a")], Verdict::Stuck),
            (UpstreamState::Online, vec![document("a"), behind(), stuck()], Verdict::Stuck),
            (UpstreamState::Offline, vec![stuck()], Verdict::Stuck),
            (UpstreamState::Unauthorized, vec![behind()], Verdict::Stuck),
        ] {
            assert_eq!(verdict(&status(state, documents.clone())), expected, "{documents:?}");
        }
        let codes = [Verdict::InSync, Verdict::Behind, Verdict::Stuck].map(Verdict::exit_code);
        assert_eq!(codes, [0, 3, 4]);
    }

    #[test]
    fn a_relay_is_named_in_many_ways() {
        for (url, asked) in [
            ("http://localhost:8000", "ws://localhost:8000/-/status"),
            ("http://localhost:8000/", "ws://localhost:8000/-/status"),
            (" HTTP://localhost:8000/-/status ", "ws://localhost:8000/-/status"),
            ("localhost:8000", "ws://localhost:8000/-/status"),
            ("[::1]:8000/-/status/", "ws://[::1]:8000/-/status"),
            ("ws://10.0.0.7", "ws://10.0.0.7/-/status"),
            ("wss://host.example/", "wss://host.example/-/status"),
            ("https://host.example/relay/", "wss://host.example/relay/-/status"),
        ] {
            assert_eq!(target(url).unwrap().to_string(), asked, "{url}");
        }
        for (url, words) in [
            ("ftp://a", "it must begin with http:// or https://"),
            ("http://jane:hunter2@a", "it holds a login; leave out everything up to the @"),
            ("", "the host is missing"),
            ("localhost:http", "the port must be a number from 1 to 65535"),
        ] {
            let words = format!(
                "error: no address of a relay: {words}; write it like http://localhost:8000\n"
            );
            assert_eq!(shown(url, false), (USAGE, String::new(), words));
        }
    }

    /// The exit code, and what is said on which output.
    fn shown(url: &str, json: bool) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(url, Vec::new(), json, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// What is shown of a server that gives this answer, its address replaced by `AT`.
    fn shown_of(answer: &str, json: bool) -> (u8, String, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer.to_owned();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer.as_bytes()).unwrap();
            head[0].clone()
        });
        let (code, out, err) = shown(&at, json);
        assert_eq!(server.join().unwrap(), "GET /-/status HTTP/1.1");
        (code, out, err.replace(&at, "AT"))
    }

    fn page(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}")
    }

    #[test]
    fn a_relay_that_answers_is_shown() {
        let mut relay = status(UpstreamState::Online, vec![document("notes")]);
        for (document, code) in [(document("notes"), 0), (behind(), 3), (stuck(), 4)] {
            relay.documents = vec![document];
            let json = serde_json::to_string(&relay).unwrap();
            let text = table(&relay, 0);
            assert_eq!(shown_of(&page(&json), false), (code, text, String::new()));
            // To scripts as it came, what we do not know included, and with one line break.
            let more = json.replacen('{', "{ \"later\": 1, ", 1);
            for body in [&more, &format!("{more}\n")] {
                let raw = format!("{more}\n");
                assert_eq!(shown_of(&page(body), true), (code, raw, String::new()));
            }
        }
    }

    #[test]
    fn what_is_no_relay_is_said_in_one_line() {
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        for (answer, words) in [
            (missing, "HTTP status 404"),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "it does not speak HTTP/1.1"),
            (&page("hello"), "it cannot be read: expected value at line 1 column 1"),
            (&page("{}"), "it cannot be read: missing field `version` at line 1 column 2"),
        ] {
            for json in [false, true] {
                let error = format!(
                    "error: no relay shows its status at AT/-/status: {words}; name another with \
                     --url\n"
                );
                assert_eq!(shown_of(answer, json), (NOT_RUNNING, String::new(), error));
            }
        }
        let hostile = page("{\"version\": \"1\", \"role\": \"\u{9b}2J\"}");
        let (_, _, err) = shown_of(&hostile, false);
        assert!(err.contains("unknown variant `\\u{9b}2J`"), "{err}");
    }

    #[test]
    fn where_nobody_listens_it_is_said_how_to_start_a_relay() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = format!(
            "error: no relay answers at http://{address}: connection refused; is it running \
             (`yrelay service`), or is another meant (--url)?\n"
        );
        assert_eq!(shown(&format!("{address}/"), false), (NOT_RUNNING, String::new(), error));
    }
}
