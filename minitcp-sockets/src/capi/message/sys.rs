//! `sendmsg`, `recvmsg`, `readv` and `writev`: as [the other functions](crate::capi::sys) they rely
//! on what the header asks of the caller, for the structures and for the buffers that those name.

use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};

use libc::{iovec, msghdr, size_t, socklen_t, ssize_t};

use crate::capi::memory::{addr_at, octets, octets_mut};
use crate::capi::sys::size;
use crate::capi::{addr, call, table};
use crate::errno;
use crate::flags::MsgFlags;

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        let flags = call::msg_flags(flags);
        // SAFETY: null, or a structure, as the header asks.
        let message = unsafe { message_at(message) }?;
        if message.msg_controllen > 0 {
            return Err(errno::of(libc::EINVAL)); // No control message means anything here.
        }
        // SAFETY: so many buffers, as the header asks.
        let data = unsafe { buffers(message.msg_iov, message.msg_iovlen, libc::EMSGSIZE) }?;
        let to = match message.msg_name.is_null() {
            true => None,
            false => {
                // SAFETY: `msg_namelen` octets, as the header asks.
                let name = unsafe { addr_at(message.msg_name.cast(), message.msg_namelen) }?;
                Some(addr::decode_addr(name)?)
            }
        };
        open.socket.send_vectored(&data, to, flags)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        let flags = call::msg_flags(flags);
        // SAFETY: null, or a structure, as the header asks.
        let mut header = unsafe { message_at(message) }?;
        // SAFETY: so many buffers, as the header asks.
        let mut out = unsafe { buffers_mut(header.msg_iov, header.msg_iovlen, libc::EMSGSIZE) }?;
        let name_room = usize::try_from(header.msg_namelen.cast_signed());
        let name_room = name_room.map_err(|_| errno::of(libc::EINVAL))?;
        let received = open.socket.recv_vectored(&mut out, flags)?;
        let name = received.from.map(addr::encode).unwrap_or_default();
        if !header.msg_name.is_null() {
            // SAFETY: `msg_namelen` octets, as the header asks.
            let room = unsafe { octets_mut(header.msg_name.cast(), name_room) }?;
            let count = name.len().min(room.len());
            room[..count].copy_from_slice(&name[..count]);
            header.msg_namelen = socklen_t::try_from(name.len()).unwrap_or(0);
        }
        header.msg_controllen = 0;
        let is_cut = received.from.is_some() && received.full_len > received.len;
        let urgent = if flags.contains(MsgFlags::OOB) { libc::MSG_OOB } else { 0 };
        header.msg_flags = urgent | if is_cut { libc::MSG_TRUNC } else { 0 };
        // SAFETY: the structure that was read.
        unsafe { message.write_unaligned(header) };
        let is_whole_wanted = flags.contains(MsgFlags::TRUNC);
        Ok(if is_whole_wanted { received.full_len } else { received.len })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_writev(fd: c_int, buffers_at: *const iovec, count: c_int) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        // SAFETY: so many buffers, as the header asks.
        let data = unsafe { buffers(buffers_at, length(count)?, libc::EINVAL) }?;
        open.socket.send_vectored(&data, None, MsgFlags::empty())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn minitcp_readv(fd: c_int, buffers_at: *const iovec, count: c_int) -> ssize_t {
    size(|| {
        let open = table::find(fd)?;
        // SAFETY: so many buffers, as the header asks.
        let mut out = unsafe { buffers_mut(buffers_at, length(count)?, libc::EINVAL) }?;
        open.socket.recv_vectored(&mut out, MsgFlags::empty()).map(|received| received.len)
    })
}

fn length(count: c_int) -> io::Result<size_t> {
    size_t::try_from(count).map_err(|_| errno::of(libc::EINVAL))
}

/// # Safety
/// `message` is null, or points to a structure.
unsafe fn message_at(message: *const msghdr) -> io::Result<msghdr> {
    if message.is_null() {
        return Err(errno::of(libc::EFAULT));
    }
    // SAFETY: as this function asks; any octets will do for numbers and pointers.
    Ok(unsafe { message.read_unaligned() })
}

/// Linux's `UIO_MAXIOV`.
const MOST_BUFFERS: size_t = 1024;

/// # Errors
/// `too_many` beyond 1024, `EFAULT` for null, `EINVAL` for lengths beyond `SSIZE_MAX` in all.
///
/// # Safety
/// `at` is null, or points to `count` structures.
unsafe fn raw_buffers(at: *const iovec, count: size_t, too_many: c_int) -> io::Result<Vec<iovec>> {
    if count > MOST_BUFFERS {
        return Err(errno::of(too_many));
    }
    if at.is_null() && count > 0 {
        return Err(errno::of(libc::EFAULT));
    }
    // SAFETY: as this function asks.
    let list: Vec<_> = (0..count).map(|place| unsafe { at.add(place).read_unaligned() }).collect();
    let total = list.iter().try_fold(0_usize, |sum, buffer| sum.checked_add(buffer.iov_len));
    match total.and_then(|total| isize::try_from(total).ok()) {
        Some(_) => Ok(list),
        None => Err(errno::of(libc::EINVAL)),
    }
}

/// # Safety
/// As of [`raw_buffers`]; and each buffer is null, or good for reading its octets.
unsafe fn buffers<'a>(
    at: *const iovec,
    count: size_t,
    too_many: c_int,
) -> io::Result<Vec<IoSlice<'a>>> {
    // SAFETY: as this function asks.
    let list = unsafe { raw_buffers(at, count, too_many) }?;
    // SAFETY: as this function asks.
    let one = |buffer: iovec| unsafe { octets(buffer.iov_base.cast(), buffer.iov_len) };
    list.into_iter().map(|buffer| one(buffer).map(IoSlice::new)).collect()
}

/// # Safety
/// As of [`raw_buffers`]; and each buffer is null, or good for writing its octets, which nobody
/// else uses meanwhile.
unsafe fn buffers_mut<'a>(
    at: *const iovec,
    count: size_t,
    too_many: c_int,
) -> io::Result<Vec<IoSliceMut<'a>>> {
    // SAFETY: as this function asks.
    let list = unsafe { raw_buffers(at, count, too_many) }?;
    // SAFETY: as this function asks.
    let one = |buffer: iovec| unsafe { octets_mut(buffer.iov_base.cast(), buffer.iov_len) };
    list.into_iter().map(|buffer| one(buffer).map(IoSliceMut::new)).collect()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn lists_of_buffers_are_checked() {
        let code = |list: &[iovec], count, too_many| {
            // SAFETY: `count` is at most the list's, or too many to be looked at.
            let result = unsafe { raw_buffers(list.as_ptr(), count, too_many) };
            result.err().and_then(|error| error.raw_os_error())
        };
        let buffer = |iov_len| iovec { iov_base: ptr::null_mut(), iov_len };
        assert_eq!(code(&[buffer(0), buffer(7)], 2, libc::EINVAL), None);
        assert_eq!(code(&[buffer(usize::MAX), buffer(1)], 2, 0), Some(libc::EINVAL));
        assert_eq!(code(&[], 1025, libc::EMSGSIZE), Some(libc::EMSGSIZE));
        // SAFETY: null is allowed.
        let null = unsafe { raw_buffers(ptr::null(), 1, 0) }.unwrap_err();
        assert_eq!(null.raw_os_error(), Some(libc::EFAULT));
    }
}
