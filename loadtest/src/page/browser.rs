//! A reader of the page. It fetches as a browser does, and renders nothing.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::PageError;

/// A session with the page.
#[derive(Clone)]
pub(super) struct Browser {
    address: String,
    cookie: String,
}

/// A response.
pub(super) struct Fetched {
    /// From the connection's start until the first byte.
    pub first_byte: Duration,
    /// Head and body.
    pub bytes: usize,
}

impl Browser {
    /// Opens the URL that the page printed.
    pub(super) async fn open(url: &str) -> Result<Self, PageError> {
        let (address, path) = url.trim_start_matches("http://").split_once('/').ok_or("no URL")?;
        let new = Self { address: address.to_owned(), cookie: String::new() };
        let head = String::from_utf8(new.request(&format!("/{path}"), "").await?.1)?;
        let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).ok_or("no cookie")?;
        let cookie = line.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { cookie, ..new })
    }

    /// Fetches a view as a browser does.
    pub(super) async fn fetch(&self, path: &str) -> Result<Fetched, PageError> {
        let (first_byte, answer) = self.request(path, "Accept-Encoding: gzip\r\n").await?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(format!("{path}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)])).into());
        }
        Ok(Fetched { first_byte, bytes: answer.len() })
    }

    /// Fetches a text.
    pub(super) async fn text(&self, path: &str) -> Result<String, PageError> {
        Ok(String::from_utf8(self.request(path, "").await?.1)?)
    }

    /// Follows the changes: fetches the view after each event. Ends with an error only.
    pub(super) async fn follow(&self, view: &str) -> Result<(), PageError> {
        self.fetch(view).await?;
        let mut stream = self.connect("/events", "Accept: text/event-stream\r\n").await?;
        let mut events = BufReader::new(&mut stream);
        loop {
            let mut line = String::new();
            if events.read_line(&mut line).await? == 0 {
                return Err("the stream of events has ended".into());
            }
            if line.starts_with("event: change") {
                self.request(view, "Accept-Encoding: gzip\r\nX-Part: main\r\n").await?;
            }
        }
    }

    async fn connect(&self, path: &str, headers: &str) -> Result<TcpStream, PageError> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let Self { address, cookie } = self;
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        Ok(stream)
    }

    /// The time until the first byte, and the whole response.
    async fn request(&self, path: &str, headers: &str) -> Result<(Duration, Vec<u8>), PageError> {
        let start = Instant::now();
        let mut stream = self.connect(path, headers).await?;
        let mut answer = vec![stream.read_u8().await?];
        let first_byte = start.elapsed();
        stream.read_to_end(&mut answer).await?;
        Ok((first_byte, answer))
    }
}
