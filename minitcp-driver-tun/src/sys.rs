//! The system calls that the standard library lacks, each behind a safe function. All unsafe
//! code of the crate is here.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;

/// Makes the descriptor of `from` our own.
pub(crate) fn own(from: tun::Device) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up the descriptor, so that nothing else closes it.
    unsafe { OwnedFd::from_raw_fd(from.into_raw_fd()) }
}

/// Nanoseconds of the monotonic clock, which is also the clock of [`set_timer`].
pub(crate) fn monotonic_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time`, which outlives it, and nowhere else. It cannot fail:
    // every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOS).saturating_add(nanos)
}

/// A timer on the monotonic clock that becomes readable when it expires.
pub(crate) fn timer() -> io::Result<OwnedFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: the descriptor is new, so that nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets `timer` expire at `nanos` of the monotonic clock, in place of what was set before.
pub(crate) fn set_timer(timer: BorrowedFd<'_>, nanos: u64) -> io::Result<()> {
    // Zero would disarm it.
    let nanos = nanos.max(1);
    let at = libc::timespec {
        tv_sec: (nanos / NANOS).try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: (nanos % NANOS).try_into().unwrap_or(0),
    };
    let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = libc::itimerspec { it_interval: once, it_value: at };
    let (fd, absolute) = (timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME);
    // SAFETY: `spec` is initialised and outlives the call; a null old value is allowed.
    check(unsafe { libc::timerfd_settime(fd, absolute, &raw const spec, ptr::null_mut()) })?;
    Ok(())
}

/// Makes reads and writes return instead of wait.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointer.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: takes no pointer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Tells a TUN device which unfinished packets its reader takes: `TUN_F_..` of `linux/if_tun.h`.
pub(crate) fn set_offload(tun: BorrowedFd<'_>, mask: u8) -> io::Result<()> {
    let mask = libc::c_ulong::from(mask);
    // SAFETY: this request takes a number, no pointer.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as libc::Ioctl, mask) })?;
    Ok(())
}

/// Tells a TUN device how many octets stand before each packet.
pub(crate) fn set_vnet_header_len(tun: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = libc::c_int::try_from(len).unwrap_or(0);
    let (fd, request) = (tun.as_raw_fd(), libc::TUNSETVNETHDRSZ as libc::Ioctl);
    // SAFETY: the kernel reads one `int` from `len`, which outlives the call.
    check(unsafe { libc::ioctl(fd, request, &raw const len) })?;
    Ok(())
}

/// Arguments of an interface request: C's `struct ifreq` as octets.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InterfaceRequest {
    /// The interface, filled up with zeros of which there is at least one.
    pub(crate) name: [u8; 16],
    /// What the request takes or gives.
    pub(crate) value: [u8; 24],
}

const _: () = assert!(size_of::<InterfaceRequest>() >= size_of::<libc::ifreq>());

/// Arguments of an IPv6 address request: C's `struct in6_ifreq`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ipv6Request {
    /// The address.
    pub(crate) address: [u8; 16],
    /// Bits of network.
    pub(crate) prefix_len: u32,
    /// The interface.
    pub(crate) index: i32,
}

const _: () = assert!(size_of::<Ipv6Request>() == size_of::<libc::in6_ifreq>());

/// What the kernel takes a pointer to in an `ioctl` of a socket, or of a TUN queue.
///
/// # Safety
/// Implemented only for plain data (any bits are a value), at least as large as the C structure
/// of every request that it is used with.
pub(crate) unsafe trait Request: Copy {}

// SAFETY: octets, as large as `struct ifreq` by the assertion above.
unsafe impl Request for InterfaceRequest {}
// SAFETY: integers, laid out as `struct in6_ifreq`.
unsafe impl Request for Ipv6Request {}

/// Performs one of the requests `SIOC..` of netdevice(7), or `TUNSETIFF`, with `argument`.
pub(crate) fn interface_ioctl<R: Request>(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &mut R,
) -> io::Result<()> {
    let pointer: *mut c_void = ptr::from_mut(argument).cast();
    // SAFETY: by the trait's promise the kernel reads and writes within `argument`, which
    // outlives the call, and every outcome is a value of its type.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as libc::Ioctl, pointer) })?;
    Ok(())
}

/// The result of a system call, or what went wrong.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const NANOS: u64 = 1_000_000_000;
