//! What a server says that does not open a WebSocket: the status, and what it asks for.

use std::fmt;
use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::text;
use crate::clock;

/// An answer other than 101. Redirects are not followed: the login is for one server only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// 401, 403, 404, 503 or the like.
    pub status: u16,
    /// With 401: whether a login is asked for that we can give.
    pub basic: bool,
    /// When it wants to be asked again.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        let status = status.as_u16();
        Self {
            status,
            basic: status == 401 && asks_for_basic(headers),
            retry_after_ms: wait(headers),
        }
    }
}

/// Whether HTTP Basic is among what the server offers. One that names nothing breaks the rules of
/// HTTP; it may well mean that.
fn asks_for_basic(headers: &HeaderMap) -> bool {
    let challenges = headers.get_all(header::WWW_AUTHENTICATE);
    let mut schemes = challenges.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| {
        // A challenge is a scheme and its parameters; commas stand between both.
        value.split(',').filter_map(|part| part.split_ascii_whitespace().next())
    });
    challenges.iter().next().is_none() || schemes.any(|scheme| scheme.eq_ignore_ascii_case("basic"))
}

/// `Retry-After`: seconds, or a date.
fn wait(headers: &HeaderMap) -> Option<u64> {
    let text = text(headers, &header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((at.as_millis() as u64).saturating_sub(clock::unix_ms()))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.status {
            200..=299 => "it answers with a page",
            300..=399 => "it leads elsewhere, and is not followed: give the address itself",
            401 if self.basic => "it wants a login: give --user and --password-file",
            401 => "it wants a login of another kind than HTTP Basic",
            403 => "it does not let us in",
            404 => "there is nothing at that address",
            429 => "it was asked too often",
            500..=599 => "it is out of order",
            _ => "it opens no WebSocket there",
        };
        write!(f, "refused with HTTP status {}: {words}", self.status)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderName;

    use super::*;

    fn refused(status: u16, headers: &[(HeaderName, &str)]) -> Refused {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        Refused::read(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn basic_is_found_among_what_is_offered() {
        let offers = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|v| (header::WWW_AUTHENTICATE, *v)).collect();
            refused(401, &headers).basic
        };
        for values in [
            &["Basic realm=\"ELVA\""][..],
            &["basic"],
            &["Digest realm=\"a\", nonce=\"b\", BASIC realm=\"c\""],
            &["Negotiate", "Basic realm=\"x\", charset=\"UTF-8\""],
            &[],
        ] {
            assert!(offers(values), "{values:?}");
        }
        for values in [&["Bearer realm=\"basic\""][..], &["Negotiate", "Digest qop=basic"]] {
            assert!(!offers(values), "{values:?}");
        }
        assert!(!refused(403, &[(header::WWW_AUTHENTICATE, "Basic")]).basic);
    }

    #[test]
    fn a_time_to_come_back_is_read_in_both_forms() {
        let wait = |value| refused(503, &[(header::RETRY_AFTER, value)]).retry_after_ms;
        assert_eq!(wait("120"), Some(120_000));
        assert_eq!(wait("18446744073709551615"), Some(u64::MAX));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:10 GMT"), Some(0));
        let soon = clock::unix_ms() + 60_000;
        let date = UNIX_EPOCH + std::time::Duration::from_millis(soon);
        let waits = wait(&httpdate::fmt_http_date(date)).unwrap();
        assert!((50_000..=60_000).contains(&waits), "{waits}");
        assert_eq!(refused(503, &[]).retry_after_ms, None);
    }
}
