//! The functions that C programs call, and what the library wants of the system.
//!
//! What all `unsafe` here relies on is what the header asks of the caller: a pointer is null, or
//! it is good for as many octets as its length says for as long as the call lasts. Nothing is
//! asked of alignment, and null is an error (`EFAULT`), except where the header allows it.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ptr;
use std::time::Duration;

use libc::{nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t};
use minitcp_proto::{Instant, RxMeta};

use crate::capi::memory::{
    RawConfig, Room, addr_at, config_at, octets, octets_mut, settings, text,
};
use crate::capi::stacks::{self, Settings, Which};
use crate::capi::table::{self, MAX_DESCRIPTORS, Open};
use crate::capi::{addr, call, guarded};
use crate::errno;
use crate::runtime::ManualNet;

/// `struct minitcp_stack`: never looked at, its address is the stack's number.
#[repr(C)]
struct RawStack {
    _opaque: u8,
}

// ---- the process-wide net

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_init(tun: *const c_char, addresses: *const c_char) -> c_int {
    int(|| {
        // SAFETY: texts that end with a zero, as the header asks.
        let (tun, addresses) = unsafe { (text(tun)?, text(addresses)?) };
        stacks::init(tun, &Settings { addresses, ..Settings::default() }).map(|()| 0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_init_with(tun: *const c_char, config: *const RawConfig) -> c_int {
    int(|| {
        // SAFETY: a text that ends with a zero, and a configuration, as the header asks.
        let (tun, config) = unsafe { (text(tun)?, config_at(config)?) };
        // SAFETY: so are the texts in it.
        stacks::init(tun, &unsafe { settings(&config) }?).map(|()| 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_exit(timeout_ms: c_int) -> c_int {
    int(|| {
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(FOREVER_MS));
        let finished = stacks::exit(timeout)?;
        if finished { Ok(0) } else { Err(errno::of(libc::ETIMEDOUT)) }
    })
}

/// A century.
const FOREVER_MS: u64 = 100 * 366 * 86_400_000;

// ---- sockets

#[unsafe(no_mangle)]
extern "C" fn minitcp_socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    int(|| call::socket(Which::ProcessWide, domain, kind, protocol))
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_udp_socket(domain: c_int) -> c_int {
    int(|| call::socket(Which::ProcessWide, domain, libc::SOCK_DGRAM, 0))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_bind(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    on(fd, |open| {
        // SAFETY: `len` octets, as the header asks.
        let addr = unsafe { addr_at(addr, len) }?;
        open.socket.bind(addr::decode_addr(addr)?).map(|()| 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_listen(fd: c_int, backlog: c_int) -> c_int {
    on(fd, |open| call::listen(open, backlog).map(|()| 0))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int {
    on(fd, |open| {
        // SAFETY: null, or room of the size that `len` points to, as the header asks.
        let room = unsafe { Room::at(addr.cast(), len, addr.is_null()) }?;
        let (accepted, peer) = call::accept(open)?;
        room.put(&addr::encode(peer));
        Ok(accepted)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int {
    on(fd, |open| {
        // SAFETY: `len` octets, as the header asks.
        let addr = unsafe { addr_at(addr, len) }?;
        call::connect(open, addr).map(|()| 0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_shutdown(fd: c_int, how: c_int) -> c_int {
    on(fd, |open| call::shutdown(open, how).map(|()| 0))
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_close(fd: c_int) -> c_int {
    int(|| table::close(fd).map(|()| 0))
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_dup(fd: c_int) -> c_int {
    int(|| table::duplicate(fd))
}

// ---- data

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_send(
    fd: c_int,
    data: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: `len` octets, as the header asks; no address.
    unsafe { minitcp_sendto(fd, data, len, flags, ptr::null(), 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_sendto(
    fd: c_int,
    data: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        let flags = call::msg_flags(flags);
        // SAFETY: `len` octets, as the header asks.
        let data = unsafe { octets(data.cast(), len) }?;
        if addr.is_null() {
            return open.socket.send(data, flags);
        }
        // SAFETY: `addr_len` octets, as the header asks.
        let addr = unsafe { addr_at(addr, addr_len) }?;
        open.socket.send_to(data, addr::decode_addr(addr)?, flags)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_recv(
    fd: c_int,
    out: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: room for `len` octets, as the header asks; none for an address.
    unsafe { minitcp_recvfrom(fd, out, len, flags, ptr::null_mut(), ptr::null_mut()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_recvfrom(
    fd: c_int,
    out: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        // SAFETY: room for `len` octets, as the header asks.
        let out = unsafe { octets_mut(out.cast(), len) }?;
        // SAFETY: null, or room of the size that `addr_len` points to, as the header asks.
        let room = unsafe { Room::at(addr.cast(), addr_len, addr.is_null()) }?;
        let (count, from) = call::receive(&open, out, flags)?;
        // Streams have no sender: its length is zero, as on Linux.
        room.put(&from.map(addr::encode).unwrap_or_default());
        Ok(count)
    })
}

// ---- options, names, modes

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    on(fd, |open| {
        let option = call::option(open, level, name)?;
        let len = usize::try_from(len.cast_signed()).map_err(|_| errno::of(libc::EINVAL))?;
        // SAFETY: `len` octets, as the header asks; of more than any value has, the first ones.
        let value = unsafe { octets(value.cast(), len.min(MAX_VALUE)) }?;
        call::set_option(open, option, value).map(|()| 0)
    })
}

/// Longer values are cut.
const MAX_VALUE: usize = 256;

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    on(fd, |open| {
        let option = call::option(open, level, name)?;
        // SAFETY: room of the size that `len` points to, as the header asks.
        let room = unsafe { Room::at(value.cast(), len, false) }?;
        room.put_cut(&call::get_option(open, option)?);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_getsockname(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: room of the size that `len` points to, as the header asks.
    unsafe { name(fd, addr, len, |open| open.socket.local_addr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_getpeername(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: room of the size that `len` points to, as the header asks.
    unsafe { name(fd, addr, len, |open| open.socket.peer_addr()) }
}

/// # Safety
/// As of [`Room::at`].
unsafe fn name(
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
    ask: impl FnOnce(&Open) -> io::Result<SocketAddr>,
) -> c_int {
    on(fd, |open| {
        // SAFETY: as this function asks.
        let room = unsafe { Room::at(addr.cast(), len, false) }?;
        room.put(&addr::encode(ask(open)?));
        Ok(0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_fcntl(fd: c_int, command: c_int, argument: c_int) -> c_int {
    on(fd, |open| call::fcntl(open, command, argument))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_ioctl(fd: c_int, code: c_ulong, argument: *mut c_int) -> c_int {
    on(fd, |open| {
        let request = call::request(code)?;
        if argument.is_null() {
            return Err(errno::of(libc::EFAULT));
        }
        let answer = match request {
            call::Request::Nonblocking => {
                // SAFETY: an `int`, as the header asks.
                let wanted = unsafe { argument.read_unaligned() };
                return call::set_nonblocking(open, wanted != 0).map(|()| 0);
            }
            call::Request::Unread => open.socket.unread()?,
            call::Request::Unsent => open.socket.unsent()?,
            call::Request::AtMark => usize::from(open.socket.is_at_mark()?),
        };
        // SAFETY: an `int`, as the header asks.
        unsafe { argument.write_unaligned(call::count(answer)) };
        Ok(0)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_sockatmark(fd: c_int) -> c_int {
    on(fd, |open| open.socket.is_at_mark().map(c_int::from))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_poll(fds: *mut pollfd, count: nfds_t, timeout_ms: c_int) -> c_int {
    int(|| {
        let count = usize::try_from(count).ok().filter(|count| *count <= MAX_DESCRIPTORS);
        let count = count.ok_or_else(|| errno::of(libc::EINVAL))?;
        if fds.is_null() && count > 0 {
            return Err(errno::of(libc::EFAULT));
        }
        // SAFETY: `count` entries, as the header asks.
        let read = |place| unsafe { fds.add(place).read_unaligned() };
        let mut list: Vec<pollfd> = (0..count).map(read).collect();
        let Some(ready) = call::poll(&mut list, timeout_ms)? else {
            // SAFETY: an empty list has no entries to look at.
            return match unsafe { libc::poll(ptr::null_mut(), 0, timeout_ms) } {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(0),
            };
        };
        for (place, entry) in list.iter().enumerate() {
            // SAFETY: `count` entries, as the header asks.
            unsafe { (&raw mut (*fds.add(place)).revents).write_unaligned(entry.revents) };
        }
        Ok(call::count(ready))
    })
}

// ---- stacks without a device

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_stack_new(config: *const RawConfig) -> *mut RawStack {
    answer(ptr::null_mut(), || {
        // SAFETY: a configuration, as the header asks.
        let config = unsafe { config_at(config) }?;
        // SAFETY: so are the texts in it.
        let number = stacks::create(&unsafe { settings(&config) }?)?;
        Ok(ptr::without_provenance_mut(number))
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_stack_free(stack: *mut RawStack) -> c_int {
    int(|| stacks::free(number(stack)?).map(|()| 0))
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_stack_socket(
    stack: *mut RawStack,
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    int(|| call::socket(Which::Number(number(stack)?), domain, kind, protocol))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_stack_input(
    stack: *mut RawStack,
    packet: *const c_void,
    len: size_t,
    now_ns: u64,
) -> c_int {
    int(|| {
        let stack = stack_at(stack)?;
        // SAFETY: `len` octets, as the header asks.
        let packet = unsafe { octets(packet.cast(), len) }?;
        stack.input(Instant::from_nanos(now_ns), packet, RxMeta::default());
        Ok(0)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_stack_output(
    stack: *mut RawStack,
    out: *mut c_void,
    len: size_t,
    now_ns: u64,
    when_ns: *mut u64,
) -> ssize_t {
    size(|| {
        let stack = stack_at(stack)?;
        // SAFETY: room for `len` octets, as the header asks.
        let out = unsafe { octets_mut(out.cast(), len) }?;
        let (packet, when) = stack.output_at(Instant::from_nanos(now_ns), out)?;
        if !when_ns.is_null() {
            // SAFETY: a number, as the header asks.
            unsafe { when_ns.write_unaligned(when.as_nanos()) };
        }
        Ok(packet)
    })
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_stack_deadline(stack: *mut RawStack) -> u64 {
    let never = Instant::MAX.as_nanos();
    answer(never, || Ok(stack_at(stack)?.deadline().map_or(never, Instant::as_nanos)))
}

#[unsafe(no_mangle)]
extern "C" fn minitcp_stack_advance(stack: *mut RawStack, now_ns: u64) -> c_int {
    int(|| {
        stack_at(stack)?.advance(Instant::from_nanos(now_ns));
        Ok(0)
    })
}

// ---- results

/// The result of `act`, or `failure` and `errno`.
fn answer<T>(failure: T, act: impl FnOnce() -> io::Result<T>) -> T {
    guarded(act).unwrap_or_else(|code| {
        // SAFETY: the address of this thread's `errno` is always good.
        unsafe { *libc::__errno_location() = code };
        failure
    })
}

fn int(act: impl FnOnce() -> io::Result<c_int>) -> c_int {
    answer(-1, act)
}

pub(super) fn size(act: impl FnOnce() -> io::Result<usize>) -> ssize_t {
    answer(-1, || act().map(|count| ssize_t::try_from(count).unwrap_or(ssize_t::MAX)))
}

/// As [`int`], of a call on a descriptor.
fn on(fd: c_int, act: impl FnOnce(&Open) -> io::Result<c_int>) -> c_int {
    int(|| act(&*table::find(fd)?))
}

// ---- stacks, and the system

fn number(stack: *mut RawStack) -> io::Result<usize> {
    if stack.is_null() { Err(errno::of(libc::EFAULT)) } else { Ok(stack.addr()) }
}

fn stack_at(stack: *mut RawStack) -> io::Result<ManualNet> {
    stacks::find(number(stack)?)
}

/// Puts a thread's signal mask back.
struct Mask(libc::sigset_t);

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the mask is one that `pthread_sigmask` gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Threads that `act` starts take no signals: those are for the program's own threads, which may
/// wait for them. What the processor raises stays with whoever caused it.
pub(super) fn with_signals_blocked<T>(act: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: `sigfillset` makes the set that the calls after it use.
    let failed = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for own in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
            libc::sigdelset(all.as_mut_ptr(), own);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    // SAFETY: a `pthread_sigmask` that does not fail has written the mask there was.
    let _mask = (failed == 0).then(|| Mask(unsafe { before.assume_init() }));
    act()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    /// `struct minitcp_config`, as a C program has it.
    #[repr(C)]
    struct Config {
        size: usize,
        texts: [*const c_char; 2],
        numbers: [u64; 10],
    }

    /// The first octet of a value at an odd address.
    fn odd<T>(room: &mut [u64; 6]) -> *mut T {
        room.as_mut_ptr().cast::<u8>().wrapping_add(1).cast()
    }

    /// Programs in `tests/c` do far more; this is what Miri can run.
    #[test]
    fn a_datagram_passes_through_memory_of_odd_addresses() {
        let name = |last| {
            let mut octets = [0; 16];
            octets[..2].copy_from_slice(&2_u16.to_ne_bytes()); // AF_INET
            octets[3..8].copy_from_slice(&[53, 10, 0, 0, last]);
            octets
        };
        let config = |addresses: &CStr| Config {
            size: size_of::<RawConfig>(),
            texts: [addresses.as_ptr(), ptr::null()],
            numbers: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // A seed: Miri opens no file for one.
        };
        let (first, second) = (config(c"10.0.0.1"), config(c"10.0.0.2"));
        // SAFETY: all pointers are good for what the header asks.
        unsafe {
            let one = minitcp_stack_new((&raw const first).cast());
            let two = minitcp_stack_new((&raw const second).cast());
            assert!(!one.is_null() && !two.is_null());
            let asks = minitcp_stack_socket(one, libc::AF_INET, libc::SOCK_DGRAM, 0);
            let answers = minitcp_stack_socket(two, libc::AF_INET, libc::SOCK_DGRAM, 0);
            assert_eq!(minitcp_bind(answers, name(3).as_ptr().cast(), 16), -1);
            assert_eq!(minitcp_bind(answers, name(2).as_ptr().cast(), 16), 0);
            let to = name(2);
            let sent = minitcp_sendto(asks, c"hello".as_ptr().cast(), 5, 0, to.as_ptr().cast(), 16);
            assert_eq!(sent, 5);
            let mut packet = [0_u8; 1500];
            let (mut time, out) = ([0; 6], packet.as_mut_ptr().cast());
            let len = minitcp_stack_output(one, out, 1500, 7, odd(&mut time));
            assert_eq!(len, 20 + 8 + 5);
            assert_eq!(odd::<u64>(&mut time).read_unaligned(), 7);
            let len = usize::try_from(len).unwrap();
            assert_eq!(minitcp_stack_input(two, packet.as_ptr().cast(), len, 7), 0);

            let mut polled = [0; 6];
            let entry: *mut pollfd = odd(&mut polled);
            entry.write_unaligned(pollfd { fd: answers, events: libc::POLLIN, revents: 0 });
            assert_eq!(minitcp_poll(entry, 1, 0), 1);
            assert_eq!(entry.read_unaligned().revents, libc::POLLIN);
            let (mut data, mut from, mut from_len) = ([0_u8; 8], [0; 6], [0; 6]);
            odd::<socklen_t>(&mut from_len).write_unaligned(16);
            let (from_at, len_at) = (odd(&mut from), odd(&mut from_len));
            let count = minitcp_recvfrom(answers, data.as_mut_ptr().cast(), 8, 0, from_at, len_at);
            assert_eq!((count, &data[..5]), (5, &b"hello"[..]));
            assert_eq!(odd::<socklen_t>(&mut from_len).read_unaligned(), 16);
            assert_eq!(odd::<[u8; 8]>(&mut from).read_unaligned()[4..], [10, 0, 0, 1]);

            assert_eq!((minitcp_stack_free(one), minitcp_stack_free(two)), (0, 0));
            assert_eq!((minitcp_stack_free(one), *libc::__errno_location()), (-1, libc::EBADF));
            assert_eq!((minitcp_close(asks), *libc::__errno_location()), (-1, libc::EBADF));
        }
    }
}
