//! A network of one's own, for as long as the process lives, with the least privilege that does.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

/// How the namespace was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The process may administer networks anyway.
    Administrator,
    /// The process became root of a user namespace of its own.
    UserNamespace,
}

/// Moves this thread, and those that it starts later, to a new network namespace with nothing in
/// it. Call it before there are other threads: a user namespace takes only a whole process.
///
/// # Errors
/// When the system allows neither way.
pub fn enter() -> io::Result<Privilege> {
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(Privilege::Administrator);
    }
    let (uid, gid) = (Uid::effective(), Gid::effective());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    // user_namespaces(7): without privilege outside, groups must be given up before they are
    // mapped, and nobody but oneself can be.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(Privilege::UserNamespace)
}

/// Keeps IPv6 off devices that are made later, and with it the kernel's router solicitations.
///
/// # Errors
/// When `/proc/sys` is read-only, as in many containers, or there is no IPv6 at all.
pub fn disable_ipv6() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
}

/// Lets the kernel forward IPv4 packets between the devices of this namespace.
///
/// # Errors
/// When `/proc/sys` is read-only, as in many containers.
pub fn forward_ipv4() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}
