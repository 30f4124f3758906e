//! How those who are here stand with a server above.
//!
//! Servers after y-protocols send everybody what they take, its sender too. What does not come back
//! they have not taken: they remember a clock as high of an earlier connection, and with this one
//! the id has to begin above it; or they heed no departures.
//!
//! A program that is connected here and there brings a raised clock back, as do two relays below one
//! server: what it then needs above is what the server shows already.

use super::{Announcement, Awareness};
use crate::decode::put_varuint;
use crate::{Millis, limits};

/// So much a clock is raised at first: by more than whoever renews it adds.
const RAISE: i64 = 2;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Above {
    /// There, the clock is so much higher than here.
    raised: i64,
    /// By so much it was raised last, in vain so far.
    step: i64,
    /// It was told there.
    is_told: bool,
    /// A clock that is to come back, and until when.
    due: Option<(u64, Millis)>,
    /// It has come back: this id is seen there.
    is_seen: bool,
    /// The clock at which this connection has shown that it is present there.
    shown: Option<u64>,
}

/// What has not come back in time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unheard {
    /// Who is not seen there.
    pub present: Vec<u64>,
    /// Somebody who is gone is seen there still.
    pub departed: bool,
}

impl Awareness {
    /// The body of a message to the upstream about one id, if that is known.
    pub fn tell_above(&mut self, now: Millis, id: u64) -> Option<Vec<u8>> {
        let entry = self.entries.get_mut(&id)?;
        let clock = entry.clock.saturating_add_signed(entry.above.raised);
        let clock = clock.min(limits::AWARENESS_CLOCK_MAX);
        entry.above.is_told = true;
        let mut out = Vec::new();
        put_varuint(&mut out, 1);
        entry.put(id, clock, &mut out);
        let due = now + limits::AWARENESS_ECHO_MS;
        if entry.state.is_some() {
            // The first one, however many follow. What is shown already does not come back.
            if entry.above.shown.is_none_or(|shown| shown < clock) {
                entry.above.due.get_or_insert((clock, due));
                self.due_at.get_or_insert(due);
            }
        } else {
            // Of those who were not seen, and will not be, no departure comes back.
            let comes_back = entry.above.is_seen || entry.above.due.is_some();
            entry.above.due = comes_back.then_some((clock, due));
            self.reckon_due();
        }
        Some(out)
    }

    /// Notes what the upstream says, and gives it the clock that it has here. Returns whether that
    /// is another one.
    pub(super) fn heard_above(&mut self, news: &mut Announcement) -> bool {
        let Some(entry) = self.entries.get_mut(&news.id) else { return false };
        let above = &mut entry.above;
        above.shows(news);
        let told = news.clock;
        if above.raised < 0 && told >= entry.clock {
            // It has come round, by a program that is connected here and there.
            above.raised = 0;
        }
        news.clock = told.saturating_add_signed(-above.raised);
        if above.is_told {
            above.is_seen |= news.state.is_some();
            self.comes_back |= above.due.is_some_and(|(clock, _)| clock == told);
            let came = above.due.take_if(|(clock, _)| told >= *clock);
            if came.is_some() {
                above.step = 0;
            }
            if came.is_some_and(|(_, at)| self.due_at == Some(at)) {
                self.reckon_due();
            }
        } else if self.follows_above && news.state.is_some() && entry.state.is_none() {
            // It has forgotten how high the clock was; here and below it goes on.
            let clock = news.clock.max(entry.clock + 1);
            above.raised -= (clock - news.clock) as i64;
            news.clock = clock;
        }
        news.clock != told
    }

    /// Whether the upstream's word counts of who is there, whatever was heard before.
    pub fn follow_above(&mut self, follows: bool) {
        self.follows_above = follows;
    }

    /// Notes what somebody below says. The state that was here, at a clock higher by more than who
    /// renews it adds, has come round from above: raised once more, it would do so for ever.
    pub(super) fn heard_below(&mut self, news: &Announcement) {
        let Some(entry) = self.entries.get_mut(&news.id) else { return };
        let is_same = news.state.is_some() && news.state == entry.state;
        let has_jumped = is_same && news.clock > entry.clock + 1;
        if let Some(shown) = entry.above.shown.filter(|shown| has_jumped && news.clock <= *shown) {
            entry.above.raised = (shown - news.clock) as i64;
        }
    }

    /// From now on its clock is higher there, each time by more. Returns whether it is.
    pub fn raise(&mut self, id: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let step = (2 * entry.above.step).max(RAISE);
        entry.above.step = step;
        entry.above.raise(step)
    }

    /// Whether the upstream sends back what it takes.
    pub fn comes_back(&self) -> bool {
        self.comes_back
    }

    /// What was told above and was to have come back by then. It is not waited for any longer.
    pub fn unheard(&mut self, by: Millis) -> Unheard {
        let mut unheard = Unheard::default();
        for (id, entry) in &mut self.entries {
            let above = &mut entry.above;
            if above.due.take_if(|(_, at)| *at <= by).is_none() {
                continue;
            }
            if entry.state.is_none() {
                unheard.departed |= above.is_seen;
            } else {
                unheard.present.push(*id);
            }
        }
        self.reckon_due();
        unheard
    }

    fn reckon_due(&mut self) {
        self.due_at = self.entries.values().filter_map(|entry| Some(entry.above.due?.1)).min();
    }

    /// When [`Awareness::unheard`] has something to do.
    pub fn next_unheard(&self) -> Option<Millis> {
        self.due_at
    }

    /// Whoever is seen there is about to be withdrawn, and to be told again.
    pub fn raise_all(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.above.is_seen) {
            entry.above.raise(RAISE);
        }
    }

    /// The conversation with the upstream has ended.
    pub fn leave_above(&mut self) {
        self.due_at = None;
        for entry in self.entries.values_mut() {
            let above = &mut entry.above;
            (above.due, above.shown, above.is_seen, above.step) = (None, None, false, 0);
        }
    }
}

impl Above {
    pub(super) fn is_seen(self) -> bool {
        self.is_seen
    }

    fn shows(&mut self, news: &Announcement) {
        match news.state {
            Some(_) => self.shown = self.shown.max(Some(news.clock)),
            None => self.shown = self.shown.filter(|shown| *shown > news.clock),
        }
    }

    /// Returns whether it is higher now.
    fn raise(&mut self, by: i64) -> bool {
        let before = self.raised;
        self.raised = (before + by).min(limits::AWARENESS_RAISE_MAX);
        self.raised > before
    }
}
