//! Whether a text is JSON: checked by iteration, without allocation, nothing kept.

use crate::decode::Fault;

/// Accepts what `JSON.parse` accepts, nested at most `depth_max` (64 at most) containers deep.
pub fn check(text: &str, depth_max: usize) -> Result<(), Fault> {
    Checker { bytes: text.as_bytes(), offset: 0, open: 0, depth: 0, depth_max: depth_max.min(64) }
        .check()
}

struct Checker<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// One bit per open container, the innermost lowest: 1 for an object, 0 for an array.
    open: u64,
    depth: usize,
    depth_max: usize,
}

impl Checker<'_> {
    fn check(mut self) -> Result<(), Fault> {
        loop {
            self.space();
            if self.opens_nonempty()? {
                continue;
            }
            loop {
                self.space();
                if self.depth == 0 {
                    return if self.peek().is_none() { Ok(()) } else { Err(Fault::NotJson) };
                }
                let in_object = self.open & 1 == 1;
                match self.next() {
                    Some(b',') if in_object => {
                        self.space();
                        self.key()?;
                        break;
                    }
                    Some(b',') => break,
                    Some(b'}') if in_object => self.close(),
                    Some(b']') if !in_object => self.close(),
                    _ => return Err(Fault::NotJson),
                }
            }
        }
    }

    /// Reads a scalar or an empty container whole; of another container only what stands before
    /// its first value, and then says true.
    fn opens_nonempty(&mut self) -> Result<bool, Fault> {
        match self.next() {
            Some(b'{') => {
                self.open(true)?;
                if self.peek() == Some(b'}') {
                    self.offset += 1;
                    self.close();
                    return Ok(false);
                }
                self.key()?;
                Ok(true)
            }
            Some(b'[') => {
                self.open(false)?;
                if self.peek() == Some(b']') {
                    self.offset += 1;
                    self.close();
                    return Ok(false);
                }
                Ok(true)
            }
            Some(b'"') => self.string().map(|()| false),
            Some(b't') => self.word(b"rue").map(|()| false),
            Some(b'f') => self.word(b"alse").map(|()| false),
            Some(b'n') => self.word(b"ull").map(|()| false),
            Some(b'-') => {
                let first = self.next();
                self.number(first).map(|()| false)
            }
            first => self.number(first).map(|()| false),
        }
    }

    fn open(&mut self, object: bool) -> Result<(), Fault> {
        if self.depth == self.depth_max {
            return Err(Fault::TooDeep);
        }
        self.depth += 1;
        self.open = self.open << 1 | u64::from(object);
        self.space();
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.open >>= 1;
    }

    fn key(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        self.string()?;
        self.space();
        self.expect(b':')
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<(), Fault> {
        loop {
            match self.next() {
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') => {
                        for _ in 0..4 {
                            if !self.next().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                return Err(Fault::NotJson);
                            }
                        }
                    }
                    _ => return Err(Fault::NotJson),
                },
                Some(0x20..) => {}
                _ => return Err(Fault::NotJson),
            }
        }
    }

    /// The rest of a number whose sign and first digit are read.
    fn number(&mut self, first: Option<u8>) -> Result<(), Fault> {
        match first {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(Fault::NotJson),
        }
        if self.peek() == Some(b'.') {
            self.offset += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.offset += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.offset += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(Fault::NotJson);
        }
        self.skip_digits();
        Ok(())
    }

    fn skip_digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.offset += 1;
        }
    }

    fn word(&mut self, rest: &[u8]) -> Result<(), Fault> {
        rest.iter().try_for_each(|&byte| self.expect(byte))
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.offset += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.next() == Some(byte) { Ok(()) } else { Err(Fault::NotJson) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.offset += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_json_parse_takes() {
        let texts = [
            "0",
            "-0",
            "12",
            "-1.5e+10",
            "1E9",
            "1e999",
            "\"\"",
            "\"a\\u00e9\\n\\ud800\"",
            "\"ä😀\u{2028}\"",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            " [ ] ",
            " { } ",
            "[1,2 , [3],{}]",
            "\n\t\r 1 ",
            "{\"a\":1,\"b\":[{\"c\":null}], \"a\" : \"twice\"}",
        ];
        for text in texts {
            assert_eq!(check(text, 64), Ok(()), "{text}");
        }
    }

    #[test]
    fn refuses_what_json_parse_refuses() {
        let texts = [
            "",
            " ",
            "undefined",
            "NaN",
            "Infinity",
            "+1",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "--1",
            "tru",
            "True",
            "nulll",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u123",
            "\"a\nb\"",
            "'a'",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{",
            "}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1]",
            "{1:2}",
            "1 2",
            "[] []",
            "[]]",
            "// 1",
            "\u{feff}1",
            "\u{a0}1",
        ];
        for text in texts {
            assert_eq!(check(text, 64), Err(Fault::NotJson), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", "{\"k\":".repeat(depth), "}".repeat(depth));
        for depth_max in [1, 2, 32, 64] {
            assert_eq!(check(&nested(depth_max), depth_max), Ok(()));
            assert_eq!(check(&nested(depth_max + 1), depth_max), Err(Fault::TooDeep));
            assert_eq!(check(&objects(depth_max), depth_max), Ok(()));
            assert_eq!(check(&objects(depth_max + 1), depth_max), Err(Fault::TooDeep));
        }
        assert_eq!(check("1", 0), Ok(()));
        assert_eq!(check("[]", 0), Err(Fault::TooDeep));
        assert_eq!(check(&nested(65), usize::MAX), Err(Fault::TooDeep));
    }

    #[test]
    fn kinds_of_containers_are_told_apart_at_every_depth() {
        let mut text = String::new();
        let mut ends = Vec::new();
        for depth in 0..64 {
            let (start, end) = if depth % 3 == 0 { ("{\"k\":", '}') } else { ("[", ']') };
            text.push_str(start);
            ends.push(end);
        }
        text.push('1');
        let good: String = text.clone() + &ends.iter().rev().collect::<String>();
        assert_eq!(check(&good, 64), Ok(()));
        for wrong in 0..64 {
            let mut ends = ends.clone();
            ends[wrong] = if ends[wrong] == '}' { ']' } else { '}' };
            let bad: String = text.clone() + &ends.iter().rev().collect::<String>();
            assert_eq!(check(&bad, 64), Err(Fault::NotJson));
        }
    }
}
