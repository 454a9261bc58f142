//! Stream sockets with addresses, which other programs can connect to: `socket(2)`.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
    sockopt,
};

use crate::clock::Deadline;
use crate::poll::{self, Interest, Readiness};

/// Where a socket can be reached.
///
/// ```
/// # mod phalanx { pub use phalanx_os::net as connection; }
/// use phalanx::connection::Address;
///
/// let of_this_machine = Address::Path("/run/user/1000/service".into());
/// let of_the_network = Address::Inet("[::1]:9000".parse().expect("an address"));
/// let any_port = Address::Inet(([127, 0, 0, 1], 0).into()); // which the kernel chooses
/// assert_ne!(of_the_network, any_port);
/// # let _ = of_this_machine;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Path(PathBuf),
    /// A name outside of the file system, without its leading zero byte.
    Abstract(Vec<u8>),
    /// An address of the network, and a port.
    Inet(SocketAddr),
    /// A local socket that was never bound, as those of clients are.
    Unnamed,
}

impl Address {
    fn of(address: SocketAddrAny) -> io::Result<Self> {
        if address.address_family() != AddressFamily::UNIX {
            return Ok(Self::Inet(SocketAddr::try_from(address)?));
        }
        let local = SocketAddrUnix::try_from(address)?;
        Ok(match (local.path_bytes(), local.abstract_name()) {
            (Some(path), _) => Self::Path(path_of(path)),
            (_, Some(name)) if !name.is_empty() => Self::Abstract(name.to_owned()),
            _ => Self::Unnamed,
        })
    }

    fn local(&self) -> io::Result<Option<SocketAddrUnix>> {
        match self {
            Self::Path(path) => Ok(Some(SocketAddrUnix::new(path.as_path())?)),
            Self::Abstract(name) => Ok(Some(SocketAddrUnix::new_abstract_name(name)?)),
            Self::Unnamed => Ok(Some(SocketAddrUnix::new_unnamed())),
            Self::Inet(_) => Ok(None),
        }
    }

    /// Whether only processes of this machine can have such an address.
    ///
    /// ```
    /// # mod phalanx { pub use phalanx_os::net as connection; }
    /// use phalanx::connection::Address;
    ///
    /// assert!(Address::Abstract(b"service".to_vec()).is_local());
    /// assert!(!Address::Inet(([127, 0, 0, 1], 9000).into()).is_local());
    /// ```
    #[must_use]
    pub const fn is_local(&self) -> bool {
        !matches!(self, Self::Inet(_))
    }

    fn socket(&self) -> io::Result<OwnedFd> {
        let family = match self {
            Self::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
            Self::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
            _ => AddressFamily::UNIX,
        };
        let kind = SocketType::STREAM;
        Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    // The kernel counts a terminating zero.
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes[..end]))
}

/// A socket that others can connect to, which does not block when it is asked for one who did. Its
/// address, if it belongs to the network, can be used again at once after a listener has gone.
///
/// # Errors
/// `AddrInUse` when somebody has the address, `PermissionDenied`, or the kernel's refusal.
pub fn listen(address: &Address, backlog: i32) -> io::Result<OwnedFd> {
    let socket = address.socket()?;
    match (address, address.local()?) {
        (_, Some(local)) => rustix::net::bind(&socket, &local)?,
        (Address::Inet(inet), _) => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, inet)?;
        }
        _ => {}
    }
    rustix::net::listen(&socket, backlog)?;
    never_block(&socket)?;
    Ok(socket)
}

/// Has a socket answer at once when it is asked for what is not there.
///
/// # Errors
/// The kernel's refusal.
pub fn never_block(socket: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(socket, true)?)
}

/// The address that a socket has.
///
/// # Errors
/// The kernel's refusal.
pub fn address_of(socket: impl AsFd) -> io::Result<Address> {
    Address::of(rustix::net::getsockname(socket)?)
}

/// Accepts one who has connected, and tells from where. The new socket blocks.
///
/// # Errors
/// `WouldBlock` when there is nobody; the kernel's refusal.
pub fn accept(listener: impl AsFd) -> io::Result<(OwnedFd, Address)> {
    let (socket, from) = rustix::net::acceptfrom_with(listener, SocketFlags::CLOEXEC)?;
    let from = from.map_or(Ok(Address::Unnamed), Address::of)?;
    if !from.is_local() {
        sockopt::set_tcp_nodelay(&socket, true)?;
    }
    Ok((socket, from))
}

/// A connection that is being made.
#[derive(Debug)]
pub struct Connecting {
    socket: OwnedFd,
    address: Address,
    begun: bool,
}

impl Connecting {
    /// Makes the socket.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn to(address: Address) -> io::Result<Self> {
        Ok(Self { socket: address.socket()?, address, begun: false })
    }

    /// Tries until `deadline` at most, or until a signal comes. True once the connection is there; then
    /// it is to be taken out.
    ///
    /// # Errors
    /// `ConnectionRefused` and `NotFound` when nobody listens there, or the kernel's refusal.
    pub fn go_on(&mut self, deadline: Deadline) -> io::Result<bool> {
        match self.address.local()? {
            Some(local) => self.go_on_locally(&local, deadline),
            None => self.go_on_far(deadline),
        }
    }

    /// Who has too many waiting to be accepted lets us wait in the kernel, for as long as we say.
    fn go_on_locally(&self, address: &SocketAddrUnix, deadline: Deadline) -> io::Result<bool> {
        let patience = deadline.remaining().max(Duration::from_millis(1));
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, Some(patience))?;
        match rustix::net::connect(&self.socket, address) {
            Ok(()) => {
                sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Send, None)?;
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn go_on_far(&mut self, deadline: Deadline) -> io::Result<bool> {
        let Address::Inet(inet) = &self.address else { return Ok(false) };
        if !self.begun {
            rustix::io::ioctl_fionbio(&self.socket, true)?;
            match rustix::net::connect(&self.socket, inet) {
                Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            self.begun = true;
        }
        let mut list = [Interest::write(self.socket.as_fd())];
        if poll::wait(&mut list, Some(deadline))? != Readiness::Ready {
            return Ok(false);
        }
        sockopt::socket_error(&self.socket)??;
        rustix::io::ioctl_fionbio(&self.socket, false)?;
        sockopt::set_tcp_nodelay(&self.socket, true)?;
        Ok(true)
    }

    /// The socket.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }
}

/// Whether a descriptor is a socket.
#[must_use]
pub fn is_socket(fd: impl AsFd) -> bool {
    sockopt::socket_type(fd).is_ok()
}

/// Sends what goes into a socket at once, and says how much that was. Never raises `SIGPIPE`.
///
/// # Errors
/// `WouldBlock` when nothing goes in now, `BrokenPipe`, or the kernel's refusal.
pub fn send_some(socket: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut none = rustix::net::SendAncillaryBuffer::new(&mut []);
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(socket, parts, &mut none, flags)?)
}

/// Receives what has come through a socket, at most as much as fits into the buffer. Zero is the end
/// of the stream.
///
/// # Errors
/// `WouldBlock` when there is nothing, or the kernel's refusal.
pub fn receive_some(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)?.0)
}

/// An address of the network from its numeric form.
///
/// ```
/// # mod phalanx { pub use phalanx_os::net as connection; }
/// use std::net::Ipv6Addr;
/// use phalanx::connection::{Address, inet};
///
/// let address = inet(Ipv6Addr::LOCALHOST.into(), 9000, 0, 0);
/// assert_eq!(address, Address::Inet("[::1]:9000".parse().expect("an address")));
/// ```
#[must_use]
pub fn inet(ip: std::net::IpAddr, port: u16, flow: u32, scope: u32) -> Address {
    Address::Inet(match ip {
        std::net::IpAddr::V4(_) => SocketAddr::new(ip, port),
        std::net::IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    fn talk(address: &Address) -> io::Result<()> {
        let listener = listen(address, 1)?;
        let bound = address_of(&listener)?;
        let mut connecting = Connecting::to(bound)?;
        assert!(connecting.go_on(soon())?);
        let client = connecting.into_socket();
        poll::readable(listener.as_fd(), Some(soon()))?;
        let (server, _) = accept(&listener)?;
        let nobody = accept(&listener).map(drop).map_err(|e| e.kind());
        assert_eq!(nobody, Err(io::ErrorKind::WouldBlock));
        assert_eq!(send_some(&client, &[IoSlice::new(b"he"), IoSlice::new(b"llo")])?, 5);
        poll::readable(server.as_fd(), Some(soon()))?;
        let mut buffer = [0; 8];
        let got = receive_some(&server, &mut buffer)?;
        assert_eq!(&buffer[..got], b"hello");
        drop(client);
        poll::readable(server.as_fd(), Some(soon()))?;
        assert_eq!(receive_some(&server, &mut buffer)?, 0);
        Ok(())
    }

    #[test]
    fn who_connects_is_accepted_whatever_the_kind_of_address() -> io::Result<()> {
        talk(&inet(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, 0, 0))?;
        let newer = inet(IpAddr::V6(Ipv6Addr::LOCALHOST), 0, 0, 0);
        // Not every machine has IPv6.
        if listen(&newer, 1).is_ok() {
            talk(&newer)?;
        }
        talk(&Address::Abstract(format!("phalanx-net-{}", std::process::id()).into_bytes()))?;
        let path = std::env::temp_dir().join(format!("phalanx-net-{}", std::process::id()));
        let result = talk(&Address::Path(path.clone()));
        std::fs::remove_file(path)?;
        result
    }

    #[test]
    fn to_where_nobody_listens_the_connection_is_refused() -> io::Result<()> {
        let mut connecting = Connecting::to(Address::Abstract(b"phalanx-nobody".to_vec()))?;
        let refused = connecting.go_on(soon()).map_err(|e| e.kind());
        assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
        Ok(())
    }

    #[test]
    fn a_listener_with_no_room_is_waited_for() -> io::Result<()> {
        let address =
            Address::Abstract(format!("phalanx-full-{}", std::process::id()).into_bytes());
        let listener = listen(&address, 0)?;
        let mut first = Connecting::to(address.clone())?;
        assert!(first.go_on(soon())?);
        let mut second = Connecting::to(address)?;
        assert!(!second.go_on(Deadline::after(Duration::from_millis(5)))?);
        drop(accept(&listener)?);
        assert!(second.go_on(soon())?);
        Ok(())
    }
}
