//! Rendered pages, shared by all who look at the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::params::Access;

/// Pages that are kept.
const MAX_PAGES: usize = 128;

/// Ages in a page are those of its rendering.
const MAX_AGE: Duration = Duration::from_secs(10);

/// Kept together they must not outgrow the fleet itself.
const MAX_BYTES: usize = 32 << 20;

/// A response body, as it is and compressed.
#[derive(Clone)]
pub(super) struct Body {
    pub(super) plain: Bytes,
    pub(super) gzip: Bytes,
}

impl Body {
    pub(super) fn new(text: String) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let gzip = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
        Self { plain: Bytes::from(text), gzip: Bytes::from(gzip) }
    }

    fn size(&self) -> usize {
        self.plain.len() + self.gzip.len()
    }
}

/// Path and query, with whether the frame is left out.
pub(super) type Key = (String, bool, Access);

/// Bodies by what is asked for and who asks.
#[derive(Default)]
pub(super) struct Cache(Mutex<BTreeMap<Key, Entry>>);

struct Entry {
    version: u64,
    at: Instant,
    body: Arc<Body>,
}

impl Cache {
    /// The body that was rendered from this version of the fleet, or else what `render` returns.
    ///
    /// # Errors
    /// Fails if `render` does.
    pub(super) fn get_or<E>(
        &self,
        key: Key,
        version: u64,
        render: impl FnOnce() -> Result<String, E>,
    ) -> Result<Arc<Body>, E> {
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && entry.version == version
            && entry.at.elapsed() < MAX_AGE
        {
            return Ok(entry.body.clone());
        }
        let body = Arc::new(Body::new(render()?));
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size: usize = pages.values().map(|entry| entry.body.size()).sum();
        if pages.len() >= MAX_PAGES || size + body.size() > MAX_BYTES {
            pages.clear();
        }
        pages.insert(key, Entry { version, at: Instant::now(), body: body.clone() });
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_rendered_once_for_each_version_and_user() {
        let cache = Cache::default();
        let mut rendered = 0;
        let mut get = |path: &str, access: Access, version: u64| {
            let render = || {
                rendered += 1;
                Ok::<_, ()>("<p>".to_owned())
            };
            cache.get_or((path.to_owned(), false, access), version, render).unwrap();
            rendered
        };
        assert_eq!([get("/", Access::All, 1), get("/", Access::All, 1)], [1, 1]);
        assert_eq!(get("/", Access::Only(["a".to_owned()].into()), 1), 2);
        assert_eq!(get("/", Access::All, 2), 3);
    }
}
