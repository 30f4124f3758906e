//! What came of it, as bars: one drawing for each scenario, one group of bars for each figure.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::results::Session;
use crate::scenario::{self, Scenario};
use crate::table;

const WIDTH: usize = 760;
const NAMES_WIDTH: usize = 190;
const BARS_WIDTH: usize = 400;
const BAR: usize = 16;
const LINE: usize = 20;
const HEAD: usize = 34;
const COLOURS: [&str; 8] =
    ["#888888", "#1b7f5c", "#4477aa", "#cc6677", "#ddaa33", "#66ccee", "#aa3377", "#997700"];

/// Writes a drawing for each scenario that was run.
pub fn draw(session: &Session, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for scenario in scenario::ALL {
        if let Some(drawing) = one(session, scenario) {
            fs::write(directory.join(format!("{}.svg", scenario.name)), drawing)?;
        }
    }
    Ok(())
}

fn one(session: &Session, scenario: &Scenario) -> Option<String> {
    let contenders = session.contenders(scenario.name);
    let mut body = String::new();
    let mut y = 8;
    for figure in scenario.reports {
        let spreads: Vec<_> = contenders
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some((at, name, session.spread(scenario.name, name, figure)?)))
            .collect();
        let most = spreads.iter().map(|(_, _, spread)| spread.max).fold(0.0, f64::max);
        if spreads.is_empty() || most <= 0.0 {
            continue;
        }
        let x = |value: f64| NAMES_WIDTH as f64 + value / most * BARS_WIDTH as f64;
        let _ = writeln!(body, "<text x='8' y='{}' font-weight='bold'>{figure}</text>", y + 16);
        y += HEAD - LINE / 2;
        for (at, name, spread) in spreads {
            let colour = COLOURS[at % COLOURS.len()];
            let text_y = y + BAR - 4;
            let width = x(spread.median) - NAMES_WIDTH as f64;
            let _ = writeln!(
                body,
                "<text x='{}' y='{text_y}' text-anchor='end'>{name}</text>\
                 <rect x='{NAMES_WIDTH}' y='{y}' width='{width:.1}' height='{BAR}' fill='{colour}'/>\
                 <line x1='{:.1}' x2='{:.1}' y1='{middle}' y2='{middle}' stroke='black'/>\
                 <text x='{:.1}' y='{text_y}'>{}</text>",
                NAMES_WIDTH - 8,
                x(spread.min),
                x(spread.max),
                x(spread.max) + 6.0,
                table::number(spread.median),
                middle = y + BAR / 2,
            );
            y += LINE;
        }
        y += 6;
    }
    (!body.is_empty()).then(|| {
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{y}' \
             font-family='sans-serif' font-size='12'>\n\
             <rect width='100%' height='100%' fill='white'/>\n{body}</svg>\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figures, Outcome};
    use crate::scenario::figure as f;

    #[test]
    fn bars_have_the_length_of_the_median() {
        let run = |contender: &str, value| {
            let mut figures = Figures::default();
            figures.put(f::CPU, value);
            Outcome {
                scenario: "fan-out-w1".into(),
                contender: contender.into(),
                round: 1,
                figures,
                faults: Vec::new(),
            }
        };
        let outcomes = vec![run("bare", 1.0), run("yrelay", 4.0)];
        let session = Session { outcomes, ..Session::default() };
        let drawing = one(&session, &scenario::ALL[0]).unwrap();
        assert!(
            drawing.contains("width='100.0'") && drawing.contains("width='400.0'"),
            "{drawing}"
        );
        assert!(one(&session, &scenario::ALL[1]).is_none());
    }
}
