//! The status as text for people: a glance where all is well, what to do where it is not.

use bytesize::ByteSize;
use yrelay::status::{Document, Role, Status, Upstream, UpstreamState};

use super::{Verdict, verdict_on};
use crate::printable::printable;

/// Longer identifiers are shown whole, and push only their own line aside.
const IDENTIFIER_WIDTH_MAX: usize = 40;

/// A headline, a line for each document, and what it comes to. Those that need a look come last:
/// that is where one looks.
pub(crate) fn table(status: &Status, now_unix_ms: u64) -> String {
    let mut documents: Vec<&Document> = status.documents.iter().collect();
    documents.sort_by_key(|document| verdict_on(document));
    let mut text = headline(status, now_unix_ms);
    text.push('\n');
    if !documents.is_empty() {
        text.push_str(&rows(&documents));
        text.push('\n');
    }
    text.push_str(&summary(&documents));
    text
}

fn headline(status: &Status, now: u64) -> String {
    let role = match status.role {
        Role::Service => "service",
        Role::Serve => "server",
    };
    let upstream = &status.upstream;
    let above = match (upstream.state, status.role) {
        (UpstreamState::None, _) if !status.routes.is_empty() => {
            "no server above but for routes\n".to_owned()
        }
        (UpstreamState::None, Role::Service) => {
            "no server above: nothing leaves this machine\n".to_owned()
        }
        (UpstreamState::None, Role::Serve) => "no server above\n".to_owned(),
        _ => above(upstream, now),
    };
    let mut text = format!("yrelay {} \u{b7} {role} \u{b7} {above}", printable(&status.version));
    for route in &status.routes {
        text += &self::above(route, now);
    }
    if let Some(store) = &status.store {
        text += &format!("store: {}\n", printable(store));
    }
    text
}

/// Where it is, how it stands, and on a line of its own why it is not online.
fn above(upstream: &Upstream, now: u64) -> String {
    let word = match upstream.state {
        UpstreamState::Unauthorized => "login refused",
        other => other.word(),
    };
    let mut text =
        format!("upstream {}  {word}", printable(upstream.url.as_deref().unwrap_or("?")));
    if let Some(since) = upstream.since {
        text += &format!(" for {}", span(now.saturating_sub(since)));
    }
    match upstream.next_try {
        Some(at) if at >= now + 1_000 => text += &format!(", next try in {}", span(at - now)),
        Some(_) => text += ", next try now",
        None => {}
    }
    text.push('\n');
    if let (false, Some(reason)) = (upstream.state == UpstreamState::Online, &upstream.reason) {
        text += &format!("  {}\n", printable(reason));
    }
    if let Some(advice) = &upstream.advice {
        text += &format!("  {}\n", printable(advice));
    }
    text
}

/// A time in its largest unit, rounded down.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (count, unit) = match seconds {
        ..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "min"),
        3_600..172_800 => (seconds / 3_600, "h"),
        172_800.. => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

fn rows(documents: &[&Document]) -> String {
    let names: Vec<String> = documents.iter().map(|d| printable(&d.identifier)).collect();
    let widths = names.iter().map(|name| name.chars().count());
    let width = widths.filter(|width| *width <= IDENTIFIER_WIDTH_MAX).fold(8, usize::max);
    let mut text = format!("{:width$}  CLIENTS  SAVED  CONFIRMED      SIZE\n", "DOCUMENT");
    for (name, document) in names.iter().zip(documents) {
        let line = format!(
            "{name:width$}  {:>7}  {:5}  {:9}  {:>8}  {}",
            document.clients,
            // Of what is not stored, nothing can be unsaved.
            word((!document.volatile).then_some(document.saved)),
            word(document.confirmed),
            ByteSize::b(document.bytes).display().si().to_string(),
            remarks(document),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn word(holds: Option<bool>) -> &'static str {
    match holds {
        None => "-",
        Some(true) => "yes",
        Some(false) => "no",
    }
}

/// What the columns do not say.
fn remarks(document: &Document) -> String {
    let parked = document.parked.as_deref();
    // Without a server above, what is saved is in sync.
    let unsent =
        document.saved && !document.synced && document.confirmed.is_none() && parked.is_none();
    let remarks = [
        document.unsaved.then(|| "cannot be saved: is the disk full?".to_owned()),
        parked.map(|why| format!("kept from the server: {}", printable(why))),
        document.incomplete.then(|| match document.opaque {
            false => "incomplete: a part has not arrived".to_owned(),
            true => "its log is full: what comes now is not kept".to_owned(),
        }),
        unsent.then(|| "not sent yet".to_owned()),
        document.opaque.then(|| match document.volatile {
            true => "passed on unread: not stored".to_owned(),
            false => "encrypted: kept unread".to_owned(),
        }),
        (document.volatile && !document.opaque).then(|| "in memory only: not stored".to_owned()),
    ];
    remarks.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn summary(documents: &[&Document]) -> String {
    if documents.is_empty() {
        return "no documents open\n".to_owned();
    }
    let count = |verdict, word| {
        let count = documents.iter().filter(|document| verdict_on(document) == verdict).count();
        (count > 0).then(|| format!("{count} {word}"))
    };
    let counts = [
        count(Verdict::InSync, "in sync"),
        count(Verdict::Behind, "behind"),
        count(Verdict::Stuck, "stuck"),
    ];
    format!("{}.\n", counts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::tests::{document, status};
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn upstream(state: UpstreamState, ago_ms: u64, reason: &str, in_ms: u64) -> Upstream {
        Upstream {
            state,
            url: Some("wss://elva.example.org/".into()),
            reason: Some(reason.into()).filter(|reason: &String| !reason.is_empty()),
            since: Some(NOW - ago_ms),
            next_try: (in_ms > 0).then_some(NOW + in_ms),
            advice: None,
        }
    }

    fn shown(upstream: Upstream, documents: Vec<Document>) -> String {
        table(&Status { upstream, ..status(UpstreamState::None, documents) }, NOW)
    }

    #[test]
    fn where_all_is_well_a_glance_will_do() {
        let online = upstream(UpstreamState::Online, 41 * 60_000, "how the last one ended", 0);
        let documents = vec![
            document("notes"),
            Document { bytes: 17, clients: 12, confirmed: None, ..document("thesis/chapter-3") },
            Document { bytes: 0, confirmed: None, opaque: true, ..document("geheim \u{fc}ber") },
            Document { volatile: true, ..document("scratch") },
            Document { volatile: true, opaque: true, ..document("talk") },
        ];
        assert_snapshot!(shown(online, documents), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  online for 41 min

        DOCUMENT          CLIENTS  SAVED  CONFIRMED      SIZE
        notes                   1  yes    yes          1.2 kB
        thesis/chapter-3       12  yes    -              17 B
        geheim über             1  yes    -               0 B  encrypted: kept unread
        scratch                 1  -      yes          1.2 kB  in memory only: not stored
        talk                    1  -      yes          1.2 kB  passed on unread: not stored

        5 in sync.
        ");
    }

    #[test]
    fn where_it_is_not_it_is_said_what_and_last() {
        let online = upstream(UpstreamState::Online, 3 * 3_600_000, "", 0);
        let unproved = Document { confirmed: Some(false), synced: false, ..document("a") };
        let documents = vec![
            Document { parked: Some("too large".into()), confirmed: None, ..unproved.clone() },
            Document { saved: false, unsaved: true, ..unproved.clone() },
            Document { confirmed: None, identifier: "b".into(), ..unproved.clone() },
            Document { incomplete: true, identifier: "c".repeat(41), ..unproved.clone() },
            Document { bytes: 12_345_678, identifier: "d".repeat(40), ..unproved },
            document("e"),
        ];
        assert_snapshot!(shown(online, documents), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  online for 3 h

        DOCUMENT                                  CLIENTS  SAVED  CONFIRMED      SIZE
        e                                               1  yes    yes          1.2 kB
        b                                               1  yes    -            1.2 kB  not sent yet
        ccccccccccccccccccccccccccccccccccccccccc        1  yes    no           1.2 kB  incomplete: a part has not arrived
        dddddddddddddddddddddddddddddddddddddddd        1  yes    no          12.3 MB
        a                                               1  yes    -            1.2 kB  kept from the server: too large
        a                                               1  no     no           1.2 kB  cannot be saved: is the disk full?

        1 in sync, 3 behind, 2 stuck.
        ");
    }

    #[test]
    fn an_upstream_that_is_away_is_told_with_the_reason() {
        let reason = "unreachable: connection refused";
        let offline = upstream(UpstreamState::Offline, 6 * 60_000, reason, 8_000);
        assert_snapshot!(shown(offline, vec![]), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  offline for 6 min, next try in 8 s
          unreachable: connection refused

        no documents open
        ");
        let connecting = upstream(UpstreamState::Connecting, 59_999, reason, 0);
        assert_snapshot!(shown(connecting, vec![]), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  connecting for 59 s
          unreachable: connection refused

        no documents open
        ");
        let reason = "refused with HTTP status 401: it wants a login";
        let refused = upstream(UpstreamState::Unauthorized, 2 * 86_400_000, reason, 300_000);
        assert_snapshot!(shown(refused, vec![document("notes")]), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  login refused for 2 days, next try in 5 min
          refused with HTTP status 401: it wants a login

        DOCUMENT  CLIENTS  SAVED  CONFIRMED      SIZE
        notes           1  yes    yes          1.2 kB

        1 in sync.
        ");
    }

    #[test]
    fn without_a_server_above_it_is_said_so() {
        assert_snapshot!(shown(Upstream::none(), vec![]), @r"
        yrelay 0.1.0 · service · no server above: nothing leaves this machine

        no documents open
        ");
        let unsaved = Document { saved: false, confirmed: None, synced: false, ..document("a") };
        let store = Some("it was damaged".to_owned());
        let serving =
            Status { role: Role::Serve, store, ..status(UpstreamState::None, vec![unsaved]) };
        assert_snapshot!(table(&serving, NOW), @r"
        yrelay 0.1.0 · server · no server above
        store: it was damaged

        DOCUMENT  CLIENTS  SAVED  CONFIRMED      SIZE
        a               1  no     -            1.2 kB

        1 behind.
        ");
    }

    #[test]
    fn servers_of_routes_are_told_below() {
        let online = upstream(UpstreamState::Online, 60_000, "", 0);
        let offline = upstream(UpstreamState::Offline, 6_000, "no route to host", 8_000);
        let routes = vec![online, offline];
        let routed = Status { routes, ..status(UpstreamState::None, vec![]) };
        assert_snapshot!(table(&Status { upstream: Upstream::none(), ..routed }, NOW), @r"
        yrelay 0.1.0 · service · no server above but for routes
        upstream wss://elva.example.org/  online for 1 min
        upstream wss://elva.example.org/  offline for 6 s, next try in 8 s
          no route to host

        no documents open
        ");
    }

    #[test]
    fn no_time_is_negative_though_clocks_differ() {
        let mut offline = upstream(UpstreamState::Offline, 0, "", 0);
        offline.since = Some(NOW + 60_000);
        offline.next_try = Some(NOW - 60_000);
        let due = Upstream { next_try: Some(NOW + 999), ..offline.clone() };
        assert_eq!(shown(due, vec![]), shown(offline.clone(), vec![]));
        assert_snapshot!(shown(offline, vec![]), @r"
        yrelay 0.1.0 · service · upstream wss://elva.example.org/  offline for 0 s, next try now

        no documents open
        ");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds * 1_000 + 999), words);
        }
    }

    #[test]
    fn nothing_that_others_wrote_commands_the_terminal() {
        let evil = "a\n\u{1b}[2J\u{9b}\u{7f}\u{202e}b\u{fc}";
        let reason = Some(evil.to_owned());
        let state = UpstreamState::Offline;
        let documents = vec![Document { parked: reason.clone(), ..document(evil) }];
        let upstream = Upstream {
            state,
            url: reason.clone(),
            reason,
            since: None,
            next_try: None,
            advice: None,
        };
        let text = table(
            &Status { upstream, version: evil.into(), ..status(UpstreamState::None, documents) },
            NOW,
        );
        let tame = r"a\n\u{1b}[2J\u{9b}\u{7f}\u{202e}bü";
        assert_eq!(text.matches(tame).count(), 5, "{text}");
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    }
}
