//! Text that others have written, fit for a terminal and for one line.

/// Without what a terminal would obey: control characters, and those that turn the direction of
/// writing. They are shown as escapes.
pub(crate) fn printable(text: &str) -> String {
    let turns = |c| {
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let obeyed = |c: char| c.is_control() || turns(c);
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) { printable.extend(c.escape_default()) } else { printable.push(c) }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_escapes() {
        assert_eq!(printable("\u{1b}]0;x\u{7}a\nb\u{9b}2J"), "\\u{1b}]0;x\\u{7}a\\nb\\u{9b}2J");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{2069}"), "a\\u{202e}b\\u{2066}c\\u{2069}");
        assert_eq!(printable("\u{200e}\u{200f}\u{61c}"), "\\u{200e}\\u{200f}\\u{61c}");
        assert_eq!(printable("d\u{fc}rfen \u{1f58a}"), "d\u{fc}rfen \u{1f58a}");
    }
}
