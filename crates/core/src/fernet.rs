//! What shows of a Fernet token from outside: when it was made, and about how long its text is.

/// How tokens begin: a version and the first bytes of a time before the year 2106.
const BEGINNING: &[u8] = b"gAAAA";

/// The shortest: of a text of less than 16 bytes.
const BYTES_MIN: usize = 100;

/// Whether a frame looks like one.
pub(crate) fn is_token(frame: &[u8]) -> bool {
    frame.starts_with(BEGINNING)
}

/// When a token was made, in seconds since 1970; nothing of what is none by its form.
pub(crate) fn made_at(frame: &[u8]) -> Option<u64> {
    let is_formed = is_token(frame) && frame.len() >= BYTES_MIN && frame.len().is_multiple_of(4);
    let text = frame.trim_ascii_end();
    let end = text.iter().rposition(|byte| *byte != b'=').filter(|_| is_formed)?;
    if text.iter().take(end).any(|byte| sextet(*byte).is_none()) {
        return None;
    }
    // A byte of version and eight of the time are twelve characters.
    let mut bits = 0_u128;
    for byte in frame.iter().take(12) {
        bits = bits << 6 | u128::from(sextet(*byte)?);
    }
    Some(bits as u64)
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Fernet, made at 499162800.
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn a_token_says_when_it_was_made() {
        assert_eq!(made_at(TOKEN.as_bytes()), Some(499_162_800));
    }

    #[test]
    fn what_only_begins_like_one_is_none() {
        let broken = TOKEN.replace('_', " ");
        for frame in ["", "gAAAA", &TOKEN[..96], &TOKEN[..99], &broken] {
            assert_eq!(made_at(frame.as_bytes()), None, "{frame}");
        }
        assert_eq!(made_at(&[b'='; 100]), None);
    }
}
