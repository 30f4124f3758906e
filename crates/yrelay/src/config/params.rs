//! What the address of a server is given besides: the pairs behind its `?`.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// Stands for the token.
const TOKEN: &str = "{token}";
/// What no query may hold as it is. What is encoded already stays so.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Whatever is in it, it is one value.
pub(super) const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Pairs for the query of an address, in their order. In a value `{token}` stands for the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Takes texts such as `a=b`, or several in one: `a=b&c=d`.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for text in texts {
            let text = text.trim();
            let text = text.strip_prefix('?').unwrap_or(text);
            for pair in text.split('&').filter(|pair| !pair.is_empty()) {
                match pair.split_once('=') {
                    Some((name, value)) if !name.is_empty() => {
                        pairs.push((name.to_owned(), value.to_owned()));
                    }
                    _ => return Err(format!("{pair:?} is no pair: write it like client=elva")),
                }
            }
        }
        Ok(Self(pairs))
    }

    /// Whether the token is among them.
    pub fn want_token(&self) -> bool {
        self.0.iter().any(|(_, value)| value.contains(TOKEN))
    }

    /// The path, or path and query, with these behind it. A pair that wants a token goes where
    /// there is one.
    pub fn onto(&self, path: &str, token: Option<&str>) -> String {
        let token = token.map(|token| utf8_percent_encode(token, VALUE).to_string());
        let mut whole = path.to_owned();
        let mut join = if path.contains('?') { '&' } else { '?' };
        for (name, value) in &self.0 {
            let mut parts = value.split(TOKEN).map(encoded);
            let mut value = parts.next().unwrap_or_default();
            let rest: Vec<_> = parts.collect();
            if !rest.is_empty() {
                let Some(token) = &token else { continue };
                rest.iter().for_each(|part| value = format!("{value}{token}{part}"));
            }
            whole += &format!("{join}{}={value}", encoded(name));
            join = '&';
        }
        whole
    }
}

/// Encodes what must be, and a `%` that begins nothing.
fn encoded(text: &str) -> String {
    let mut whole = String::new();
    for (number, part) in text.split('%').enumerate() {
        if number > 0 {
            let is_escape = part.len() >= 2 && part.bytes().take(2).all(|b| b.is_ascii_hexdigit());
            whole += if is_escape { "%" } else { "%25" };
        }
        whole.extend(utf8_percent_encode(part, QUERY));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_go_behind_the_path() {
        for (texts, path, whole) in [
            (&[][..], "/", "/"),
            (&["client=elva&persistent=1"], "/", "/?client=elva&persistent=1"),
            (&["client=elva", " ?persistent=1&"], "/a?b=c", "/a?b=c&client=elva&persistent=1"),
            (&["a=b=c", "d="], "/", "/?a=b=c&d="),
            (&["n\u{e4}me=a b#%"], "/", "/?n%C3%A4me=a%20b%23%25"),
            (&["a=%20%2", "b=100%\u{fc}", "c=%fF"], "/", "/?a=%20%252&b=100%25%C3%BC&c=%fF"),
            (&["a={b}"], "/", "/?a=%7Bb%7D"),
        ] {
            let params = Params::parse(texts.iter().copied()).unwrap();
            assert_eq!(params.onto(path, Some("x")), whole, "{texts:?}");
            assert!(!params.want_token());
            assert!(format!("http://host{whole}").parse::<hyper::Uri>().is_ok());
        }
    }

    #[test]
    fn the_token_stands_where_it_is_wanted_and_is_one_value() {
        let params = Params::parse(["yauth={token}&a=1", "t=x-{token}/{token}"]).unwrap();
        assert!(params.want_token());
        assert_eq!(
            params.onto("/", Some("a+b/c=&d")),
            "/?yauth=a%2Bb%2Fc%3D%26d&a=1&t=x-a%2Bb%2Fc%3D%26d/a%2Bb%2Fc%3D%26d"
        );
        assert_eq!(
            params.onto("/", Some("{token}")),
            "/?yauth=%7Btoken%7D&a=1&t=x-%7Btoken%7D/%7Btoken%7D"
        );
        assert_eq!(params.onto("/", None), "/?a=1");
    }

    #[test]
    fn what_is_no_pair_is_named() {
        for text in ["client", "=x", "a=b&c", "a=b&=c"] {
            let error = Params::parse([text]).unwrap_err();
            assert!(error.ends_with(" is no pair: write it like client=elva"), "{error}");
        }
        assert_eq!(Params::parse(["", "&"]), Ok(Params::default()));
    }
}
