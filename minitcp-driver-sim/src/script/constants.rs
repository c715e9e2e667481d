//! Which names may a script use, and what numbers are they? The values of Linux on most machines
//! (asm-generic), since that is where scripts come from.

/// The value of a constant in an argument or a result, such as `SO_REUSEADDR`.
///
/// ```
/// use minitcp_driver_sim::script::constants::lookup;
/// assert_eq!(lookup("SOL_SOCKET"), Some(1));
/// assert_eq!(lookup("SOL_NOTHING"), None);
/// ```
pub fn lookup(name: &str) -> Option<i64> {
    let shared = || find(CODE_CONSTANTS, name).filter(|_| name.starts_with("TCP"));
    find(CONSTANTS, name).or_else(|| errno(name).map(i64::from)).or_else(shared)
}

/// The number of an `errno` name.
pub fn errno(name: &str) -> Option<i32> {
    find(ERRNOS, name)
}

/// The name of an `errno` number; the first one where two names share a number.
pub fn errno_name(number: i32) -> Option<&'static str> {
    ERRNOS.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// The size in bytes of a type in `sizeof(type)`.
pub fn size_of(name: &str) -> Option<i64> {
    find(SIZES, name)
}

/// The value of a constant in code, such as `TCP_ESTABLISHED`.
pub fn code_constant(name: &str) -> Option<i64> {
    let named_like_tcp = || find(CONSTANTS, name).filter(|_| name.starts_with("TCP_"));
    find(CODE_CONSTANTS, name).or_else(named_like_tcp)
}

/// Whether `name` is a field of `tcp_info` that code may name.
pub fn is_tcp_info_field(name: &str) -> bool {
    TCP_INFO_FIELDS.contains(&name)
}

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

#[rustfmt::skip]
const CONSTANTS: &[(&str, i64)] = &[
    // Address families, protocols, socket types, levels.
    ("AF_UNSPEC", 0), ("AF_UNIX", 1), ("AF_LOCAL", 1), ("AF_INET", 2), ("AF_INET6", 10),
    ("PF_UNSPEC", 0), ("PF_INET", 2), ("PF_INET6", 10), ("SOCK_STREAM", 1), ("SOCK_DGRAM", 2),
    ("SOCK_RAW", 3), ("SOCK_SEQPACKET", 5), ("SOCK_NONBLOCK", 2048), ("SOCK_CLOEXEC", 524288),
    ("IPPROTO_IP", 0), ("IPPROTO_ICMP", 1), ("IPPROTO_TCP", 6), ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41), ("IPPROTO_ICMPV6", 58), ("IPPROTO_RAW", 255), ("SOL_SOCKET", 1),
    ("SOL_IP", 0), ("SOL_IPV6", 41), ("SOL_TCP", 6), ("SOL_UDP", 17), ("SOMAXCONN", 4096),
    ("INADDR_ANY", 0), ("SHUT_RD", 0), ("SHUT_WR", 1), ("SHUT_RDWR", 2),
    // Options of any socket.
    ("SO_DEBUG", 1), ("SO_REUSEADDR", 2), ("SO_TYPE", 3), ("SO_ERROR", 4), ("SO_DONTROUTE", 5),
    ("SO_BROADCAST", 6), ("SO_SNDBUF", 7), ("SO_RCVBUF", 8), ("SO_KEEPALIVE", 9),
    ("SO_OOBINLINE", 10), ("SO_NO_CHECK", 11), ("SO_PRIORITY", 12), ("SO_LINGER", 13),
    ("SO_BSDCOMPAT", 14), ("SO_REUSEPORT", 15), ("SO_PASSCRED", 16), ("SO_PEERCRED", 17),
    ("SO_RCVLOWAT", 18), ("SO_SNDLOWAT", 19), ("SO_RCVTIMEO", 20), ("SO_SNDTIMEO", 21),
    ("SO_BINDTODEVICE", 25), ("SO_ATTACH_FILTER", 26), ("SO_DETACH_FILTER", 27),
    ("SO_PEERNAME", 28), ("SO_TIMESTAMP", 29), ("SO_ACCEPTCONN", 30), ("SO_PEERSEC", 31),
    ("SO_SNDBUFFORCE", 32), ("SO_RCVBUFFORCE", 33), ("SO_MARK", 36), ("SO_TIMESTAMPING", 37),
    ("SO_PROTOCOL", 38), ("SO_DOMAIN", 39), ("SO_RXQ_OVFL", 40), ("SO_PEEK_OFF", 42),
    ("SO_BUSY_POLL", 46), ("SO_MAX_PACING_RATE", 47), ("SO_INCOMING_CPU", 49), ("SO_MEMINFO", 55),
    ("SO_ZEROCOPY", 60), ("SO_TXTIME", 61),
    // Options of IP.
    ("IP_TOS", 1), ("IP_TTL", 2), ("IP_MTU_DISCOVER", 10), ("IP_RECVERR", 11), ("IP_RECVTTL", 12),
    ("IP_RECVTOS", 13), ("IP_MTU", 14), ("IP_FREEBIND", 15), ("IP_PMTUDISC_DONT", 0),
    ("IP_PMTUDISC_WANT", 1), ("IP_PMTUDISC_DO", 2), ("IP_PMTUDISC_PROBE", 3),
    ("IPV6_UNICAST_HOPS", 16), ("IPV6_MTU_DISCOVER", 23), ("IPV6_MTU", 24), ("IPV6_RECVERR", 25),
    ("IPV6_V6ONLY", 26), ("IPTOS_LOWDELAY", 0x10), ("IPTOS_THROUGHPUT", 8),
    ("IPTOS_RELIABILITY", 4), ("IPTOS_DSCP_CS0", 0), ("IPTOS_DSCP_CS1", 0x20),
    ("IPTOS_DSCP_CS2", 0x40), ("IPTOS_DSCP_CS3", 0x60), ("IPTOS_DSCP_CS4", 0x80),
    ("IPTOS_DSCP_CS5", 0xa0), ("IPTOS_DSCP_CS6", 0xc0), ("IPTOS_DSCP_CS7", 0xe0),
    ("IPTOS_DSCP_EF", 0xb8), ("IPV6_TCLASS", 67), ("IPV6_RECVTCLASS", 66), ("IPV6_HOPLIMIT", 52),
    // Options of TCP.
    ("TCP_NODELAY", 1), ("TCP_MAXSEG", 2), ("TCP_CORK", 3), ("TCP_KEEPIDLE", 4),
    ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 6), ("TCP_SYNCNT", 7), ("TCP_LINGER2", 8),
    ("TCP_DEFER_ACCEPT", 9), ("TCP_WINDOW_CLAMP", 10), ("TCP_INFO", 11), ("TCP_QUICKACK", 12),
    ("TCP_CONGESTION", 13), ("TCP_MD5SIG", 14), ("TCP_COOKIE_TRANSACTIONS", 15),
    ("TCP_THIN_LINEAR_TIMEOUTS", 16), ("TCP_THIN_DUPACK", 17), ("TCP_USER_TIMEOUT", 18),
    ("TCP_REPAIR", 19), ("TCP_REPAIR_QUEUE", 20), ("TCP_QUEUE_SEQ", 21), ("TCP_REPAIR_OPTIONS", 22),
    ("TCP_FASTOPEN", 23),
    ("TCP_TIMESTAMP", 24), ("TCP_NOTSENT_LOWAT", 25), ("TCP_CC_INFO", 26), ("TCP_SAVE_SYN", 27),
    ("TCP_SAVED_SYN", 28), ("TCP_REPAIR_WINDOW", 29), ("TCP_FASTOPEN_CONNECT", 30), ("TCP_ULP", 31),
    ("TCP_MD5SIG_EXT", 32), ("TCP_FASTOPEN_KEY", 33), ("TCP_FASTOPEN_NO_COOKIE", 34),
    ("TCP_ZEROCOPY_RECEIVE", 35), ("TCP_INQ", 36), ("TCP_CM_INQ", 36), ("TCP_TX_DELAY", 37),
    ("TCP_AO_ADD_KEY", 38), ("TCP_AO_DEL_KEY", 39), ("TCP_AO_INFO", 40), ("TCP_AO_GET_KEYS", 41),
    ("TCP_AO_REPAIR", 42), ("TCP_IS_MPTCP", 43), ("TCP_RTO_MAX_MS", 44), ("TCP_RTO_MIN_US", 45),
    ("TCP_DELACK_MAX_US", 46),
    // The other numbers of <linux/tcp.h>, as a little-endian machine has them.
    ("TCP_REPAIR_ON", 1), ("TCP_REPAIR_OFF", 0), ("TCP_REPAIR_OFF_NO_WP", -1),
    ("TCP_NO_QUEUE", 0), ("TCP_RECV_QUEUE", 1), ("TCP_SEND_QUEUE", 2), ("TCP_QUEUES_NR", 3),
    ("TCP_MSS_DEFAULT", 536), ("TCP_MSS_DESIRED", 1220), ("TCP_MD5SIG_MAXKEYLEN", 80),
    ("TCP_MD5SIG_FLAG_PREFIX", 1), ("TCP_MD5SIG_FLAG_IFINDEX", 2),
    ("TCP_AO_MAXKEYLEN", 80), ("TCP_AO_KEYF_IFINDEX", 1), ("TCP_AO_KEYF_EXCLUDE_OPT", 2),
    ("TCP_RECEIVE_ZEROCOPY_FLAG_TLB_CLEAN_HINT", 1),
    ("TCP_FLAG_AE", 0x1), ("TCP_FLAG_CWR", 0x8000), ("TCP_FLAG_ECE", 0x4000),
    ("TCP_FLAG_URG", 0x2000), ("TCP_FLAG_ACK", 0x1000), ("TCP_FLAG_PSH", 0x800),
    ("TCP_FLAG_RST", 0x400), ("TCP_FLAG_SYN", 0x200), ("TCP_FLAG_FIN", 0x100),
    ("TCP_RESERVED_BITS", 0xf), ("TCP_DATA_OFFSET", 0xf0),
    ("TFO_STATUS_UNSPEC", 0), ("TFO_COOKIE_UNAVAILABLE", 1), ("TFO_DATA_NOT_ACKED", 2),
    ("TFO_SYN_RETRANSMITTED", 3),
    // Flags of calls.
    ("MSG_OOB", 1), ("MSG_PEEK", 2), ("MSG_DONTROUTE", 4), ("MSG_CTRUNC", 8), ("MSG_PROXY", 0x10),
    ("MSG_TRUNC", 0x20), ("MSG_DONTWAIT", 0x40), ("MSG_EOR", 0x80), ("MSG_WAITALL", 0x100),
    ("MSG_FIN", 0x200), ("MSG_SYN", 0x400), ("MSG_CONFIRM", 0x800), ("MSG_RST", 0x1000),
    ("MSG_ERRQUEUE", 0x2000), ("MSG_NOSIGNAL", 0x4000), ("MSG_MORE", 0x8000),
    ("MSG_WAITFORONE", 0x10000), ("MSG_ZEROCOPY", 0x4000000), ("MSG_FASTOPEN", 0x20000000),
    ("MSG_CMSG_CLOEXEC", 0x40000000), ("O_RDONLY", 0), ("O_WRONLY", 1), ("O_RDWR", 2),
    ("O_ACCMODE", 3), ("O_CREAT", 0x40), ("O_EXCL", 0x80), ("O_NOCTTY", 0x100), ("O_TRUNC", 0x200),
    ("O_APPEND", 0x400), ("O_NONBLOCK", 0x800), ("O_CLOEXEC", 0x80000), ("F_DUPFD", 0),
    ("F_GETFD", 1), ("F_SETFD", 2), ("F_GETFL", 3), ("F_SETFL", 4), ("F_DUPFD_CLOEXEC", 1030),
    ("FD_CLOEXEC", 1), ("FIONREAD", 0x541b), ("FIONBIO", 0x5421), ("SIOCINQ", 0x541b),
    ("SIOCOUTQ", 0x5411), ("SIOCOUTQNSD", 0x894b), ("SIOCATMARK", 0x8905), ("POLLIN", 1),
    ("POLLPRI", 2), ("POLLOUT", 4), ("POLLERR", 8), ("POLLHUP", 0x10), ("POLLNVAL", 0x20),
    ("POLLRDNORM", 0x40), ("POLLRDBAND", 0x80), ("POLLWRNORM", 0x100), ("POLLWRBAND", 0x200),
    ("POLLMSG", 0x400), ("POLLREMOVE", 0x1000), ("POLLRDHUP", 0x2000),
    // What epoll(7) has of its own, and where it has the names of poll(2) anew.
    ("EPOLL_CTL_ADD", 1), ("EPOLL_CTL_DEL", 2), ("EPOLL_CTL_MOD", 3), ("EPOLL_CLOEXEC", 0x80000),
    ("EPOLLIN", 1), ("EPOLLPRI", 2), ("EPOLLOUT", 4), ("EPOLLERR", 8), ("EPOLLHUP", 0x10),
    ("EPOLLRDNORM", 0x40), ("EPOLLRDBAND", 0x80), ("EPOLLWRNORM", 0x100), ("EPOLLWRBAND", 0x200),
    ("EPOLLMSG", 0x400), ("EPOLLRDHUP", 0x2000), ("EPOLLEXCLUSIVE", 1 << 28),
    ("EPOLLWAKEUP", 1 << 29), ("EPOLLONESHOT", 1 << 30), ("EPOLLET", 1 << 31),
    ("NULL", 0),
];

#[rustfmt::skip]
const ERRNOS: &[(&str, i32)] = &[
    ("EPERM", 1), ("ENOENT", 2), ("ESRCH", 3), ("EINTR", 4), ("EIO", 5), ("ENXIO", 6), ("E2BIG", 7),
    ("ENOEXEC", 8), ("EBADF", 9), ("ECHILD", 10), ("EAGAIN", 11), ("EWOULDBLOCK", 11),
    ("ENOMEM", 12), ("EACCES", 13), ("EFAULT", 14), ("ENOTBLK", 15), ("EBUSY", 16), ("EEXIST", 17),
    ("EXDEV", 18), ("ENODEV", 19), ("ENOTDIR", 20), ("EISDIR", 21), ("EINVAL", 22), ("ENFILE", 23),
    ("EMFILE", 24), ("ENOTTY", 25), ("ETXTBSY", 26), ("EFBIG", 27), ("ENOSPC", 28), ("ESPIPE", 29),
    ("EROFS", 30), ("EMLINK", 31), ("EPIPE", 32), ("EDOM", 33), ("ERANGE", 34), ("EDEADLK", 35),
    ("ENAMETOOLONG", 36), ("ENOLCK", 37), ("ENOSYS", 38), ("ENOTEMPTY", 39), ("ELOOP", 40),
    ("ENOMSG", 42), ("EPROTO", 71), ("EBADMSG", 74), ("EOVERFLOW", 75), ("EBADFD", 77),
    ("EILSEQ", 84), ("ENOTSOCK", 88), ("EDESTADDRREQ", 89), ("EMSGSIZE", 90), ("EPROTOTYPE", 91),
    ("ENOPROTOOPT", 92), ("EPROTONOSUPPORT", 93), ("ESOCKTNOSUPPORT", 94), ("EOPNOTSUPP", 95),
    ("ENOTSUP", 95), ("EPFNOSUPPORT", 96), ("EAFNOSUPPORT", 97), ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99), ("ENETDOWN", 100), ("ENETUNREACH", 101), ("ENETRESET", 102),
    ("ECONNABORTED", 103), ("ECONNRESET", 104), ("ENOBUFS", 105), ("EISCONN", 106),
    ("ENOTCONN", 107), ("ESHUTDOWN", 108), ("ETOOMANYREFS", 109), ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111), ("EHOSTDOWN", 112), ("EHOSTUNREACH", 113), ("EALREADY", 114),
    ("EINPROGRESS", 115), ("ESTALE", 116), ("EDQUOT", 122), ("ECANCELED", 125),
    ("EKEYREJECTED", 129),
];

const SIZES: &[(&str, i64)] = &[
    ("char", 1),
    ("short", 2),
    ("int", 4),
    ("long", 8),
    ("socklen_t", 4),
    ("struct linger", 8),
    ("struct timeval", 16),
    ("struct pollfd", 8),
    ("struct sockaddr_in", 16),
    ("struct sockaddr_in6", 28),
];

#[rustfmt::skip]
const CODE_CONSTANTS: &[(&str, i64)] = &[
    ("True", 1), ("False", 0),
    ("TCP_ESTABLISHED", 1), ("TCP_SYN_SENT", 2), ("TCP_SYN_RECV", 3), ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5), ("TCP_TIME_WAIT", 6), ("TCP_CLOSE", 7), ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9), ("TCP_LISTEN", 10), ("TCP_CLOSING", 11),
    // FreeBSD's names for the same states.
    ("TCPI_ESTABLISHED", 1), ("TCPI_SYN_SENT", 2), ("TCPI_SYN_RECEIVED", 3),
    ("TCPI_FIN_WAIT_1", 4), ("TCPI_FIN_WAIT_2", 5), ("TCPI_TIME_WAIT", 6), ("TCPI_CLOSED", 7),
    ("TCPI_CLOSE_WAIT", 8), ("TCPI_LAST_ACK", 9), ("TCPI_LISTEN", 10), ("TCPI_CLOSING", 11),
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1), ("TCP_CA_CWR", 2), ("TCP_CA_Recovery", 3), ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1), ("TCPI_OPT_SACK", 2), ("TCPI_OPT_WSCALE", 4), ("TCPI_OPT_ECN", 8),
    ("TCPI_OPT_ECN_SEEN", 16), ("TCPI_OPT_SYN_DATA", 32), ("TCPI_OPT_USEC_TS", 64),
    ("TCPI_OPT_TFO_CHILD", 128), ("TCPF_CA_Open", 1), ("TCPF_CA_Disorder", 2), ("TCPF_CA_CWR", 4),
    ("TCPF_CA_Recovery", 8), ("TCPF_CA_Loss", 16),
    ("TCP_NLA_PAD", 0), ("TCP_NLA_BUSY", 1), ("TCP_NLA_RWND_LIMITED", 2),
    ("TCP_NLA_SNDBUF_LIMITED", 3), ("TCP_NLA_DATA_SEGS_OUT", 4), ("TCP_NLA_TOTAL_RETRANS", 5),
    ("TCP_NLA_PACING_RATE", 6), ("TCP_NLA_DELIVERY_RATE", 7), ("TCP_NLA_SND_CWND", 8),
    ("TCP_NLA_REORDERING", 9), ("TCP_NLA_MIN_RTT", 10), ("TCP_NLA_RECUR_RETRANS", 11),
    ("TCP_NLA_DELIVERY_RATE_APP_LMT", 12), ("TCP_NLA_SNDQ_SIZE", 13), ("TCP_NLA_CA_STATE", 14),
    ("TCP_NLA_SND_SSTHRESH", 15), ("TCP_NLA_DELIVERED", 16), ("TCP_NLA_DELIVERED_CE", 17),
    ("TCP_NLA_BYTES_SENT", 18), ("TCP_NLA_BYTES_RETRANS", 19), ("TCP_NLA_DSACK_DUPS", 20),
    ("TCP_NLA_REORD_SEEN", 21), ("TCP_NLA_SRTT", 22), ("TCP_NLA_TIMEOUT_REHASH", 23),
    ("TCP_NLA_BYTES_NOTSENT", 24), ("TCP_NLA_EDT", 25), ("TCP_NLA_TTL", 26),
    ("TCP_NLA_REHASH", 27),
];

#[rustfmt::skip]
const TCP_INFO_FIELDS: &[&str] = &[
    "tcpi_state", "tcpi_ca_state", "tcpi_retransmits", "tcpi_probes", "tcpi_backoff",
    "tcpi_options", "tcpi_snd_wscale", "tcpi_rcv_wscale", "tcpi_delivery_rate_app_limited",
    "tcpi_rto", "tcpi_ato", "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_unacked", "tcpi_sacked",
    "tcpi_lost", "tcpi_retrans", "tcpi_fackets", "tcpi_last_data_sent", "tcpi_last_ack_sent",
    "tcpi_last_data_recv", "tcpi_last_ack_recv", "tcpi_pmtu", "tcpi_rcv_ssthresh", "tcpi_rtt",
    "tcpi_rttvar", "tcpi_snd_ssthresh", "tcpi_snd_cwnd", "tcpi_advmss", "tcpi_reordering",
    "tcpi_rcv_rtt", "tcpi_rcv_space", "tcpi_total_retrans", "tcpi_pacing_rate",
    "tcpi_max_pacing_rate", "tcpi_bytes_acked", "tcpi_bytes_received", "tcpi_segs_out",
    "tcpi_segs_in", "tcpi_notsent_bytes", "tcpi_min_rtt", "tcpi_data_segs_in", "tcpi_data_segs_out",
    "tcpi_delivery_rate", "tcpi_busy_time", "tcpi_rwnd_limited", "tcpi_sndbuf_limited",
    "tcpi_delivered", "tcpi_delivered_ce", "tcpi_bytes_sent", "tcpi_bytes_retrans",
    "tcpi_dsack_dups", "tcpi_reord_seen", "tcpi_rcv_ooopack", "tcpi_snd_wnd", "tcpi_rcv_wnd",
    "tcpi_rehash", "tcpi_total_rto", "tcpi_total_rto_recoveries", "tcpi_total_rto_time",
    "tcpi_fastopen_client_fail", "tcpi_received_ce", "tcpi_delivered_e1_bytes",
    "tcpi_delivered_e0_bytes", "tcpi_delivered_ce_bytes", "tcpi_received_e1_bytes",
    "tcpi_received_e0_bytes", "tcpi_received_ce_bytes", "tcpi_ecn_mode", "tcpi_accecn_opt_seen",
    "tcpi_accecn_fail_mode", "tcpi_options2",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once() {
        let names = CONSTANTS.iter().map(|(name, _)| *name);
        let names: Vec<_> = names.chain(ERRNOS.iter().map(|(name, _)| *name)).collect();
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
    }

    /// Every name that this machine's kernel headers have, if it has some.
    #[test]
    fn the_names_of_the_kernel_are_known() {
        let Ok(header) = std::fs::read_to_string("/usr/include/linux/tcp.h") else { return };
        let words = header.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let mut count = 0;
        for word in words {
            let (rest, is_field) = match (word.strip_prefix("tcpi_"), word.strip_prefix("TCP")) {
                (Some(rest), _) => (rest, true),
                (None, Some(rest)) if rest.starts_with(['_', 'I', 'F']) => (rest, false),
                (None, _) => continue,
            };
            let is_attribute = rest.ends_with("_F") || rest.ends_with("_LEN");
            if rest.is_empty() || is_attribute {
                continue;
            }
            let is_known = match is_field {
                true => is_tcp_info_field(word),
                false => lookup(word).is_some() && code_constant(word).is_some(),
            };
            assert!(is_known, "{word}");
            count += 1;
        }
        assert!(count > 100, "only {count} names found");
    }

    #[test]
    fn known_values() {
        let table: &[(&str, i64)] = &[
            ("AF_INET6", 10),
            ("SOCK_NONBLOCK", 0o4000),
            ("SO_REUSEPORT", 15),
            ("TCP_INFO", 11),
            ("TCP_FASTOPEN", 23),
            ("MSG_FASTOPEN", 0x2000_0000),
            ("O_NONBLOCK", 0o4000),
            ("POLLRDHUP", 0x2000),
            ("SHUT_RDWR", 2),
            ("IPPROTO_TCP", 6),
            ("F_SETFL", 4),
            ("ECONNRESET", 104),
            ("SIOCINQ", 0x541b),
            ("SOL_UDP", 17),
            ("SO_LINGER", 13),
        ];
        for (name, value) in table {
            assert_eq!(lookup(name), Some(*value), "{name}");
        }
        assert_eq!((errno("EAGAIN"), errno_name(11)), (Some(11), Some("EAGAIN")));
        assert_eq!(errno("SO_LINGER"), None);
        assert_eq!(code_constant("TCP_CLOSE_WAIT"), Some(8));
        assert_eq!(code_constant("TCP_CA_Loss"), Some(4));
        assert!(is_tcp_info_field("tcpi_snd_cwnd") && !is_tcp_info_field("tcpi_nothing"));
    }
}
