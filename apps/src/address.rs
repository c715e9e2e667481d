//! Whose address is it? The stack's must not be the kernel's, which would answer in its stead.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use nix::ifaddrs::getifaddrs;

use crate::cli::Mistake;

/// Bits of the network part of `addr`: as `given`, or what is usual.
///
/// # Errors
/// When an address has fewer.
pub(crate) fn prefix(addr: IpAddr, given: Option<u8>) -> anyhow::Result<u8> {
    let (usual, most) = if addr.is_ipv4() { (24, 32) } else { (64, 128) };
    match given {
        Some(bits) if bits > most => {
            Err(Mistake(format!("--prefix {bits}: {addr} has {most} bits")).into())
        }
        given => Ok(given.unwrap_or(usual)),
    }
}

/// That `addr` is one that a host can have, and free for a stack beside a kernel that has, or will
/// have, `kernel` on the device.
///
/// # Errors
/// When nobody can have `addr`, when the kernel has it on any of its devices or is to have it, or
/// when the two speak different versions of IP.
pub(crate) fn must_be_free(addr: IpAddr, kernel: Option<IpAddr>) -> anyhow::Result<()> {
    let is_broadcast = matches!(addr, IpAddr::V4(addr) if addr.is_broadcast());
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() || is_broadcast {
        let text = format!("--addr {addr}: no host on a network can have this address");
        return Err(Mistake(text).into());
    }
    if kernel == Some(addr) {
        let text = format!("--kernel-addr is {addr}, too: the stack needs an address of its own");
        return Err(Mistake(text).into());
    }
    if kernel.is_some_and(|kernel| kernel.is_ipv4() != addr.is_ipv4()) {
        let text = "--addr and --kernel-addr must both be IPv4, or both IPv6".to_owned();
        return Err(Mistake(text).into());
    }
    for device in getifaddrs().context("cannot list the kernel's addresses")? {
        let Some(address) = &device.address else { continue };
        let v4 = address.as_sockaddr_in().map(|has| IpAddr::from(has.ip()));
        let v6 = address.as_sockaddr_in6().map(|has| IpAddr::from(has.ip()));
        if v4.or(v6) == Some(addr) {
            let name = device.interface_name;
            bail!("{addr} is the kernel's, on {name}: the stack needs an address of its own");
        }
    }
    Ok(())
}
