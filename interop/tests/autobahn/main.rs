//! The WebSockets of yrelay under the Autobahn testsuite, at both ends; docs/autobahn.md has what
//! came of it.

mod echo;

use yrelay_interop::{Relay, Report, Runner};

use crate::echo::EchoServer;

/// All but those about compression. A suite that runs none finds no fault, either.
const CASES: usize = 301;
const CASES_WITHOUT_ECHO: usize = 144;
const NONE: [&str; 0] = [];

/// Cases that a server passes without giving anything back.
const WITHOUT_ECHO: [&str; 30] = [
    "2.*", "3.*", "4.*", "5.1", "5.2", "5.9", "5.10", "5.11", "5.12", "5.13", "5.14", "5.15",
    "5.16", "5.17", "5.18", "6.3.*", "6.4.*", "6.8.*", "6.10.*", "6.12.*", "6.13.*", "6.14.*",
    "6.15.*", "6.16.*", "6.17.*", "6.18.*", "6.19.*", "6.20.*", "6.21.*", "7.*",
];
/// They wait for an echo of what precedes the fault, and do not insist.
const UNECHOED: [&str; 10] =
    ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"];

#[test]
fn an_echo_behind_the_listener_passes_all_cases() {
    for runner in Runner::all() {
        let server = EchoServer::start();
        let report = runner.attack("listener", &server.url(), &["*"], &[]);
        show("the listener", runner, &report);
        assert_eq!(report.others(), NONE);
        assert_eq!(report.cases(), CASES);
    }
}

#[test]
fn an_echo_behind_the_connector_passes_all_cases() {
    for runner in Runner::all() {
        let server = runner.serve("connector");
        echo::run_cases(&server.url());
        let report = server.report();
        show("the connector", runner, &report);
        assert_eq!(report.others(), NONE);
        assert_eq!(report.cases(), CASES);
    }
}

/// The program itself, where relays below connect: it says nothing before it is spoken to.
#[test]
fn a_server_passes_the_cases_that_need_no_echo() {
    for runner in Runner::all() {
        let server = Relay::serve(&[]);
        let report = runner.attack("serve", &server.url(), &WITHOUT_ECHO, &["7.1.1"]);
        show("yrelay serve", runner, &report);
        assert_eq!(report.others(), UNECHOED.map(|case| format!("{case} NON-STRICT, close OK")));
        assert_eq!(report.cases(), CASES_WITHOUT_ECHO);
    }
}

fn show(what: &str, runner: Runner, report: &Report) {
    println!("{what}, {} cases run by {runner:?}:\n{report}", report.cases());
}
