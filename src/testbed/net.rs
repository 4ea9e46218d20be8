//! The testbed's own network: a namespace where the user may have one, ports, and who could reach them.

use super::error::TestbedError;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Puts the calling process, which must have one thread, into a new network namespace with a working loopback.
/// An unprivileged user gets a user namespace around it, in which his ids are what they were.
pub(super) fn isolate() -> io::Result<()> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
            // The kernel asks for this before an unprivileged process may map a group.
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
            fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
        }
        Err(error) => return Err(error.into()),
    }
    loopback_up()
}

/// Brings the loopback interface up. It is always the first interface of a namespace.
fn loopback_up() -> io::Result<()> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
    const INDEX: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, type
    message.extend(INDEX.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // the flags
    message.extend(IFF_UP.to_ne_bytes()); // which of them change
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // An acknowledgement is an error message with error 0 after the 16 bytes of its header.
    let error = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match error {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(-error)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Puts the calling process into the namespaces of the process `pid`. Nothing happens when it is there already.
pub(super) fn enter(state_dir: &Path, pid: i32) -> Result<(), TestbedError> {
    let failed = |why: String| TestbedError::Namespace { state_dir: state_dir.to_owned(), why };
    if is_inside(pid) {
        return Ok(());
    }
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(TestbedError::Threads { threads });
    }
    let open = |kind: &str| {
        File::open(format!("/proc/{pid}/ns/{kind}"))
            .map_err(|error| failed(format!("its {kind} namespace: {error}")))
    };
    // Both are opened first: from inside the user namespace less can be seen.
    let (user, net) = (open("user")?, open("net")?);
    if !same_file("/proc/self/ns/user", &format!("/proc/{pid}/ns/user")) {
        setns(user, CloneFlags::CLONE_NEWUSER)
            .map_err(|error| failed(format!("its user namespace: {error}")))?;
    }
    setns(net, CloneFlags::CLONE_NEWNET).map_err(|error| failed(format!("its network namespace: {error}")))
}

/// Whether the calling process is in the network namespace of the process `pid`.
pub(super) fn is_inside(pid: i32) -> bool {
    same_file("/proc/self/ns/net", &format!("/proc/{pid}/ns/net"))
}

fn same_file(a: &str, b: &str) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// `preferred` when nobody listens there, else any free port that is not in `taken`.
pub(super) fn free_port(component: &str, preferred: u16, taken: &[u16]) -> Result<u16, TestbedError> {
    // Bound on all addresses: some components cannot be told to use loopback only.
    let try_bind = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?.local_addr().map(|a| a.port());
    if !taken.contains(&preferred) && try_bind(preferred).is_ok() {
        return Ok(preferred);
    }
    loop {
        let port =
            try_bind(0).map_err(|source| TestbedError::NoPort { component: component.to_owned(), source })?;
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
}

/// The addresses of this machine that others may reach, and those among them that the whole world may.
pub(super) fn reachable_addresses() -> (Vec<IpAddr>, Vec<IpAddr>) {
    let addresses = getifaddrs().into_iter().flatten().filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    let reachable: Vec<IpAddr> = addresses.filter(|address| !address.is_loopback()).collect();
    let public = reachable.iter().copied().filter(is_public).collect();
    (reachable, public)
}

/// Whether an address is not known to be private. What is unclear counts as public.
fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(*v6 == Ipv6Addr::LOCALHOST
                || *v6 == Ipv6Addr::UNSPECIFIED
                || v6.is_unicast_link_local()
                || v6.is_unique_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_avoided() {
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let held = holder.local_addr().unwrap().port();
        assert_ne!(free_port("etcd", held, &[]).unwrap(), held);
        drop(holder);
        assert_ne!(free_port("etcd", held, &[held]).unwrap(), held, "it is promised to another component");
    }

    #[test]
    fn private_addresses_are_not_public() {
        for (address, public) in [
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.20.0.1", false),
            ("192.168.1.1", false),
            ("169.254.1.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("8.8.8.8", true),
            ("::1", false),
            ("fe80::1", false),
            ("fd00::2", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(&address.parse().unwrap()), public, "{address}");
        }
    }
}
