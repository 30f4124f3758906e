//! A token for one document, from the endpoint that gives them: y-sweet's, or that of an
//! application in front of it. It also says where the document is.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use yrelay_core::id::DocumentId;
use yrelay_core::upstream::Failure;

use super::attempt::Closed;
use crate::config::{TokenUrl, Upstream};
use crate::connector::Connector;
use crate::limits;
use crate::target::Target;

/// What is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    doc_id: &'a str,
}

/// What is answered, as far as it is of use here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    url: Option<String>,
    doc_id: Option<String>,
    token: Option<String>,
}

/// Where a document is, and what opens it.
pub(super) struct Ticket {
    /// Another server than the one that is configured, perhaps.
    pub(super) connector: Option<Connector>,
    pub(super) path: String,
}

/// Asks for the ticket of a document.
pub(super) async fn ask(
    upstream: &Upstream,
    endpoint: &TokenUrl,
    id: &DocumentId,
    secret: Option<&SecretString>,
) -> Result<Ticket, Closed> {
    let name = upstream.name_of(id).and_then(|name| DocumentId::new(&name).ok());
    let name = name.ok_or_else(|| refused("it can have no name there".to_owned()))?;
    let target = endpoint.at(&name);
    let connector = connector(upstream, target.clone())?;
    let request = request(&target, &name, secret)
        .map_err(|reason| refused(format!("cannot ask {endpoint} for a token: {reason}")))?;
    let answer = connector.ask(request, limits::TICKET_BYTES_MAX, limits::UPGRADE_MS).await;
    let answer =
        answer.map_err(|error| unreachable(format!("asked {endpoint} for a token: {error}")))?;
    let status = answer.status().as_u16();
    match status {
        200..=299 => {}
        401 | 403 => {
            let reason = format!("{endpoint} gives no token: HTTP status {status}");
            return Err(Closed { failure: Failure::Unauthorized, reason });
        }
        400 | 404 | 410 => {
            return Err(refused(format!("{endpoint} gives no token for it: HTTP status {status}")));
        }
        _ => return Err(unreachable(format!("{endpoint} answers with HTTP status {status}"))),
    }
    let answer: Answer = serde_json::from_slice(answer.body())
        .map_err(|error| unreachable(format!("{endpoint} gives no token: {error}")))?;
    ticket(upstream, id, answer)
}

fn ticket(upstream: &Upstream, id: &DocumentId, answer: Answer) -> Result<Ticket, Closed> {
    let token = answer.token.as_deref();
    let Some(url) = answer.url else {
        let path = upstream.path_of(id, token).unwrap_or_default();
        return Ok(Ticket { connector: None, path });
    };
    let target = Target::parse(&url)
        .map_err(|error| unreachable(format!("the address with the token is none: {error}")))?;
    if upstream.target.secure && !target.secure {
        return Err(unreachable("the address with the token is not encrypted: ws://".to_owned()));
    }
    let name = answer.doc_id.unwrap_or_else(|| id.as_str().to_owned());
    let name = DocumentId::new(&name).map_err(|error| refused(error.to_string()))?;
    let mut path = target.of_document(&name.to_encoded());
    if let Some(token) = token {
        let join = if path.contains('?') { '&' } else { '?' };
        path = format!("{path}{join}token={}", crate::config::value_encoded(token));
    }
    Ok(Ticket { connector: Some(connector(upstream, target)?), path })
}

fn request(
    target: &Target,
    name: &DocumentId,
    secret: Option<&SecretString>,
) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::to_vec(&Question { doc_id: name.as_str() });
    let mut request = Request::new(Full::new(body.map_err(|error| error.to_string())?.into()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.path.parse().map_err(|error| format!("{error}"))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(secret) = secret {
        let value = format!("Bearer {}", secret.expose_secret());
        let value = HeaderValue::try_from(value).map_err(|_| "the token is no header".to_owned());
        let mut value = value?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

fn connector(upstream: &Upstream, target: Target) -> Result<Connector, Closed> {
    Connector::new(target, upstream.authorities.iter().cloned())
        .map_err(|error| unreachable(error.to_string()))
}

fn refused(reason: String) -> Closed {
    Closed { failure: Failure::Refused, reason }
}

fn unreachable(reason: String) -> Closed {
    Closed { failure: Failure::Unreachable, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(text: &str) -> Upstream {
        Upstream::open(Target::parse(text).unwrap())
    }

    fn path(server: &str, answer: &str) -> Result<(Option<String>, String), String> {
        let answer = serde_json::from_str(answer).unwrap();
        let id = DocumentId::new("my notes").unwrap();
        let ticket = ticket(&upstream(server), &id, answer).map_err(|closed| closed.reason)?;
        Ok((ticket.connector.map(|it| it.target().authority()), ticket.path))
    }

    #[test]
    fn the_answer_says_where_the_document_is() {
        // As y-sweet 0.9.1 answers.
        let y_sweet = r#"{"url": "ws://sweet:8080/d/x1/ws", "baseUrl": "http://sweet:8080/d/x1",
            "docId": "x1", "token": "a+b", "authorization": "full"}"#;
        assert_eq!(
            path("ws://app/", y_sweet),
            Ok((Some("sweet:8080".into()), "/d/x1/ws/x1?token=a%2Bb".into()))
        );
        assert_eq!(
            path("ws://app/", r#"{"url": "ws://sweet/d/x1/ws", "docId": "x1"}"#),
            Ok((Some("sweet".into()), "/d/x1/ws/x1".into()))
        );
        assert_eq!(
            path("ws://sweet/d/{identifier}/ws/{identifier}", r#"{"docId": "x1"}"#),
            Ok((None, "/d/my%20notes/ws/my%20notes".into()))
        );
        assert!(path("wss://app/", y_sweet).unwrap_err().contains("not encrypted"));
        assert!(path("ws://app/", r#"{"url": "sweet", "docId": "x1"}"#).is_err());
    }
}
