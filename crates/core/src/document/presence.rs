//! Who is present: what is told of those who no longer are.

use super::Document;
use super::audience::Audience;
use crate::event::Output;
use crate::{Millis, wire};

impl Document {
    /// Everybody below hears how these ids stand.
    pub(super) fn tell_awareness(&mut self, now: Millis, ids: &[u64]) {
        for link in self.links.values_mut() {
            link.announce(ids.iter().copied());
        }
        self.tell_clients_awareness(now, ids);
    }

    pub(super) fn tell_clients_awareness(&mut self, now: Millis, ids: &[u64]) {
        if let Some(entries) = self.awareness.encode(ids.iter().copied()) {
            self.broadcast(now, Audience::Everyone, None, wire::awareness(&entries));
        }
    }

    /// Withdraws whom nobody has renewed. Above, they are told of those from here: a link that
    /// came back may just have announced them, for another half a minute.
    pub(super) fn expire_awareness(&mut self, now: Millis) {
        let local = self.local_awareness();
        let gone = self.awareness.expire(now);
        self.tell_awareness(now, &gone);
        if let Some(uplink) = &mut self.uplink {
            uplink.announce(gone.into_iter().filter(|id| local.contains(id)));
        }
        if let Some(at) = self.awareness.next_expiry() {
            self.schedule(at);
        }
    }

    /// The upstream has answered: what it had not sent back before it was asked, it has not taken.
    pub(super) fn tell_unheard(&mut self) {
        let Some(uplink) = &mut self.uplink else { return };
        let Some(asked_at) = uplink.echo_missed_by() else { return };
        let unheard = self.awareness.unheard(asked_at);
        let raised = |id: &u64| self.awareness.raise(*id);
        uplink.announce(unheard.present.into_iter().filter(raised));
        if unheard.departed && uplink.withdraws_at_once() {
            self.awareness.raise_all();
            self.out.push(Output::Reopen);
        }
    }

    /// Withdraws whoever was announced from here.
    pub(super) fn withdraw_awareness(&mut self, now: Millis) {
        let local = self.local_awareness();
        if let Some(uplink) = &mut self.uplink {
            self.awareness.withdraw(now, &local);
            uplink.announce(local);
        }
    }

    /// Who is announced by others than the upstream.
    fn local_awareness(&self) -> Vec<u64> {
        let upstream = self.uplink.as_ref().map(|uplink| uplink.peer);
        upstream.map_or_else(Vec::new, |peer| self.awareness.living_not_from(peer).collect())
    }
}
