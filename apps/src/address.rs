//! Whose address is it? The stack's must not be the kernel's, which would answer in its stead.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use nix::ifaddrs::getifaddrs;

/// That `addr` is free for a stack beside a kernel that has, or will have, `kernel` on the device.
///
/// # Errors
/// When the kernel has `addr` on any of its devices, or is to have it.
pub(crate) fn must_be_free(addr: Ipv4Addr, kernel: Option<Ipv4Addr>) -> anyhow::Result<()> {
    if kernel == Some(addr) {
        bail!("--addr and --kernel-addr are both {addr}: the stack needs an address of its own");
    }
    for device in getifaddrs().context("cannot list the kernel's addresses")? {
        let has = device.address.as_ref().and_then(|address| address.as_sockaddr_in());
        if has.is_some_and(|has| has.ip() == addr) {
            let name = device.interface_name;
            bail!("{addr} is the kernel's, on {name}: the stack needs an address of its own");
        }
    }
    Ok(())
}
