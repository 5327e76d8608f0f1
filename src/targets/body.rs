//! Collects the bytes of a response, or of one line of it, as they arrive.

/// Allocation step of the response-memory budget.
pub(super) const CHUNK: usize = 64 * 1024;

/// Bytes in chunks, joined only once complete: a response without end takes no more memory than it has sent.
#[derive(Debug, Default)]
pub(super) struct Body {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Body {
    pub(super) fn len(&self) -> usize {
        self.full.len() * CHUNK + self.last.len()
    }

    /// Bytes of memory for `length` bytes of data.
    pub(super) fn room(length: usize) -> usize {
        if length <= CHUNK { length.next_power_of_two() } else { length.next_multiple_of(CHUNK) }
    }

    pub(super) fn add(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.last.len() == CHUNK {
                self.full.push(std::mem::replace(&mut self.last, Vec::with_capacity(CHUNK)));
            }
            let fitting = data.len().min(CHUNK - self.last.len());
            let length = self.last.len() + fitting;
            if length > self.last.capacity() {
                self.last.reserve_exact(Self::room(length) - self.last.len());
            }
            self.last.extend_from_slice(&data[..fitting]);
            data = &data[fitting..];
        }
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        if self.full.is_empty() {
            return self.last;
        }
        self.full.push(self.last);
        self.full.concat()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.full.iter().chain([&self.last]).map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_keeps_all_bytes_in_order() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let sent: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            for piece in [1000, 16 * 1024, 2 * CHUNK + 5] {
                let mut body = Body::default();
                sent.chunks(piece).for_each(|piece| body.add(piece));
                assert_eq!(body.len(), length);
                let taken = body.capacity();
                assert!(taken <= Body::room(length), "{taken} for {length} bytes by {piece}");
                assert!(body.into_bytes() == sent, "{length} bytes by {piece}");
            }
        }
    }
}
