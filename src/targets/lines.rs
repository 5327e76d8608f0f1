//! Lines out of the frames of an answer without end, each within a cap.

use memchr::memchr;

use super::body::Body;
use super::limits::{Limits, LinePermit};
use super::objects::BadPage;

/// The most bytes of one line. An object has 1.5 MiB in etcd, and some more as JSON.
const LONGEST: usize = 4 * 1024 * 1024;

/// What has come of a line whose end hasn't. Takes no memory between lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Body,
    share: LinePermit,
}

impl Lines {
    /// Takes a frame, and hands on each line that it completes.
    ///
    /// # Errors
    /// When a line is longer than ksit reads, or `each` says so.
    pub(super) fn take(
        &mut self,
        frame: &[u8],
        limits: &Limits,
        mut each: impl FnMut(Vec<u8>) -> Result<(), BadPage>,
    ) -> Result<(), BadPage> {
        let mut rest = frame;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.begun.len() == 0 {
                hand_on(line.to_vec(), &mut each)?;
            } else {
                self.keep(line, limits)?;
                // Given back with the line: an idle stream keeps no buffer.
                let Lines { begun, share: _ } = std::mem::take(self);
                hand_on(begun.whole(), &mut each)?;
            }
        }
        self.keep(rest, limits)
    }

    fn keep(&mut self, part: &[u8], limits: &Limits) -> Result<(), BadPage> {
        let length = self.begun.len() + part.len();
        if length > LONGEST.min(limits.settings().body_bytes) {
            return Err(BadPage::TooLarge);
        }
        if !self.share.try_grow(limits, Body::room(length)) {
            return Err(BadPage::TooLarge);
        }
        self.begun.add(part);
        Ok(())
    }
}

fn hand_on(line: Vec<u8>, each: &mut impl FnMut(Vec<u8>) -> Result<(), BadPage>) -> Result<(), BadPage> {
    if line.trim_ascii().is_empty() { Ok(()) } else { each(line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::limits::Settings;

    fn read(frames: &[&[u8]], limits: &Limits) -> Result<Vec<String>, BadPage> {
        let (mut lines, mut read) = (Lines::default(), Vec::new());
        for frame in frames {
            lines.take(frame, limits, |line| {
                read.push(String::from_utf8(line).unwrap());
                Ok(())
            })?;
        }
        Ok(read)
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\ntwo\r\n\n\nthree\nnot yet";
        let limits = Limits::default();
        for size in 1..=text.len() {
            let frames: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(read(&frames, &limits).unwrap(), ["one", "two\r", "three"], "cut every {size} bytes");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let limits = Limits::new(Settings { body_bytes: 1000, ..Settings::default() });
        let frame = [b'x'; 300];
        assert_eq!(read(&[&frame, b"\n", &frame, &frame, &frame], &limits).map(|read| read.len()), Ok(1));
        assert_eq!(read(&[&frame, &frame, &frame, &frame], &limits), Err(BadPage::TooLarge));
    }

    #[test]
    fn lines_that_have_begun_take_no_more_than_there_is_together() {
        let (limits, frame) = (Limits::default(), vec![b'x'; 64 * 1024]);
        let mut streams: Vec<Lines> = (0..1000).map(|_| Lines::default()).collect();
        let mut given_up = 0;
        for _ in 0..4 {
            for lines in &mut streams {
                if lines.take(&frame, &limits, |_| Ok(())).is_err() {
                    *lines = Lines::default();
                    given_up += 1;
                }
            }
        }
        let kept: usize = streams.iter().map(|lines| lines.begun.capacity()).sum();
        assert!(given_up > 0 && kept <= 6 * 1024 * 1024, "{kept} bytes, {given_up} given up");
    }
}
