//! Until when a secret is good, where it says so itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// When a JSON Web Token ends (RFC 7519, `exp`), in milliseconds since 1970. It is not verified:
/// that is the server's to do, and a wrong time only has it got at another one.
pub(super) fn of_jwt(text: &str) -> Option<u64> {
    let mut parts = text.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    // A number of seconds, perhaps with a fraction.
    let seconds = claims.get("exp")?.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some((seconds * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_token_says_when_it_ends() {
        // The example of RFC 7519, section 3.1.
        let example = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(of_jwt(example), Some(1_300_819_380_000));
        assert_eq!(of_jwt(&jwt(r#"{"exp": 1.5}"#)), Some(1_500));
        assert_eq!(of_jwt(&jwt(r#"{"exp": 1e300}"#)), Some(u64::MAX));
        let padded = jwt(r#"{"exp": 1300}"#).replace(".c2ln", "==.c2ln");
        assert_eq!(of_jwt(&padded), Some(1_300_000));
    }

    #[test]
    fn what_is_no_such_token_says_nothing() {
        for payload in ["", "{}", "[1]", r#"{"exp": "soon"}"#, r#"{"exp": -1}"#, "{", "7"] {
            assert_eq!(of_jwt(&jwt(payload)), None, "{payload}");
        }
        let four = format!("{}.x", jwt(r#"{"exp": 1}"#));
        for text in ["", "hunter2", "a.b", "a.b.c", "..", "a.\u{fc}.c", &four] {
            assert_eq!(of_jwt(text), None, "{text}");
        }
    }
}
