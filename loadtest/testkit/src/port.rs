//! Ports for servers that choose theirs before they start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port on 127.0.0.1, kept for one server also while that is stopped.
///
/// The socket is bound and never listens: a server that sets `SO_REUSEADDR` (every Go and Rust listener does) can listen on
/// the port, and the kernel gives the port to nobody who asks for any free one.
pub struct Port {
    number: u16,
    _reservation: TcpSocket,
}

impl Port {
    /// Reserves a free port until the value is dropped.
    ///
    /// # Errors
    /// Fails if no port is free, or no descriptor.
    pub fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { number: socket.local_addr()?.port(), _reservation: socket })
    }

    /// The number of the port.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Without `SO_REUSEADDR`, as connections are made, an address in use can't be bound.
    fn without_reuse(port: u16) -> io::Result<()> {
        TcpSocket::new_v4()?.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    #[test]
    fn reserved_port_serves_its_server_again_and_nobody_else() {
        let port = Port::reserve().unwrap();
        for _ in 0..2 {
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap());
            assert_eq!(without_reuse(port.number()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
        let number = port.number();
        drop(port);
        without_reuse(number).unwrap();
    }
}
