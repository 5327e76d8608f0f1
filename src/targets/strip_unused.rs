//! Empties what no check reads of an object and what is most of it, so that it need not be parsed: who set which field,
//! and the Pods that a workload makes.
//!
//! The end of such a part is looked for by blocks of 64 bytes with a bit for each, which needs no branch for each string:
//! Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019. What is skipped is not checked to be JSON.

use memchr::memmem;
use wide::u8x64;

/// Keys and the brackets that follow them, as API servers write them. Within a string a quote has a backslash before it,
/// so these are keys wherever they stand.
const UNREAD: [&[u8]; 2] = [br#""managedFields":["#, br#""template":{"#];

pub(super) fn skim(json: &mut Vec<u8>) {
    for key in UNREAD {
        empty(json, key);
    }
}

/// Takes out what stands between the bracket of each such key and the one that closes it.
fn empty(json: &mut Vec<u8>, key: &[u8]) {
    let (mut kept, mut read) = (0, 0);
    while let Some(found) = memmem::find(&json[read..], key) {
        let opened = read + found + key.len();
        let Some(length) = until_closed(&json[opened..]) else { break };
        json.copy_within(read..opened, kept);
        kept += opened - read;
        read = opened + length;
    }
    json.copy_within(read.., kept);
    json.truncate(kept + json.len() - read);
}

/// The place of the bracket that closes the one before `json`.
fn until_closed(json: &[u8]) -> Option<usize> {
    let (blocks, rest) = json.as_chunks::<64>();
    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    let (mut strings, mut depth) = (Strings::default(), 1);
    for (number, block) in blocks.iter().chain([&last]).enumerate() {
        let block = u8x64::new(*block);
        let outside = !strings.within(block);
        // It makes braces of square brackets, and of nothing else.
        let braces = block | u8x64::splat(0x20);
        let (opening, closing) = (places(braces, b'{') & outside, places(braces, b'}') & outside);
        if closing.count_ones() >= depth
            && let Some(place) = closed_in(opening, closing, depth)
        {
            return Some(number * 64 + place as usize);
        }
        depth = depth + opening.count_ones() - closing.count_ones();
    }
    None
}

/// Where in a block the last of `depth` brackets is closed.
fn closed_in(opening: u64, closing: u64, mut depth: u32) -> Option<u32> {
    let mut rest = opening | closing;
    while rest != 0 {
        let place = rest.trailing_zeros();
        if opening >> place & 1 == 1 {
            depth += 1;
        } else {
            depth -= 1;
        }
        if depth == 0 {
            return Some(place);
        }
        rest &= rest - 1;
    }
    None
}

/// A bit for each byte of the block that is `byte`, the first byte's the lowest.
fn places(block: u8x64, byte: u8) -> u64 {
    block.simd_eq(u8x64::splat(byte)).to_bitmask()
}

/// What the blocks so far leave to the next.
#[derive(Default)]
struct Strings {
    /// All bits: a string that has not ended.
    open: u64,
    /// One: the next byte is escaped.
    escape: u64,
}

impl Strings {
    /// The bytes of strings, their opening quotes with them and their closing ones not.
    fn within(&mut self, block: u8x64) -> u64 {
        let quotes = places(block, b'"') & !self.escaped(places(block, b'\\'));
        // After these, each bit says whether the number of quotes up to it is odd.
        let mut within = quotes;
        for bits in [1, 2, 4, 8, 16, 32] {
            within ^= within << bits;
        }
        within ^= self.open;
        self.open = if within >> 63 == 1 { u64::MAX } else { 0 };
        within
    }

    /// The bytes after an odd number of backslashes. To add a row's first bit to it carries one behind its end, so both
    /// are known without a loop, and with them whether the row is odd.
    fn escaped(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !self.escape;
        let after = backslashes << 1 | self.escape;
        let odd_starts = backslashes & !EVEN & !after;
        let (even_ends, carries) = odd_starts.overflowing_add(backslashes);
        self.escape = u64::from(carries);
        (EVEN ^ even_ends << 1) & after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skimmed(json: &str) -> String {
        let mut json = json.as_bytes().to_vec();
        skim(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn only_what_no_check_reads_is_taken_out() {
        let item = r#"{"metadata":{"name":"a","managedFields":[{"k:{\"name\":\"]\"}":{}},[]],"labels":{"template":"{"}},
            "spec":{"template":{"a":"}\\","b":[{"template":{}}]},"replicas":2}}"#;
        let kept = r#"{"metadata":{"name":"a","managedFields":[],"labels":{"template":"{"}},
            "spec":{"template":{},"replicas":2}}"#;
        assert_eq!(skimmed(item), kept);
        assert_eq!(skimmed(&format!("[{item},{item}]")), format!("[{kept},{kept}]"));
        assert_eq!(skimmed(kept), kept);
    }

    #[test]
    fn what_is_in_a_string_is_no_key() {
        for json in [r#"{"a":"\"template\":{","b":"}"}"#, r#"{"a":"\\\"managedFields\":[","b":"]"}"#] {
            assert_eq!(skimmed(json), json);
        }
    }

    #[test]
    fn what_has_no_end_stays() {
        for json in [r#"{"template":{"#, r#"{"template":{"a":"}"#, r#"{"managedFields":["\"]"#, ""] {
            assert_eq!(skimmed(json), json);
        }
    }

    /// Byte by byte.
    fn until_closed_slowly(json: &[u8]) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (1, false, false);
        for (place, byte) in json.iter().enumerate() {
            match byte {
                b'"' if !escaped => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            escaped = *byte == b'\\' && !escaped;
            if depth == 0 {
                return Some(place);
            }
        }
        None
    }

    proptest! {
        #[test]
        fn brackets_are_found_as_byte_by_byte(json in r#"([\["{]|[\\]|[\]}"]|[a: \x02\x1b]{0,9}){0,120}"#) {
            prop_assert_eq!(until_closed(json.as_bytes()), until_closed_slowly(json.as_bytes()));
        }

        #[test]
        fn rows_of_backslashes_are_read_as_byte_by_byte(before in 0..130_usize, row in 0..70_usize) {
            let json = format!("\"{}{}\"]}}\"]]", "a".repeat(before), "\\".repeat(row));
            prop_assert_eq!(until_closed(json.as_bytes()), until_closed_slowly(json.as_bytes()));
        }
    }
}
