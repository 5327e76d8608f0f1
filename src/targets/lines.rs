//! Splits the frames of a streamed response into lines of bounded length.

use memchr::memchr;

use super::body::Body;
use super::limits::{Limits, LinePermit};
use super::objects::BadPage;

/// Upper bound of one line, in bytes. An object has up to 1.5 MiB in etcd, and some more as JSON.
const MAX_LINE: usize = 4 * 1024 * 1024;

/// The incomplete last line. Takes no memory between lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Body,
    permit: LinePermit,
}

impl Lines {
    /// Consumes a frame, and calls `each` with every line that it completes.
    ///
    /// # Errors
    /// If a line is too long or there is no memory for it, or if `each` fails.
    pub(super) fn feed(
        &mut self,
        frame: &[u8],
        limits: &Limits,
        mut each: impl FnMut(Vec<u8>) -> Result<(), BadPage>,
    ) -> Result<(), BadPage> {
        let mut rest = frame;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.partial.len() == 0 {
                emit(line.to_vec(), &mut each)?;
            } else {
                self.keep(line, limits)?;
                // Frees the buffer and its permit: an idle stream keeps none.
                let Lines { partial, permit: _ } = std::mem::take(self);
                emit(partial.into_bytes(), &mut each)?;
            }
        }
        self.keep(rest, limits)
    }

    fn keep(&mut self, part: &[u8], limits: &Limits) -> Result<(), BadPage> {
        let length = self.partial.len() + part.len();
        if length > MAX_LINE.min(limits.settings().body_bytes) {
            return Err(BadPage::TooLarge);
        }
        if !self.permit.try_grow(limits, Body::room(length)) {
            return Err(BadPage::TooLarge);
        }
        self.partial.add(part);
        Ok(())
    }
}

fn emit(line: Vec<u8>, each: &mut impl FnMut(Vec<u8>) -> Result<(), BadPage>) -> Result<(), BadPage> {
    if line.trim_ascii().is_empty() { Ok(()) } else { each(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::limits::Settings;

    fn read(frames: &[&[u8]], limits: &Limits) -> Result<Vec<String>, BadPage> {
        let (mut lines, mut read) = (Lines::default(), Vec::new());
        for frame in frames {
            lines.feed(frame, limits, |line| {
                read.push(String::from_utf8(line).unwrap());
                Ok(())
            })?;
        }
        Ok(read)
    }

    #[test]
    fn lines_are_joined_across_frames() {
        let text = b"one\ntwo\r\n\n\nthree\nnot yet";
        let limits = Limits::default();
        for size in 1..=text.len() {
            let frames: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(read(&frames, &limits).unwrap(), ["one", "two\r", "three"], "cut every {size} bytes");
        }
    }

    #[test]
    fn line_without_end_is_rejected() {
        let limits = Limits::new(Settings { body_bytes: 1000, ..Settings::default() });
        let frame = [b'x'; 300];
        assert_eq!(read(&[&frame, b"\n", &frame, &frame, &frame], &limits).map(|read| read.len()), Ok(1));
        assert_eq!(read(&[&frame, &frame, &frame, &frame], &limits), Err(BadPage::TooLarge));
    }

    #[test]
    fn incomplete_lines_stay_within_the_shared_budget() {
        let (limits, frame) = (Limits::default(), vec![b'x'; 64 * 1024]);
        let mut streams: Vec<Lines> = (0..1000).map(|_| Lines::default()).collect();
        let mut rejected = 0;
        for _ in 0..4 {
            for lines in &mut streams {
                if lines.feed(&frame, &limits, |_| Ok(())).is_err() {
                    *lines = Lines::default();
                    rejected += 1;
                }
            }
        }
        let kept: usize = streams.iter().map(|lines| lines.partial.capacity()).sum();
        assert!(rejected > 0 && kept <= 6 * 1024 * 1024, "{kept} bytes, {rejected} rejected");
    }
}
