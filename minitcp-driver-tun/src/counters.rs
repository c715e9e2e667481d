//! What a driver has done so far.

/// Counters since the driver was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets read from the device.
    pub packets_in: u64,
    /// Octets of them.
    pub bytes_in: u64,
    /// How many of them were super-packets, merged from several.
    pub bursts_in: u64,
    /// Packets that the device took.
    pub packets_out: u64,
    /// Octets of them.
    pub bytes_out: u64,
    /// How many of them were super-packets, for the kernel to cut or to take whole.
    pub bursts_out: u64,
    /// Times that the device was full and a packet went to the stash.
    pub stalls: u64,
    /// Packets that the device refused (the interface is down, or the kernel has no memory).
    pub dropped: u64,
    /// Packets read here that were for another of the device's queues, and were handed over.
    pub forwarded: u64,
    /// Such packets that had to be dropped, because the other one had too many to take already.
    pub forward_drops: u64,
    /// Calls of `epoll_wait`, with a timeout of zero or longer.
    pub polls: u64,
    /// Calls of `timerfd_settime`.
    pub alarms: u64,
}
