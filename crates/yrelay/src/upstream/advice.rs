//! What a server shows that wants to be spoken to in other messages. Nothing is guessed by sending:
//! it is said to people, who know what server that is.

use crate::config::Messages;
use crate::connector::ConnectError;

/// It began with a step 1 in plain Yjs, on a connection for all documents.
pub(super) const GREETS: &str =
    "it speaks plain Yjs, with a connection for each document: write --messages yjs";

/// It opens no WebSocket.
pub(super) fn on_refusal(speaks: Messages, error: &ConnectError) -> &'static str {
    let is_page = match error {
        // ELVA 0.37's has a list of its rooms there.
        ConnectError::Refused(refused) => matches!(refused.status, 200..=299 | 403 | 404),
        // ELVA 0.33's breaks off where it is asked for one document.
        ConnectError::Unanswered if speaks == Messages::Yjs => {
            return "; if it is ELVA 0.33, write --messages elva";
        }
        _ => false,
    };
    match speaks {
        _ if !is_page => "",
        Messages::Elva => {
            "; if it has one connection for each document, as ELVA 0.37's and y-websocket's, \
             write --messages yjs"
        }
        Messages::Yjs => {
            "; it may not allow this identifier, or, if it has one connection for all documents, \
             want --messages elva (ELVA 0.33, yrelay) or hocuspocus"
        }
        Messages::Hocuspocus => "; if it is no Hocuspocus, write --messages yjs or elva",
    }
}

/// It has ended a connection on which it said nothing.
pub(super) fn on_silent_end(speaks: Messages, code: Option<u16>) -> &'static str {
    match (speaks, code) {
        // A frame that it cannot read, or none in time in which a document is opened; version 4
        // falls over the question for awareness.
        (Messages::Yjs | Messages::Elva, Some(4205 | 4401 | 4408)) => {
            "; if it is a Hocuspocus, write --messages hocuspocus"
        }
        // What ELVA 0.33's cannot read it takes for the end.
        (Messages::Hocuspocus, Some(1000)) => {
            "; if it is no Hocuspocus, write --messages yjs or elva"
        }
        _ => "",
    }
}
