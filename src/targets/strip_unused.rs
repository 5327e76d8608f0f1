//! Empties the large parts of an object that no check reads, so that they need not be parsed: managed fields, and Pod
//! templates but for the image of the first container.
//!
//! Finds the end of such a part in blocks of 64 bytes with a bit for each byte, without a branch per string: Langdale
//! and Lemire, "Parsing Gigabytes of JSON per Second", 2019. Stripped parts are not validated as JSON.

use std::ops::Range;

use memchr::memmem;
use wide::u8x64;

/// Keys with their opening brackets, as API servers write them. Quotes within strings are escaped, so these can only
/// match keys.
const MANAGED_FIELDS: &[u8] = br#""managedFields":["#;
const TEMPLATE: &[u8] = br#""template":{"#;
const CONTAINERS: &[u8] = br#""containers":["#;
const IMAGE: &[u8] = br#""image":""#;

/// Upper bound of an image's name, in bytes.
const MAX_IMAGE: usize = 512;

pub(super) fn strip_managed_fields(json: &mut Vec<u8>) {
    strip(json, MANAGED_FIELDS, |_| 0..0);
}

pub(super) fn strip_unused(json: &mut Vec<u8>) {
    strip_managed_fields(json);
    strip(json, TEMPLATE, |template| image(template).unwrap_or_default());
}

/// The image of the first container of a Pod template, with its key and quotes.
fn image(template: &[u8]) -> Option<Range<usize>> {
    let containers = memmem::find(template, CONTAINERS)?;
    let start = containers + memmem::find(&template[containers..], IMAGE)?;
    let value = start + IMAGE.len();
    let end = value + template[value..].iter().take(MAX_IMAGE).position(|byte| *byte == b'"')?;
    (!template[value..end].contains(&b'\\')).then_some(start..end + 1)
}

/// Removes everything between the opening bracket of each such key and its closing one, but for what `keep` chooses.
fn strip(json: &mut Vec<u8>, key: &[u8], keep: fn(&[u8]) -> Range<usize>) {
    let (mut kept, mut read) = (0, 0);
    while let Some(found) = memmem::find(&json[read..], key) {
        let opened = read + found + key.len();
        let Some(length) = until_closed(&json[opened..]) else { break };
        let chosen = keep(&json[opened..opened + length]);
        json.copy_within(read..opened, kept);
        kept += opened - read;
        json.copy_within(opened + chosen.start..opened + chosen.end, kept);
        kept += chosen.len();
        read = opened + length;
    }
    json.copy_within(read.., kept);
    json.truncate(kept + json.len() - read);
}

/// Index of the bracket that closes the one before `json`.
fn until_closed(json: &[u8]) -> Option<usize> {
    let (blocks, rest) = json.as_chunks::<64>();
    let mut last = [0; 64];
    last[..rest.len()].copy_from_slice(rest);
    let (mut strings, mut depth) = (Strings::default(), 1);
    for (number, block) in blocks.iter().chain([&last]).enumerate() {
        let block = u8x64::new(*block);
        let outside = !strings.within(block);
        // This bit maps square brackets, and nothing else, to braces.
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

/// Index within a block at which the last of `depth` brackets is closed.
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

/// A bit for each byte of the block that equals `byte`; the first byte has the lowest bit.
fn places(block: u8x64, byte: u8) -> u64 {
    block.simd_eq(u8x64::splat(byte)).to_bitmask()
}

/// State carried from one block to the next.
#[derive(Default)]
struct Strings {
    /// All bits set: the block begins within a string.
    open: u64,
    /// 1: the next byte is escaped.
    escape: u64,
}

impl Strings {
    /// Bytes within strings, including opening quotes and excluding closing ones.
    fn within(&mut self, block: u8x64) -> u64 {
        let quotes = places(block, b'"') & !self.escaped(places(block, b'\\'));
        // Afterwards each bit is the parity of the quotes up to it.
        let mut within = quotes;
        for bits in [1, 2, 4, 8, 16, 32] {
            within ^= within << bits;
        }
        within ^= self.open;
        self.open = if within >> 63 == 1 { u64::MAX } else { 0 };
        within
    }

    /// Bytes after an odd number of backslashes. Adding a run's first bit to the run carries past its end, which gives
    /// both ends, and so the parity of the run, without a loop.
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

    fn stripped(json: &str) -> String {
        let mut json = json.as_bytes().to_vec();
        strip_unused(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn only_unused_parts_are_stripped() {
        let item = r#"{"metadata":{"name":"a","managedFields":[{"k:{\"name\":\"]\"}":{}},[]],"labels":{"template":"{"}},
            "spec":{"template":{"a":"}\\","b":[{"template":{}}]},"replicas":2}}"#;
        let kept = r#"{"metadata":{"name":"a","managedFields":[],"labels":{"template":"{"}},
            "spec":{"template":{},"replicas":2}}"#;
        assert_eq!(stripped(item), kept);
        assert_eq!(stripped(&format!("[{item},{item}]")), format!("[{kept},{kept}]"));
        assert_eq!(stripped(kept), kept);
    }

    #[test]
    fn image_of_the_first_container_is_kept() {
        let template = |inside: &str| stripped(&format!(r#"{{"spec":{{"template":{{{inside}}},"replicas":2}}}}"#));
        let kept = |image: &str| format!(r#"{{"spec":{{"template":{{{image}}},"replicas":2}}}}"#);
        let pod = r#""spec":{"initContainers":[{"name":"i","image":"init:1"}],"containers":[{"name":"a","image":"a:2","env":[]},{"image":"b:3"}]}"#;
        assert_eq!(template(pod), kept(r#""image":"a:2""#));
        assert_eq!(template(r#""spec":{"containers":[{"name":"a"}]}"#), kept(""));
        assert_eq!(template(&pod.replace("a:2", &"x".repeat(MAX_IMAGE))), kept(""), "too long");
        assert_eq!(template(&pod.replace("a:2", r#"a\"2"#)), kept(""), "not a name");
    }

    #[test]
    fn keys_within_strings_are_ignored() {
        for json in [r#"{"a":"\"template\":{","b":"}"}"#, r#"{"a":"\\\"managedFields\":[","b":"]"}"#] {
            assert_eq!(stripped(json), json);
        }
    }

    #[test]
    fn parts_without_end_are_kept() {
        for json in [r#"{"template":{"#, r#"{"template":{"a":"}"#, r#"{"managedFields":["\"]"#, ""] {
            assert_eq!(stripped(json), json);
        }
    }

    /// Bytewise reference implementation.
    fn until_closed_bytewise(json: &[u8]) -> Option<usize> {
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
        fn closing_brackets_match_the_bytewise_search(json in r#"([\["{]|[\\]|[\]}"]|[a: \x02\x1b]{0,9}){0,120}"#) {
            prop_assert_eq!(until_closed(json.as_bytes()), until_closed_bytewise(json.as_bytes()));
        }

        #[test]
        fn runs_of_backslashes_match_the_bytewise_search(before in 0..130_usize, run in 0..70_usize) {
            let json = format!("\"{}{}\"]}}\"]]", "a".repeat(before), "\\".repeat(run));
            prop_assert_eq!(until_closed(json.as_bytes()), until_closed_bytewise(json.as_bytes()));
        }
    }
}
