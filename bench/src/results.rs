//! What came of it: figures of each run, and all runs as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The figures of one run, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(pub BTreeMap<String, f64>);

impl Figures {
    /// Notes a figure.
    pub fn put(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// A figure, if there is one.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

/// One scenario with one contender, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Which scenario.
    pub scenario: String,
    /// Which contender.
    pub contender: String,
    /// Which time it was, from 1.
    pub round: usize,
    /// What was measured.
    pub figures: Figures,
    /// What went wrong: with any, the figures are worth nothing.
    pub faults: Vec<String>,
}

/// All runs of one session.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Session {
    /// Processors and system.
    pub machine: String,
    /// Servers and clients had a processor each.
    pub pinned: bool,
    /// For how long each load went on.
    pub seconds: f64,
    /// How often each was run.
    pub rounds: usize,
    /// All runs, in order.
    pub outcomes: Vec<Outcome>,
}

/// Several values of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

impl Session {
    /// The runs of one contender in one scenario.
    pub fn runs<'a>(
        &'a self,
        scenario: &'a str,
        contender: &'a str,
    ) -> impl Iterator<Item = &'a Outcome> {
        let is_one = move |run: &&Outcome| run.scenario == scenario && run.contender == contender;
        self.outcomes.iter().filter(is_one)
    }

    /// A figure over all rounds in which nothing went wrong.
    pub fn spread(&self, scenario: &str, contender: &str, figure: &str) -> Option<Spread> {
        let sound = self.runs(scenario, contender).filter(|run| run.faults.is_empty());
        Spread::of(sound.filter_map(|run| run.figures.get(figure)).collect())
    }

    /// The contenders of a scenario, in the order in which they were run.
    pub fn contenders(&self, scenario: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for run in self.outcomes.iter().filter(|run| run.scenario == scenario) {
            if !names.contains(&run.contender.as_str()) {
                names.push(run.contender.as_str());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_values() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(spread, Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 2.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
