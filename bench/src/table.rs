//! What came of it, as Markdown.

use std::fmt::Write as _;

use crate::results::{Session, Spread};
use crate::scenario::{self, Scenario, figure as f};

/// What others are compared with.
const LIMIT: &str = "bare";
/// More of these is better, or neither: no ratio is shown.
const NO_RATIO: &[&str] =
    &[f::CONNECTIONS, f::PROMPT, f::MISSING, f::SUPERSEDED, f::WIRE, f::RATE, f::CONNECT_RATE];

/// One table for each scenario that was run.
pub fn of(session: &Session) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}{}; {} s each; medians of {} rounds (least–most), × the bare limit's\n",
        session.machine,
        if session.pinned { "; servers on one processor, clients on another" } else { "" },
        session.seconds,
        session.rounds,
    );
    for scenario in scenario::ALL {
        if session.outcomes.iter().any(|run| run.scenario == scenario.name) {
            one(&mut out, session, scenario);
        }
    }
    out
}

fn one(out: &mut String, session: &Session, scenario: &Scenario) {
    let _ = writeln!(out, "### {}\n\n{}\n", scenario.name, scenario.about);
    let contenders = session.contenders(scenario.name);
    let has = |figure: &&&str| {
        contenders.iter().any(|name| session.spread(scenario.name, name, figure).is_some())
    };
    let figures: Vec<&str> = scenario.reports.iter().filter(has).copied().collect();
    let _ = writeln!(out, "| | {} |", figures.join(" | "));
    let _ = writeln!(out, "|---{}|", "|---".repeat(figures.len()));
    for name in &contenders {
        let _ = write!(out, "| {name}");
        for figure in &figures {
            let _ = write!(out, " | {}", cell(session, scenario, name, figure));
        }
        let runs = session.runs(scenario.name, name);
        let failed = runs.filter(|run| !run.faults.is_empty()).count();
        if failed > 0 {
            let _ = write!(out, " (**failed** in {failed} rounds)");
        }
        let _ = writeln!(out, " |");
    }
    let faults = session.outcomes.iter().filter(|run| run.scenario == scenario.name);
    for run in faults {
        for fault in &run.faults {
            let fault = fault.replace('\n', " ");
            let _ = writeln!(out, "\n{}, round {}: FAILED: {fault}", run.contender, run.round);
        }
    }
    let _ = writeln!(out);
}

fn cell(session: &Session, scenario: &Scenario, name: &str, figure: &str) -> String {
    let Some(spread) = session.spread(scenario.name, name, figure) else {
        return "–".into();
    };
    let Spread { median, min, max } = spread;
    let mut cell = number(median);
    if number(min) != number(max) {
        let _ = write!(cell, " ({}–{})", number(min), number(max));
    }
    let limit = session.spread(scenario.name, LIMIT, figure);
    if name != LIMIT
        && !NO_RATIO.contains(&figure)
        && let Some(limit) = limit.filter(|limit| limit.median > 0.0)
    {
        let _ = write!(cell, " **×{}**", number(median / limit.median));
    }
    cell
}

/// Three digits of it.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// Several sessions as one: what was run again replaces what was run before.
pub fn merged(sessions: Vec<Session>) -> Session {
    let mut merged = Session::default();
    for session in sessions {
        let is_again = |scenario: &str, contender: &str| {
            session
                .outcomes
                .iter()
                .any(|run| run.scenario == scenario && run.contender == contender)
        };
        merged.outcomes.retain(|run| !is_again(&run.scenario, &run.contender));
        let mut outcomes = std::mem::take(&mut merged.outcomes);
        outcomes.extend(session.outcomes.iter().cloned());
        merged = Session { outcomes, ..session };
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figures, Outcome};

    fn run(contender: &str, round: usize, cpu: f64, faults: &[&str]) -> Outcome {
        let mut figures = Figures::default();
        figures.put(f::CPU, cpu);
        Outcome {
            scenario: "fan-out-w1".into(),
            contender: contender.into(),
            round,
            figures,
            faults: faults.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_table_shows_ratios_and_what_failed() {
        let outcomes = vec![
            run("bare", 1, 2.0, &[]),
            run("yrelay", 1, 3.0, &[]),
            run("bare", 2, 4.0, &[]),
            run("yrelay", 2, 300.0, &["1 deliveries are missing"]),
        ];
        let table = of(&Session { outcomes, rounds: 2, ..Session::default() });
        assert!(table.contains("| bare | 3.00 (2.00–4.00) |"), "{table}");
        assert!(table.contains("| yrelay | 3.00 **×1.00** (**failed** in 1 rounds) |"), "{table}");
        assert!(table.contains("yrelay, round 2: FAILED: 1 deliveries are missing"), "{table}");
    }

    #[test]
    fn what_was_run_again_counts() {
        let session =
            |cpu| Session { outcomes: vec![run("bare", 1, cpu, &[])], ..Session::default() };
        let merged = merged(vec![session(1.0), session(2.0)]);
        assert_eq!(merged.outcomes.len(), 1);
        assert_eq!(merged.outcomes[0].figures.get(f::CPU), Some(2.0));
    }
}
