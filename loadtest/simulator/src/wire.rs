//! The TCP connection of a simulated cluster: counted, and delayed, silenced or reset on request.
//!
//! The delay behaves like a network's: writes are accepted at once and sent later, in order, including the handshake.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::cluster::Cluster;
use super::fleet::Fleet;

/// Controls a connection that is wrapped in TLS and HTTP.
#[derive(Debug, Default)]
pub(super) struct Link(AtomicU8);

const SILENT: u8 = 1;
const RESET: u8 = 2;

impl Link {
    /// Sends nothing and discards everything received, until the client closes the connection.
    pub(super) fn silence(&self) {
        self.0.store(SILENT, Relaxed);
    }

    /// Fails the connection on its next use, and resets it.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Relaxed);
    }
}

pub(super) struct Wire {
    stream: TcpStream,
    link: Arc<Link>,
    fleet: Arc<Fleet>,
    number: u32,
    /// Bytes written but not yet sent.
    delayed: VecDeque<(Instant, Vec<u8>)>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, link: Arc<Link>, fleet: Arc<Fleet>, number: u32) -> Self {
        if let Some(cluster) = fleet.cluster(number) {
            cluster.counters.accepted.fetch_add(1, Relaxed);
            cluster.counters.open.fetch_add(1, Relaxed);
        }
        Self { stream, link, fleet, number, delayed: VecDeque::new(), timer: None }
    }

    /// Discards everything received and sends nothing, until the client closes the connection.
    pub(super) async fn swallow(mut self) {
        self.link.silence();
        let _ = self.read(&mut [0; 64]).await;
    }

    fn cluster(&self) -> Option<&Cluster> {
        self.fleet.cluster(self.number)
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.cluster().map_or(0, |cluster| cluster.delay.load(Relaxed)).into())
    }

    fn reset(&self) -> io::Error {
        // Where this fails, the connection is closed instead of reset.
        let _ = self.stream.set_zero_linger();
        io::ErrorKind::ConnectionReset.into()
    }

    /// Sends what is due and registers a wake-up for the rest.
    fn drive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some((due, bytes)) = self.delayed.front_mut() {
            let due = *due;
            if due > Instant::now() {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Ok(());
                }
                continue;
            }
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Pending => return Ok(()),
                Poll::Ready(sent) => {
                    bytes.drain(..sent?);
                    if bytes.is_empty() {
                        self.delayed.pop_front();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster() {
            cluster.counters.open.fetch_sub(1, Relaxed);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.link.0.load(Relaxed) {
            RESET => Poll::Ready(Err(self.reset())),
            SILENT => loop {
                let mut bytes = [0; 1024];
                let mut unwanted = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut unwanted))?;
                if unwanted.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            },
            _ => {
                self.drive(cx)?;
                Pin::new(&mut self.stream).poll_read(cx, buffer)
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = || slices.iter().map(|slice| slice.len()).sum();
        match self.link.0.load(Relaxed) {
            RESET => Poll::Ready(Err(self.reset())),
            SILENT => Poll::Ready(Ok(length())),
            _ => {
                let delay = self.delay();
                if delay.is_zero() && self.delayed.is_empty() {
                    return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
                }
                let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                self.delayed.push_back((Instant::now() + delay, bytes));
                self.drive(cx)?;
                Poll::Ready(Ok(length()))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drive(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drive(cx)?;
        match self.delayed.is_empty() {
            true => Pin::new(&mut self.stream).poll_shutdown(cx),
            false => Poll::Pending,
        }
    }
}
