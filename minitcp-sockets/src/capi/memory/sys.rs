//! The caller's memory: pointers of C's become slices, texts and room for answers.
//!
//! Each function says what must be true of its pointers. They come from [the functions that C
//! calls](crate::capi::sys) as they are, so what is asked is what the header asks of C programs.
//! Mistakes that can be seen, null and impossible lengths, are errors.

use std::ffi::{CStr, c_char};
use std::io;
use std::ptr;
use std::slice;

use libc::{size_t, sockaddr, socklen_t};

use crate::capi::addr;
use crate::capi::stacks::Settings;
use crate::errno;

/// `struct minitcp_config`.
#[repr(C)]
pub(in crate::capi) struct RawConfig {
    size: size_t,
    addresses: *const c_char,
    kernel_address: *const c_char,
    seed: u64,
    buffer_bytes: u64,
    mtu: u32,
    receive_buffer: u32,
    send_buffer: u32,
    connections: u32,
    listeners: u32,
    udp_sockets: u32,
    congestion: *const c_char,
    delayed_ack_ms: u32,
    initial_rto_ms: u32,
    min_rto_ms: u32,
    max_rto_ms: u32,
    msl_ms: u32,
    largest_receive_buffer: u32,
    largest_send_buffer: u32,
    without: u32,
}

/// More octets than any call moves at once, as on Linux (`MAX_RW_COUNT`).
const MAX_COUNT: usize = 0x7fff_f000;

/// # Safety
/// `data` is null, or good for reading `len` octets.
pub(in crate::capi) unsafe fn octets<'a>(data: *const u8, len: usize) -> io::Result<&'a [u8]> {
    match (data.is_null(), len.min(MAX_COUNT)) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(errno::of(libc::EFAULT)),
        // SAFETY: as this function asks.
        (false, len) => Ok(unsafe { slice::from_raw_parts(data, len) }),
    }
}

/// # Safety
/// `data` is null, or good for writing `len` octets, which nobody else uses meanwhile.
pub(in crate::capi) unsafe fn octets_mut<'a>(
    data: *mut u8,
    len: usize,
) -> io::Result<&'a mut [u8]> {
    match (data.is_null(), len.min(MAX_COUNT)) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(errno::of(libc::EFAULT)),
        // SAFETY: as this function asks; the core only writes there.
        (false, len) => Ok(unsafe { slice::from_raw_parts_mut(data, len) }),
    }
}

/// # Safety
/// As of [`octets`].
pub(in crate::capi) unsafe fn addr_at<'a>(
    addr: *const sockaddr,
    len: socklen_t,
) -> io::Result<&'a [u8]> {
    let len = usize::try_from(len).ok().filter(|len| *len <= addr::MAX_SIZE);
    let len = len.ok_or_else(|| errno::of(libc::EINVAL))?;
    // SAFETY: as this function asks.
    unsafe { octets(addr.cast(), len) }
}

/// # Safety
/// `text` is null, or points to octets that end with a zero.
pub(in crate::capi) unsafe fn text<'a>(text: *const c_char) -> io::Result<&'a str> {
    if text.is_null() {
        return Err(errno::of(libc::EFAULT));
    }
    // SAFETY: as this function asks.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| errno::of(libc::EINVAL))
}

/// # Safety
/// `config` is null, or good for reading as many octets as its `size` says.
pub(in crate::capi) unsafe fn config_at(config: *const RawConfig) -> io::Result<RawConfig> {
    if config.is_null() {
        return Err(errno::of(libc::EFAULT));
    }
    // SAFETY: `size` is the first field, and always there.
    let size = unsafe { config.cast::<size_t>().read_unaligned() };
    // Programs that know other fields, or none: half a pointer must not be followed.
    if size != size_of::<RawConfig>() {
        return Err(errno::of(libc::EINVAL));
    }
    // SAFETY: `size` octets, as this function asks; any will do for numbers and pointers.
    Ok(unsafe { config.read_unaligned() })
}

/// # Safety
/// The texts of `config` are as [`text`] asks.
pub(in crate::capi) unsafe fn settings(config: &RawConfig) -> io::Result<Settings<'_>> {
    let optional = |at: *const c_char| match at.is_null() {
        true => Ok(None),
        // SAFETY: as this function asks.
        false => unsafe { text(at) }.map(Some),
    };
    Ok(Settings {
        // SAFETY: as this function asks.
        addresses: unsafe { text(config.addresses) }?,
        kernel_address: optional(config.kernel_address)?,
        congestion: optional(config.congestion)?,
        seed: config.seed,
        buffer_bytes: config.buffer_bytes,
        mtu: config.mtu,
        receive_buffer: config.receive_buffer,
        send_buffer: config.send_buffer,
        connections: config.connections,
        listeners: config.listeners,
        udp_sockets: config.udp_sockets,
        delayed_ack_ms: config.delayed_ack_ms,
        initial_rto_ms: config.initial_rto_ms,
        min_rto_ms: config.min_rto_ms,
        max_rto_ms: config.max_rto_ms,
        msl_ms: config.msl_ms,
        largest_receive_buffer: config.largest_receive_buffer,
        largest_send_buffer: config.largest_send_buffer,
        without: config.without,
    })
}

/// Where the caller wants a name or a value, which says how long it is.
pub(in crate::capi) struct Room {
    /// Null where nothing is wanted.
    data: *mut u8,
    capacity: usize,
    len: *mut socklen_t,
}

impl Room {
    /// # Errors
    /// `EFAULT` for null, unless `wants_nothing`; `EINVAL` for a negative length.
    ///
    /// # Safety
    /// Unless `wants_nothing`, `len` is null or points to a number, and `data` is null or good
    /// for writing so many octets, until the room is gone.
    pub(in crate::capi) unsafe fn at(
        data: *mut u8,
        len: *mut socklen_t,
        wants_nothing: bool,
    ) -> io::Result<Self> {
        if wants_nothing {
            return Ok(Self { data: ptr::null_mut(), capacity: 0, len: ptr::null_mut() });
        }
        if len.is_null() {
            return Err(errno::of(libc::EFAULT));
        }
        // SAFETY: as this function asks.
        let capacity = unsafe { len.read_unaligned() }.cast_signed();
        let capacity = usize::try_from(capacity).map_err(|_| errno::of(libc::EINVAL))?;
        if data.is_null() && capacity > 0 {
            return Err(errno::of(libc::EFAULT));
        }
        Ok(Self { data, capacity, len })
    }

    /// Writes as much of `octets` as there is room for, and how many there were.
    pub(in crate::capi) fn put(&self, octets: &[u8]) {
        self.write(octets, octets.len());
    }

    /// Writes as much of `octets` as there is room for, and how many that was.
    pub(in crate::capi) fn put_cut(&self, octets: &[u8]) {
        self.write(octets, octets.len().min(self.capacity));
    }

    fn write(&self, octets: &[u8], len: usize) {
        if self.len.is_null() {
            return;
        }
        let count = octets.len().min(self.capacity);
        if count > 0 {
            // SAFETY: `at` was promised room for `capacity` octets, and `count` is not more.
            unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), self.data, count) };
        }
        // SAFETY: `at` was promised that a number is there.
        unsafe { self.len.write_unaligned(socklen_t::try_from(len).unwrap_or(0)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T>(result: io::Result<T>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn null_is_good_for_nothing() {
        // SAFETY: null is allowed.
        unsafe {
            assert_eq!(code(octets(ptr::null(), 1)), Some(libc::EFAULT));
            assert_eq!(octets(ptr::null(), 0).unwrap(), []);
            assert_eq!(code(octets_mut(ptr::null_mut(), usize::MAX)), Some(libc::EFAULT));
            assert_eq!(octets_mut(ptr::null_mut(), 0).unwrap(), []);
            assert_eq!(code(text(ptr::null())), Some(libc::EFAULT));
            assert_eq!(code(config_at(ptr::null())), Some(libc::EFAULT));
            assert_eq!(code(Room::at(ptr::null_mut(), ptr::null_mut(), false)), Some(libc::EFAULT));
            Room::at(ptr::null_mut(), ptr::null_mut(), true).unwrap().put(b"unwanted");
        }
    }

    #[test]
    fn answers_are_cut_to_their_room() {
        for (capacity, kept) in [(0, b"...."), (3, b"abc."), (4, b"abcd")] {
            let mut data = *b"....";
            let mut len: socklen_t = capacity;
            // SAFETY: room for four octets, of which `len` says at most so many.
            let room = unsafe { Room::at(data.as_mut_ptr(), &raw mut len, false) }.unwrap();
            room.put_cut(b"abcd");
            assert_eq!((&data, len), (kept, capacity));
            // SAFETY: as before.
            let room = unsafe { Room::at(data.as_mut_ptr(), &raw mut len, false) }.unwrap();
            room.put(b"abcde");
            assert_eq!((&data, len), (kept, 5));
        }
        let mut len = socklen_t::MAX;
        // SAFETY: `len` is negative, so that nothing is written.
        let negative = unsafe { Room::at([0].as_mut_ptr(), &raw mut len, false) };
        assert_eq!(code(negative), Some(libc::EINVAL));
    }

    #[test]
    fn only_a_whole_config_is_read() {
        let mut config = RawConfig {
            size: size_of::<RawConfig>(),
            addresses: c"10.0.0.1/24".as_ptr(),
            kernel_address: ptr::null(),
            seed: 1,
            buffer_bytes: 2,
            mtu: 3,
            receive_buffer: 4,
            send_buffer: 5,
            connections: 6,
            listeners: 7,
            udp_sockets: 8,
            congestion: c"reno".as_ptr(),
            delayed_ack_ms: 9,
            initial_rto_ms: 10,
            min_rto_ms: 11,
            max_rto_ms: 12,
            msl_ms: 13,
            largest_receive_buffer: 14,
            largest_send_buffer: 15,
            without: 16,
        };
        // SAFETY: a configuration with good texts.
        unsafe {
            let read = config_at(&raw const config).unwrap();
            let read = settings(&read).unwrap();
            assert_eq!((read.addresses, read.kernel_address), ("10.0.0.1/24", None));
            assert_eq!((read.congestion, read.delayed_ack_ms), (Some("reno"), 9));
            assert_eq!((read.initial_rto_ms, read.min_rto_ms, read.max_rto_ms), (10, 11, 12));
            assert_eq!((read.msl_ms, read.largest_receive_buffer), (13, 14));
            assert_eq!((read.largest_send_buffer, read.without), (15, 16));
            assert_eq!((read.seed, read.buffer_bytes, read.udp_sockets), (1, 2, 8));
            for size in (0..2 * size_of::<RawConfig>()).filter(|size| *size != config.size) {
                let other = RawConfig { size, ..ptr::read(&raw const config) };
                assert_eq!(code(config_at(&raw const other)), Some(libc::EINVAL), "{size}");
            }
            config.addresses = ptr::null();
            assert_eq!(code(settings(&config)), Some(libc::EFAULT));
        }
    }
}
