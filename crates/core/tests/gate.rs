//! The gate: what passes and what does not, each rule at its bound.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{bytes, cases, hex};
use yrelay_core::decode::{Fault, put_varuint};
use yrelay_core::limits;
use yrelay_core::update::Update;

fn gate(bytes: Vec<u8>) -> Result<(), Fault> {
    Update::parse(bytes.into()).map(|_| ()).map_err(|error| error.fault)
}

fn gate_hex(hex: &str) -> Result<(), Fault> {
    gate(bytes(hex))
}

fn varuint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varuint(&mut out, value);
    out
}

/// An update of client 1 with this one struct.
fn with_struct(parts: &[&[u8]]) -> Vec<u8> {
    at_clock(0, parts)
}

fn at_clock(clock: u64, parts: &[&[u8]]) -> Vec<u8> {
    [&[1, 1, 1][..], &varuint(clock), &parts.concat(), &[0]].concat()
}

/// Content of a kind in the root `t`.
fn content(kind: u8, content: &[u8]) -> Vec<u8> {
    with_struct(&[&[kind, 1, 1, b't'], content])
}

fn text(text: &[u8]) -> Vec<u8> {
    [&varuint(text.len() as u64), text].concat()
}

const END: u64 = limits::CLOCK_END;

#[test]
fn the_empty_update() {
    assert_eq!(gate_hex("0000"), Ok(()));
    assert!(common::update("0000").is_empty());
    assert!(common::update("0100010000").is_empty());
    assert!(!common::update("000101010001").is_empty());
    assert!(!common::update("01010100000100").is_empty());
}

#[test]
fn every_prefix_of_an_update_is_refused() {
    for case in cases() {
        for update in &case.updates {
            let whole = update.bytes();
            let step = (whole.len() / 300).max(1);
            for end in (0..whole.len()).step_by(step) {
                assert!(gate(whole[..end].to_vec()).is_err(), "{} {end}", hex(whole));
            }
        }
    }
}

#[test]
fn nothing_follows_an_update() {
    assert_eq!(gate_hex("000000"), Err(Fault::TrailingBytes));
    assert_eq!(gate_hex("0101010000010000"), Err(Fault::TrailingBytes));
}

#[test]
fn counts_are_bounded_by_the_bytes_that_remain() {
    assert_eq!(gate_hex("0100010000"), Ok(()));
    assert_eq!(gate_hex("0200010000"), Err(Fault::CountTooLarge));
    assert_eq!(gate_hex("01010100000100"), Ok(()));
    assert_eq!(gate_hex("01020100000100"), Err(Fault::EndOfInput));
    assert_eq!(gate_hex("01030100000100"), Err(Fault::CountTooLarge));
    assert_eq!(gate_hex("01ffffffff0f0100000100"), Err(Fault::CountTooLarge));
    assert_eq!(gate_hex("ffffffff0f"), Err(Fault::CountTooLarge));
    assert_eq!(gate_hex("0080c2d72f"), Err(Fault::CountTooLarge));
    assert_eq!(gate_hex("000101ffffffff0f0001"), Err(Fault::CountTooLarge));
    assert_eq!(gate(content(8, &[2, 127])), Err(Fault::UnknownAny));
    assert_eq!(gate(content(8, &[2])), Err(Fault::CountTooLarge));
    assert_eq!(gate(content(2, &[0xff, 0xff, 0xff, 0x7f, 1, b'1'])), Err(Fault::CountTooLarge));
    assert_eq!(gate(content(8, &[1, 117, 0xff, 0xff, 0x7f, 127])), Err(Fault::CountTooLarge));
    assert_eq!(gate(content(8, &[1, 118, 0xff, 0xff, 0x7f, 127])), Err(Fault::CountTooLarge));
}

#[test]
fn each_client_has_one_section() {
    let sections = |clients: &[u8]| {
        let sections = clients.iter().flat_map(|&client| [1, client, 0, 0, 1]);
        gate([clients.len() as u8].into_iter().chain(sections).chain([0]).collect())
    };
    for distinct in [&[9, 5, 3][..], &[3, 5, 9], &[5, 9, 3], &[1], &[2, 1, 4, 3]] {
        assert_eq!(sections(distinct), Ok(()), "{distinct:?}");
    }
    for twice in [&[5, 5][..], &[9, 5, 3, 5], &[3, 5, 3], &[9, 3, 9], &[1, 2, 3, 1], &[3, 2, 1, 1]]
    {
        assert_eq!(sections(twice), Err(Fault::DuplicateClient), "{twice:?}");
    }
    // Sections without structs count as well.
    assert_eq!(gate_hex("02000100000100"), Err(Fault::DuplicateClient));
}

#[test]
fn hostile_order_of_sections_is_not_quadratic() {
    let count = 300_000u64;
    let mut update = varuint(count);
    for client in 0..count {
        update.extend([1]);
        update.extend(varuint(client));
        update.extend([0, 0, 1]);
    }
    update.push(0);
    assert_eq!(gate(update), Ok(()));
}

#[test]
fn ids_are_numbers_of_javascript() {
    let last = varuint((1 << 53) - 1);
    let beyond = varuint(1 << 53);
    let section = |client: &[u8]| gate([&[1, 1], client, &[0, 0, 1, 0]].concat());
    let origin = |client: &[u8]| gate(with_struct(&[&[0x81], client, &[0, 1]]));
    let right = |client: &[u8]| gate(with_struct(&[&[0x41], client, &[0, 1]]));
    let parent = |client: &[u8]| gate(with_struct(&[&[0x01, 0], client, &[0, 1]]));
    let delete = |client: &[u8]| gate([&[0, 1], client, &[1, 0, 1]].concat());
    for place in [&section as &dyn Fn(&[u8]) -> _, &origin, &right, &parent, &delete] {
        assert_eq!(place(&last), Ok(()));
        assert_eq!(place(&beyond), Err(Fault::NumberTooLarge));
    }
}

#[test]
fn clocks_end_below_two_to_the_31() {
    let gc = |clock, len| gate(at_clock(clock, &[&[0], &varuint(len)]));
    assert_eq!(gc(0, END - 1), Ok(()));
    assert_eq!(gc(0, END), Err(Fault::ClockTooLarge));
    assert_eq!(gc(END - 2, 1), Ok(()));
    assert_eq!(gc(END - 1, 1), Err(Fault::ClockTooLarge));
    assert_eq!(gc(END, 1), Err(Fault::ClockTooLarge));
    assert_eq!(gc(1, u64::from(u32::MAX)), Err(Fault::ClockTooLarge));
    assert_eq!(gc(1, (1 << 53) - 1), Err(Fault::ClockTooLarge));
    let string = |clock| gate(at_clock(clock, &[&[4, 1, 1, b't', 4, 0xf0, 0x9f, 0x98, 0x80]]));
    assert_eq!(string(END - 3), Ok(()));
    assert_eq!(string(END - 2), Err(Fault::ClockTooLarge));
    // The clocks of a section add up.
    let two =
        |len| gate([&[1, 2, 1, 0, 0], &varuint(END - 2)[..], &[0], &varuint(len), &[0]].concat());
    assert_eq!(two(1), Ok(()));
    assert_eq!(two(2), Err(Fault::ClockTooLarge));
    let origin = |clock| gate(with_struct(&[&[0x81, 2], &varuint(clock), &[1]]));
    assert_eq!(origin(END - 1), Ok(()));
    assert_eq!(origin(END), Err(Fault::ClockTooLarge));
    let delete = |clock, len| gate([&[0, 1, 1, 1], &varuint(clock)[..], &varuint(len)].concat());
    assert_eq!(delete(0, END - 1), Ok(()));
    assert_eq!(delete(0, END), Err(Fault::ClockTooLarge));
    assert_eq!(delete(END - 2, 1), Ok(()));
    assert_eq!(delete(END - 1, 1), Err(Fault::ClockTooLarge));
    assert_eq!(delete(1, (1 << 53) - 1), Err(Fault::ClockTooLarge));
}

#[test]
fn structs_refer_to_what_is_before_them() {
    for info in [0x81, 0x41] {
        let refers = |client, clock| gate(at_clock(5, &[&[info, client, clock, 1]]));
        assert_eq!(refers(1, 4), Ok(()));
        assert_eq!(refers(1, 5), Err(Fault::OriginNotBefore));
        assert_eq!(refers(1, 6), Err(Fault::OriginNotBefore));
        assert_eq!(refers(2, 9), Ok(()));
    }
    let parent = |clock| gate(at_clock(5, &[&[0x01, 0, 1, clock, 1]]));
    assert_eq!(parent(4), Ok(()));
    assert_eq!(parent(5), Err(Fault::OriginNotBefore));
}

#[test]
fn lengths_are_at_least_one() {
    for (one, zero) in [
        (with_struct(&[&[0, 1]]), with_struct(&[&[0, 0]])),
        (with_struct(&[&[10, 1]]), with_struct(&[&[10, 0]])),
        (content(1, &[1]), content(1, &[0])),
        (content(2, &[1, 1, b'1']), content(2, &[0])),
        (content(8, &[1, 127]), content(8, &[0])),
        (bytes("000101010001"), bytes("000101010000")),
    ] {
        assert_eq!(gate(one), Ok(()));
        assert_eq!(gate(zero.clone()), Err(Fault::ZeroLength), "{}", hex(&zero));
    }
    // Older yrs writes empty strings when it cuts a pair.
    assert_eq!(gate(content(4, &[0])), Ok(()));
    assert_eq!(gate(content(4, &[1, b'a'])), Ok(()));
    assert_eq!(gate(at_clock(1, &[&bytes("8401000000")])), Err(Fault::TrailingBytes));
    assert_eq!(gate(at_clock(1, &[&bytes("84010000")])), Ok(()));
}

#[test]
fn kinds_are_those_of_yjs() {
    let contents: [(u8, &[u8]); 9] = [
        (1, &[1]),
        (2, &[1, 1, b'1']),
        (3, &[2, 0xff, 0]),
        (4, &[1, b'a']),
        (5, &[1, b'1']),
        (6, &[1, b'b', 1, b'1']),
        (7, &[0]),
        (8, &[1, 127]),
        (9, &[1, b'g', 118, 0]),
    ];
    for (kind, bytes) in contents {
        assert_eq!(gate(content(kind, bytes)), Ok(()), "kind {kind}");
        for flags in [0x80, 0x40, 0xc0, 0xa0, 0x60, 0xe0] {
            let ids = if flags & 0xc0 == 0xc0 { &[2, 0, 2, 1][..] } else { &[2, 0] };
            assert_eq!(gate(with_struct(&[&[kind | flags], ids, bytes])), Ok(()), "{kind} {flags}");
        }
        assert_eq!(gate(with_struct(&[&[kind | 0x20, 1, 1, b'm', 1, b'k'], bytes])), Ok(()));
    }
    for kind in 11..32 {
        assert_eq!(gate(content(kind, &[1, 1, 1, 1])), Err(Fault::UnknownContent));
    }
    // GC and Skip have no place, hence no flags.
    for info in [0x80, 0x40, 0x20, 0x80 | 10, 0x40 | 10, 0x20 | 10] {
        assert_eq!(gate(with_struct(&[&[info, 1]])), Err(Fault::UnknownContent));
    }
}

#[test]
fn types_are_those_of_yjs() {
    for plain in [0, 1, 2, 4, 6] {
        assert_eq!(gate(content(7, &[plain])), Ok(()));
    }
    for named in [3, 5] {
        assert_eq!(gate(content(7, &[named, 1, b'p'])), Ok(()));
        assert_eq!(gate(content(7, &[named, 1, 0xff])), Err(Fault::NotUtf8));
    }
    for unknown in [7, 8, 15] {
        assert_eq!(gate(content(7, &[unknown])), Err(Fault::UnknownType));
    }
}

#[test]
fn text_is_utf8() {
    let bad: [&[u8]; 4] = [&[0xff], &[0xc3], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80]];
    for bad in bad {
        let bad = &text(bad)[..];
        for update in [
            with_struct(&[&[4, 1], bad, &[1, b'a']]),
            with_struct(&[&[0x24, 1, 1, b'm'], bad, &[1, b'a']]),
            content(2, &[&[1], bad].concat()),
            content(4, bad),
            content(5, bad),
            content(6, &[bad, &[1, b'1']].concat()),
            content(6, &[&[1, b'b'], bad].concat()),
            content(8, &[&[1, 119], bad].concat()),
            content(8, &[&[1, 118, 1], bad, &[127]].concat()),
            content(9, &[bad, &[118, 0]].concat()),
        ] {
            assert_eq!(gate(update.clone()), Err(Fault::NotUtf8), "{}", hex(&update));
        }
        // Binary content is not text.
        assert_eq!(gate(content(3, bad)), Ok(()));
        assert_eq!(gate(content(8, &[&[1, 116], bad].concat())), Ok(()));
    }
    assert_eq!(gate_hex("0101ca0100c4010a010b0620746865e56500"), Err(Fault::NotUtf8));
}

#[test]
fn strings_count_utf16_units() {
    for (string, units) in [("a", 1), ("ä", 1), ("\u{ffff}", 1), ("😀", 2), ("a😀ä€", 5)] {
        let update = Update::parse(content(4, &text(string.as_bytes())).into()).unwrap();
        assert_eq!(update.structs().id_count(), units, "{string}");
    }
}

#[test]
fn json_is_json() {
    for (json, ok) in
        [("1", true), ("{\"a\":[1,null]}", true), ("", false), ("{", false), ("m", false)]
    {
        let json = text(json.as_bytes());
        let expected = if ok { Ok(()) } else { Err(Fault::NotJson) };
        assert_eq!(gate(content(2, &[&[1], &json[..]].concat())), expected);
        assert_eq!(gate(content(2, &[&[2, 1, b'1'], &json[..]].concat())), expected);
        assert_eq!(gate(content(5, &json)), expected);
        assert_eq!(gate(content(6, &[&[1, b'b'], &json[..]].concat())), expected);
    }
    let undefined = text(b"undefined");
    assert_eq!(gate(content(2, &[&[1], &undefined[..]].concat())), Ok(()));
    assert_eq!(gate(content(5, &undefined)), Err(Fault::NotJson));
    assert_eq!(gate(content(6, &[&[1, b'b'], &undefined[..]].concat())), Err(Fault::NotJson));
    // A format's key is no JSON.
    assert_eq!(gate(content(6, &[1, b'{', 1, b'1'])), Ok(()));
}

#[test]
fn any_values_are_those_of_lib0() {
    let values: [(u8, &[u8]); 12] = [
        (116, &[1, 0xff]),
        (117, &[2, 127, 126]),
        (118, &[1, 1, b'k', 127]),
        (119, &[1, b'a']),
        (120, &[]),
        (121, &[]),
        (122, &[0; 8]),
        (123, &[0; 8]),
        (124, &[0; 4]),
        (125, &[0x41]),
        (126, &[]),
        (127, &[]),
    ];
    for (tag, rest) in values {
        assert_eq!(gate(content(8, &[&[1, tag], rest].concat())), Ok(()), "tag {tag}");
        assert_eq!(gate(content(8, &[&[1, 117, 2, tag], rest, &[127]].concat())), Ok(()));
        assert_eq!(gate(content(8, &[&[1, 118, 2, 0, tag], rest, &[0, 127]].concat())), Ok(()));
        let options = gate(content(9, &[&[1, b'g', tag], rest].concat()));
        assert_eq!(options, if tag == 118 { Ok(()) } else { Err(Fault::NotAMap) });
    }
    for tag in [0, 115, 128, 255] {
        assert_eq!(gate(content(8, &[1, tag, 0])), Err(Fault::UnknownAny));
    }
    let integer = |last| gate(content(8, &[1, 125, 0xbf, 255, 255, 255, 255, 255, 255, last]));
    assert_eq!(integer(0x1f), Ok(()));
    assert_eq!(integer(0x20), Err(Fault::NumberTooLarge));
}

#[test]
fn nesting_is_bounded() {
    let arrays = |depth: usize| [&[117, 1].repeat(depth)[..], &[127]].concat();
    let maps = |depth: usize| [&[118, 1, 0].repeat(depth)[..], &[127]].concat();
    let empty = |depth: usize| [&[117, 1].repeat(depth - 1)[..], &[117, 0]].concat();
    let json =
        |depth: usize| text((format!("{}{}", "[".repeat(depth), "]".repeat(depth))).as_bytes());
    for (depth, expected) in [
        (1, Ok(())),
        (63, Ok(())),
        (64, Ok(())),
        (65, Err(Fault::TooDeep)),
        (6_150, Err(Fault::TooDeep)),
    ] {
        for value in [arrays(depth), maps(depth), empty(depth)] {
            assert_eq!(gate(content(8, &[&[1], &value[..]].concat())), expected, "{depth}");
        }
        assert_eq!(gate(content(9, &[&[1, b'g'], &maps(depth)[..]].concat())), expected);
        assert_eq!(gate(content(2, &[&[1], &json(depth)[..]].concat())), expected);
        assert_eq!(gate(content(5, &json(depth))), expected);
        assert_eq!(gate(content(6, &[&[0], &json(depth)[..]].concat())), expected);
    }
    // Wide is not deep.
    let wide = [&[1, 117, 100][..], &arrays(63).repeat(100)].concat();
    assert_eq!(gate(content(8, &wide)), Ok(()));
}

#[test]
fn deletions_come_in_any_order() {
    assert_eq!(gate_hex("00010103050100030102"), Ok(()));
    assert_eq!(gate_hex("00020101000101010001"), Ok(()));
    let set = common::update("00010103050100030102").deletes();
    assert_eq!(set.iter().collect::<Vec<_>>(), [(1, 0..3), (1, 5..6)]);
}

#[test]
fn structs_and_deletions_of_one_update_are_bounded() {
    let structs = |count: usize| {
        [&[1], &varuint(count as u64)[..], &[1, 0], &[0, 1].repeat(count), &[0]].concat()
    };
    let deletes =
        |count: usize| [&[0, 1, 1], &varuint(count as u64)[..], &[0, 1].repeat(count)].concat();
    assert_eq!(gate(structs(limits::STRUCTS_PER_UPDATE_MAX)), Ok(()));
    assert_eq!(gate(structs(limits::STRUCTS_PER_UPDATE_MAX + 1)), Err(Fault::CountTooLarge));
    assert_eq!(gate(deletes(limits::DELETES_PER_UPDATE_MAX)), Ok(()));
    assert_eq!(gate(deletes(limits::DELETES_PER_UPDATE_MAX + 1)), Err(Fault::CountTooLarge));
}

#[test]
fn what_kills_yrs() {
    for (hex, expected) in [
        // Every later encode panics.
        ("01016d010203002701016d016e01280003", Err(Fault::NotJson)),
        // Loops for ever.
        (
            "020101000101000b0301018401000b74c3a96c6c6f686d6e7861c10105010034210100003400",
            Err(Fault::DuplicateClient),
        ),
        ("0202010007010161000102010007010161000900010003", Err(Fault::DuplicateClient)),
        // Refused by yrs, though Yjs wrote it.
        ("010101000201017401013100", Ok(())),
    ] {
        assert_eq!(gate_hex(hex), expected, "{hex}");
    }
}
