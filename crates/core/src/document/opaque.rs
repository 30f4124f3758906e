//! Encrypted documents: their frames are passed on unread, and kept.

use bytes::Bytes;

use super::audience::Audience;
use super::{Document, Kind};
use crate::archive::{Kept, Taken};
use crate::close::CloseReason;
use crate::event::Output;
use crate::fellow::{Digest, Message};
use crate::id::PeerId;
use crate::opening::{Due, Held, Next};
use crate::peer::{Peer, Role, Stage};
use crate::uplink::Uplink;
use crate::{Millis, limits};

impl Document {
    /// The first frame shows that it is one.
    pub(super) fn is_opaque(&mut self, now: Millis) {
        self.kind = Kind::Opaque;
        for peer in self.everyone.clone().iter() {
            self.attach_to_opaque(now, *peer);
        }
        if let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.is_fellow()) {
            uplink.frames.tell_summary(false);
        }
    }

    /// A client is here. What is kept it is told once it has said its opening.
    pub(super) fn attach_to_opaque(&mut self, now: Millis, peer: PeerId) {
        let Some(client) = self.clients.get_mut(&peer) else { return };
        if self.archive.is_empty() && !self.archive.takes_all() {
            client.stage = Stage::Live;
        } else {
            client.stage = Stage::Replaying { next: 0 };
            self.schedule(now + limits::SILENT_MS);
        }
        self.reckon_audience();
    }

    /// It is told what is kept, if it may be.
    fn begin_to_tell(&mut self, now: Millis, peer: PeerId) {
        let Some(client) = self.clients.get_mut(&peer) else { return };
        if !matches!(client.stage, Stage::Replaying { next: 0 }) || !client.opening.may_be_told() {
            return;
        }
        let missed = client.opening.catch_up();
        if self.archive.is_empty() {
            client.stage = Stage::Live;
            self.reckon_audience();
        } else {
            self.out.push(Output::Ready { peer });
        }
        missed.into_iter().for_each(|frame| self.send(now, peer, frame));
    }

    /// Tells the clients what is not kept, those that open it later.
    fn tell_aside(&mut self, now: Millis, except: PeerId, frame: &Bytes) {
        for peer in self.everyone.clone().iter().filter(|peer| **peer != except) {
            match self.clients.get_mut(peer).filter(|client| client.is_opening()) {
                Some(client) => client.opening.misses(frame.clone()),
                None => self.send(now, *peer, frame.clone()),
            }
        }
    }

    /// Sends a client that has room the next of what is kept.
    pub(super) fn replay_on(&mut self, now: Millis, peer: PeerId) {
        let told = self.clients.get_mut(&peer).filter(|client| !client.is_opening());
        let Some(client) = told else { return };
        let Stage::Replaying { next } = &mut client.stage else { return };
        let mut frame = None;
        while let Some(kept) = self.archive.get(*next)
            && frame.is_none()
        {
            *next += 1;
            frame = (kept.from != Some(peer)).then(|| kept.bytes.clone());
        }
        if self.archive.get(*next).is_some() {
            self.out.push(Output::Ready { peer });
        } else {
            client.stage = Stage::Live;
            self.reckon_audience();
        }
        if let Some(frame) = frame {
            self.send(now, peer, frame);
        }
    }

    /// A relay below joins it.
    pub(super) fn attach_link_to_opaque(&mut self, peer: PeerId) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        link.frames.kept(self.archive.len(), true);
        if link.is_fellow() {
            // It says what it has.
            link.frames.start_at(self.archive.len());
        }
    }

    /// The upstream is back. Another yrelay says what it has. Any other is sent what may not have
    /// arrived, and asked again what the clients asked when they came: whoever is behind it
    /// answers. Who has not asked, as far as we know, comes anew and does; but not who is about to:
    /// programs of ELVA that lose a connection on which they speak do not speak again.
    pub(super) fn attach_opaque_upstream(&mut self, now: Millis) {
        let takes_all = self.archive.takes_all();
        let Some(uplink) = &mut self.uplink else { return };
        let is_fellow = uplink.is_fellow();
        uplink.frames.kept(self.archive.len(), true);
        uplink.frames.start_at(if is_fellow { self.archive.len() } else { self.delivered });
        if is_fellow {
            uplink.frames.tell_summary(false);
        }
        let mut strangers = Vec::new();
        for (peer, Peer { opening, .. }) in &self.clients {
            let goes_on = match opening.said() {
                // What was said meanwhile nobody else knows.
                _ if !takes_all && opening.may_be_told() => false,
                _ if takes_all && is_fellow => true,
                Some(said) => said.iter().all(|frame| uplink.frames.push(frame.clone(), true)),
                None => false,
            };
            if !goes_on {
                strangers.push(*peer);
            }
        }
        self.send_away(now, &strangers);
    }

    /// They exchange all they have when they come anew.
    fn send_away(&mut self, now: Millis, clients: &[PeerId]) {
        for peer in clients {
            self.close(now, *peer, CloseReason::Resync);
        }
    }

    /// The upstream is gone.
    pub(super) fn detach_opaque_upstream(&mut self, now: Millis, uplink: &Uplink) {
        if !uplink.is_fellow() {
            self.delivered = uplink.frames.delivered(now);
        }
    }

    /// What another yrelay says of an encrypted document.
    pub(super) fn fellow_of_opaque(&mut self, peer: PeerId, message: Message) {
        let is_above = self.uplink.as_ref().is_some_and(|uplink| uplink.peer == peer);
        match message {
            Message::Archive { count, digest, covers } if is_above => {
                self.upstream_keeps(count, &digest, covers);
            }
            Message::Archive { count, digest, covers } => {
                self.link_keeps(peer, count, &digest, covers);
            }
            Message::Saved { version, kept } if is_above => self.upstream_saved(version, kept),
            Message::Refused { reason, .. } if is_above => {
                self.out.push(Output::Refused { reason });
            }
            Message::Ask { version } if !is_above => self.link_asks(peer, version),
            _ => {}
        }
    }

    /// A relay below says what it keeps, and once more where that is not all here: by then it
    /// knows what is.
    fn link_keeps(&mut self, peer: PeerId, count: u64, digest: &Digest, covers: bool) {
        let shared = self.archive.begins_with(count, digest);
        let Some(link) = self.links.get_mut(&peer) else { return };
        let is_first = !std::mem::replace(&mut link.greeted, true);
        match shared {
            Some(shared) => link.frames.lacks_from(shared),
            None if is_first || covers => {}
            None => link.frames.lacks_from(0),
        }
        if is_first {
            link.frames.tell_summary(shared.is_some());
        }
    }

    fn upstream_keeps(&mut self, count: u64, digest: &Digest, covers: bool) {
        let Some(uplink) = &mut self.uplink else { return };
        let all = self.archive.len();
        let from = match self.archive.begins_with(count, digest) {
            _ if covers => all,
            shared => {
                uplink.frames.tell_summary(shared.is_some());
                shared.unwrap_or(0)
            }
        };
        uplink.frames.lacks_from(from);
        uplink.keeps_frames();
        self.above = false;
        // Where it has other frames, it may yet have all of these: the receipt will tell.
        if from < all && self.unconfirm() && count == 0 {
            self.out.push(Output::Lost);
        }
    }

    /// A frame that a peer sent. `is_aside`: it need not be kept, says a relay.
    pub(super) fn opaque_frame(
        &mut self,
        now: Millis,
        peer: PeerId,
        role: Role,
        frame: &Bytes,
        is_aside: bool,
    ) {
        if let Err(reason) = self.admit(peer, role) {
            self.close(now, peer, reason);
            return;
        }
        if let Some(link) = self.links.get_mut(&peer) {
            link.hail_unread();
        }
        if is_aside || self.archive.is_idle_talk(frame) {
            self.pass_by(now, peer, role, frame, true);
            return;
        }
        if let Some(client) = self.clients.get_mut(&peer) {
            let keeps_above = self.uplink.as_ref().is_some_and(|uplink| uplink.is_fellow());
            let is_told = self.archive.takes_all() && (!self.archive.is_empty() || keeps_above);
            let next = client.opening.take(now, frame, is_told);
            if !client.opening.is_over() {
                self.schedule(now + limits::SETTLE_MS);
            }
            self.begin_to_tell(now, peer);
            match next {
                Next::Pass => {
                    self.pass_by(now, peer, role, frame, true);
                    return;
                }
                Next::Wait => {
                    self.pass_where_nothing_is_kept(frame);
                    return;
                }
                Next::Keep(before) => self.keep_held(now, peer, before),
            }
        }
        self.keep_and_pass(now, peer, role, frame);
    }

    fn keep_and_pass(&mut self, now: Millis, peer: PeerId, role: Role, frame: &Bytes) {
        match self.keep(peer, role, frame) {
            Taken::New => self.broadcast(now, Audience::Live, Some(peer), frame.clone()),
            // A relay that cannot say what it has asks once more what was asked before.
            Taken::Known if role != Role::Client && !self.is_fellow(peer) => {
                self.pass_by(now, peer, role, frame, true);
            }
            Taken::Known => {}
            Taken::Not { .. } => self.pass_by(now, peer, role, frame, false),
        }
    }

    /// Keeps a frame and has it go over the links.
    fn keep(&mut self, peer: PeerId, role: Role, frame: &Bytes) -> Taken {
        let is_local = role != Role::Upstream;
        let taken = self.archive.take(frame, peer, is_local);
        match taken {
            Taken::New => {}
            Taken::Not { ends: true } => {
                self.append_frame(&Bytes::new(), is_local);
                self.out.push(Output::ArchiveFull);
                return taken;
            }
            Taken::Known | Taken::Not { ends: false } => return taken,
        }
        self.append_frame(frame, is_local);
        let count = self.archive.len();
        for (other, link) in &mut self.links {
            link.frames.kept(count, *other != peer);
        }
        if let Some(uplink) = &mut self.uplink {
            uplink.frames.kept(count, is_local);
            if is_local {
                uplink.has_news();
            }
        }
        taken
    }

    fn append_frame(&mut self, frame: &Bytes, local: bool) {
        self.unconfirmed |= local;
        let seq = self.log.append_frame(frame.len());
        self.out.push(Output::AppendFrame { seq, frame: frame.clone(), local });
    }

    /// What a client's opening held back is kept after all.
    fn keep_held(&mut self, now: Millis, peer: PeerId, held: Held) {
        for frame in held.frames {
            if held.is_passed {
                self.keep(peer, Role::Client, &frame);
            } else {
                self.keep_and_pass(now, peer, Role::Client, &frame);
            }
        }
    }

    /// The opening of a client ends, as the client goes.
    pub(super) fn end_opening(&mut self, now: Millis, peer: PeerId) {
        if let Some(client) = self.clients.get_mut(&peer) {
            let held = client.opening.end();
            self.keep_held(now, peer, held);
        }
    }

    /// Nobody will go on with theirs.
    pub(super) fn end_all_openings(&mut self, now: Millis) {
        for peer in self.everyone.clone().iter() {
            self.end_opening(now, *peer);
        }
    }

    /// Lets openings go on. Returns when one of them is due next.
    pub(super) fn go_on_with_openings(&mut self, now: Millis) -> Millis {
        let mut next = Millis::MAX;
        if self.kind != Kind::Opaque {
            return next;
        }
        for peer in self.everyone.clone().iter() {
            let Some(client) = self.clients.get_mut(peer) else { continue };
            match client.opening.due(now, client.heard_at, client.is_live()) {
                None => {}
                Some(Due::At(at)) => next = next.min(at),
                Some(Due::Keep(held)) => self.keep_held(now, *peer, held),
                Some(Due::Ask(question)) => {
                    self.send(now, *peer, question);
                    next = next.min(now + limits::QUIET_MS);
                }
            }
            self.begin_to_tell(now, *peer);
        }
        next
    }

    /// Passes on what is not kept.
    fn pass_by(&mut self, now: Millis, peer: PeerId, role: Role, frame: &Bytes, is_aside: bool) {
        if self.archive.passes_again(frame) && self.is_fellow(peer) {
            return;
        }
        let is_missed = is_aside && self.archive.takes_all();
        if is_missed && self.clients.values().any(Peer::is_opening) {
            self.tell_aside(now, peer, frame);
        } else {
            self.broadcast(now, Audience::Everyone, Some(peer), frame.clone());
        }
        for (link_peer, link) in self.links.iter_mut().filter(|(other, _)| **other != peer) {
            if !link.frames.push(frame.clone(), is_aside) {
                // What it would miss nobody can tell it later but the programs behind it.
                self.out.push(Output::Close { peer: *link_peer, reason: CloseReason::TooSlow });
            }
        }
        let uplink = self.uplink.as_mut().filter(|up| up.carries_frames());
        let refused = role != Role::Upstream
            && uplink.is_some_and(|up| !up.frames.push(frame.clone(), is_aside));
        if refused {
            self.close(now, peer, CloseReason::Backlogged);
        }
    }

    /// What a client says while it is told what is kept may be an answer to somebody who is told
    /// nothing. (If there is no room for it, that one is no worse off than if nobody were here.)
    fn pass_where_nothing_is_kept(&mut self, frame: &Bytes) {
        for link in self.links.values_mut().filter(|link| !link.is_fellow()) {
            link.frames.push(frame.clone(), true);
        }
        if let Some(uplink) = self.uplink.as_mut().filter(|uplink| !uplink.is_fellow()) {
            uplink.frames.push(frame.clone(), true);
        }
    }

    /// The next frame for a link below, if there is any.
    pub(super) fn frame_below(&mut self, now: Millis, peer: PeerId) -> Option<Bytes> {
        let link = self.links.get_mut(&peer)?;
        let is_fellow = link.is_fellow();
        let frame = link.frames.pop(now, is_fellow, &self.archive, |kept| kept.from != Some(peer));
        link.is_announced &= frame.is_none();
        frame
    }

    /// The next frame for the upstream, if there is any.
    pub(super) fn frame_above(&mut self, now: Millis) -> Option<Bytes> {
        let uplink = self.uplink.as_mut().filter(|uplink| uplink.carries_frames())?;
        let (is_fellow, above) = (uplink.is_fellow(), uplink.peer);
        // A server that only passes on has not lost what it once passed on.
        let is_for_it = |kept: &Kept| match is_fellow {
            true => kept.from != Some(above),
            false => kept.is_local,
        };
        uplink.frames.pop(now, is_fellow, &self.archive, is_for_it)
    }
}
