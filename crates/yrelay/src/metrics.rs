//! Counters, and the text in which Prometheus reads them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::status::UpstreamState;

/// A number that only grows, on one thread.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get().wrapping_add(more));
    }

    /// So many so far.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What is counted where it happens.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Payload bytes of messages received.
    pub received_bytes: Counter,
    /// Messages received.
    pub received_messages: Counter,
    /// Payload bytes of messages queued for peers.
    pub sent_bytes: Counter,
    /// Messages queued for peers.
    pub sent_messages: Counter,
    /// Messages of unknown type.
    pub ignored_messages: Counter,
    /// Frames of the upstream for documents that are not in memory.
    pub unknown_documents: Counter,
    rejected: RefCell<BTreeMap<&'static str, u64>>,
}

/// What is measured when asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// Documents in memory.
    pub documents: u64,
    /// Local clients.
    pub clients: u64,
    /// Bytes of updates not on disk yet.
    pub unsaved_bytes: u64,
    /// Commits of the store so far.
    pub commits: u64,
    /// Syncs of its log so far.
    pub syncs: u64,
    /// Documents that the store failed to save at the last attempt.
    pub unsaved_documents: u64,
    /// The address of each server above, without any login, and how the way there stands.
    pub upstreams: Vec<(String, UpstreamState)>,
}

impl Metrics {
    /// Counts a request or a peer turned away. `reason` is a word of a small, fixed set.
    pub fn reject(&self, reason: &'static str) {
        *self.rejected.borrow_mut().entry(reason).or_default() += 1;
    }

    /// All of it in Prometheus' text format.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut text = String::new();
        for (name, help, value) in [
            ("documents", "Documents in memory.", gauges.documents),
            ("clients", "Local clients.", gauges.clients),
            ("unsaved_bytes", "Bytes of updates not on disk yet.", gauges.unsaved_bytes),
            ("unsaved_documents", "Documents that cannot be saved.", gauges.unsaved_documents),
        ] {
            metric(&mut text, name, "gauge", help, value);
        }
        upstream_states(&mut text, &gauges.upstreams);
        let ignored = "Messages of unknown type, ignored.";
        let unknown = "Frames of the upstream for documents not in memory.";
        for (name, help, value) in [
            ("received_bytes_total", "Payload bytes received.", &self.received_bytes),
            ("received_messages_total", "Messages received.", &self.received_messages),
            ("sent_bytes_total", "Payload bytes queued for peers.", &self.sent_bytes),
            ("sent_messages_total", "Messages queued for peers.", &self.sent_messages),
            ("ignored_messages_total", ignored, &self.ignored_messages),
            ("unknown_documents_total", unknown, &self.unknown_documents),
        ] {
            metric(&mut text, name, "counter", help, value.get());
        }
        metric(&mut text, "commits_total", "counter", "Commits of the store.", gauges.commits);
        metric(&mut text, "syncs_total", "counter", "Syncs of the store's log.", gauges.syncs);
        head(&mut text, "rejected_total", "counter", "Requests and peers turned away.");
        for (reason, count) in &*self.rejected.borrow() {
            let _ = writeln!(text, "yrelay_rejected_total{{reason=\"{reason}\"}} {count}");
        }
        text
    }
}

/// A series for each server and state; without servers there is no address to tell.
fn upstream_states(text: &mut String, upstreams: &[(String, UpstreamState)]) {
    head(text, "upstream_state", "gauge", "1 for the state that the way to a server is in.");
    let mut line = |upstream: &str, is: UpstreamState| {
        for state in UpstreamState::ALL {
            let (word, value) = (state.word(), u64::from(state == is));
            // Writing to a String cannot fail; words need no escapes.
            let _ = writeln!(text, "yrelay_upstream_state{{{upstream}state=\"{word}\"}} {value}");
        }
    };
    if upstreams.is_empty() {
        line("", UpstreamState::None);
    }
    for (number, (address, state)) in upstreams.iter().enumerate() {
        let before = upstreams[..number].iter().filter(|(other, _)| other == address).count();
        let mut address = address.replace('\\', r"\\").replace('"', "\\\"");
        if before > 0 {
            // Two routes may go to one address; no two series may have the same labels.
            let _ = write!(address, "#{}", before + 1);
        }
        line(&format!("upstream=\"{address}\","), *state);
    }
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(text, name, kind, help);
    let _ = writeln!(text, "yrelay_{name} {value}");
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP yrelay_{name} {help}\n# TYPE yrelay_{name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format() {
        let metrics = Metrics::default();
        metrics.received_bytes.add(41);
        metrics.received_bytes.count();
        metrics.reject("origin");
        metrics.reject("origin");
        metrics.reject("host");
        let text = metrics.render(&Gauges { documents: 3, ..Gauges::default() });
        assert!(text.starts_with(
            "# HELP yrelay_documents Documents in memory.\n\
             # TYPE yrelay_documents gauge\n\
             yrelay_documents 3\n"
        ));
        assert!(text.contains("\nyrelay_received_bytes_total 42\n"));
        assert!(text.contains("\nyrelay_upstream_state{state=\"online\"} 0\n"));
        assert!(text.contains("\nyrelay_upstream_state{state=\"none\"} 1\n"));
        assert!(text.ends_with(
            "yrelay_rejected_total{reason=\"host\"} 1\n\
             yrelay_rejected_total{reason=\"origin\"} 2\n"
        ));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(name.starts_with("yrelay_") && value.parse::<u64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn each_server_has_its_series() {
        let upstreams = [
            ("ws://a/", UpstreamState::Online),
            ("ws://b/\"\\", UpstreamState::Unauthorized),
            ("ws://a/", UpstreamState::Offline),
        ];
        let upstreams = upstreams.map(|(address, state)| (address.to_owned(), state)).to_vec();
        let text = Metrics::default().render(&Gauges { upstreams, ..Gauges::default() });
        let states = text.lines().filter(|line| line.starts_with("yrelay_upstream_state"));
        assert_eq!(states.clone().count(), 3 * UpstreamState::ALL.len());
        let set: Vec<_> = states.filter_map(|line| line.strip_suffix(" 1")).collect();
        assert_eq!(
            set,
            [
                r#"yrelay_upstream_state{upstream="ws://a/",state="online"}"#,
                r#"yrelay_upstream_state{upstream="ws://b/\"\\",state="unauthorized"}"#,
                r#"yrelay_upstream_state{upstream="ws://a/#2",state="offline"}"#,
            ]
        );
    }
}
