//! What can go wrong, by whose fault: the caller's ([`ConnectError`] and the like), the end of
//! a connection ([`CloseReason`]). What a peer does wrong is a counted [`Drop`](crate::Drop).

use core::fmt;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Both directions were closed in order.
    Finished,
    /// The peer answered our SYN with a reset, or its host by ICMP: nobody listens there.
    Refused,
    /// A router or the peer's host said that the host cannot be reached (RFC 9293 §3.9.2.2).
    HostUnreachable,
    /// A router said that there is no way to the network.
    NetUnreachable,
    /// The peer reset the connection (RFC 9293 §3.5.2).
    Reset,
    /// The peer did not answer within the user timeout (RFC 9293 §3.8.3, R2).
    TimedOut,
    /// The application aborted the connection.
    Aborted,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "connection closed",
            Self::Refused => "connection refused",
            Self::HostUnreachable => "host unreachable",
            Self::NetUnreachable => "network unreachable",
            Self::Reset => "connection reset by peer",
            Self::TimedOut => "connection timed out",
            Self::Aborted => "connection aborted",
        })
    }
}

/// What troubles a connection that lives on (RFC 9293 §3.9.1.8, soft errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// R1: the peer was asked again three times and has not answered (RFC 9293 §3.8.3).
    NoAnswer,
    /// A router, or the peer's host, said this of a segment that is not acknowledged.
    Reported(UdpFault),
}

impl Trouble {
    /// Why the connection ended, if R2 was reached in this trouble: as Linux, what was reported
    /// tells more than that time was up.
    pub(crate) const fn as_end(this: Option<Self>) -> CloseReason {
        match this {
            Some(Self::Reported(UdpFault::NetUnreachable)) => CloseReason::NetUnreachable,
            Some(Self::Reported(UdpFault::PortUnreachable | UdpFault::ProtocolUnreachable)) => {
                CloseReason::Refused
            }
            Some(Self::Reported(
                UdpFault::HostUnreachable | UdpFault::Prohibited | UdpFault::TimeExceeded,
            )) => CloseReason::HostUnreachable,
            Some(Self::NoAnswer | Self::Reported(UdpFault::TooBig | UdpFault::BadParameter))
            | None => CloseReason::TimedOut,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer for a while"),
            Self::Reported(fault) => fault.fmt(f),
        }
    }
}

/// Declares a small `Copy` error enum with one sentence a variant.
macro_rules! errors {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl core::error::Error for $name {}
    )+};
}

errors! {
    /// Why a socket was not bound ([`Stack::listen`](crate::Stack::listen),
    /// [`Stack::udp_bind`](crate::Stack::udp_bind) and their like).
    BindError {
        /// Another socket or a connection has this address and port, and does not share them.
        InUse = "address already in use",
        /// The address is not one of this host's.
        NotOurs = "address is not one of this host's",
        /// No slot is left for another socket of this kind.
        NoSlot = "too many sockets of this kind",
        /// Every ephemeral port is taken.
        NoPort = "no ephemeral port is free",
        /// The id names no socket.
        Stale = "no such socket",
    }
    /// Why [`Stack::connect`](crate::Stack::connect) refused.
    ConnectError {
        /// The remote address is unspecified, broadcast, multicast, loopback, reserved, IPv4 in
        /// IPv6 or our own, or its port is 0 (RFC 9293 MUST-46).
        InvalidRemote = "remote address cannot be connected to",
        /// The chosen local address is not one of this host's, or none fits the remote's version.
        NotOurs = "no local address fits",
        /// The four-tuple is in use (RFC 9293 §3.9.1.1: "connection already exists").
        InUse = "address already in use",
        /// No connection slot is left.
        NoSlot = "too many connections",
        /// Every ephemeral port towards this remote is taken.
        NoPort = "no ephemeral port is free",
    }
    /// Why [`Connection::set_options`](crate::Connection::set_options) refused.
    OptionError {
        /// A value is out of the range that its field documents.
        Invalid = "option value out of range",
    }
    /// Why [`Connection::recv_urgent`](crate::Connection::recv_urgent) has no octet.
    UrgentError {
        /// None was announced, it was read or passed, or it stands in line.
        Nothing = "no urgent octet",
        /// It was announced, and has not come.
        WouldBlock = "the urgent octet has not come",
        /// It was announced, and the stream has ended before it.
        Finished = "the urgent octet will not come",
    }
    /// Why [`Connection::send`](crate::Connection::send) refused.
    SendError {
        /// The write side is shut down (RFC 9293 §3.9.1.2: "connection closing").
        Closing = "the write side is closed",
        /// The connection has ended;
        /// [`Connection::close_reason`](crate::Connection::close_reason) says why.
        Closed = "the connection has ended",
    }
    /// Why [`Connection::recv`](crate::Connection::recv) has no bytes.
    RecvError {
        /// Nothing to read now.
        WouldBlock = "nothing to read yet",
        /// The connection ended otherwise than by the peer's FIN.
        Closed = "the connection has ended",
    }
    /// Why [`Stack::udp_send`](crate::Stack::udp_send) or
    /// [`Stack::udp_connect`](crate::Stack::udp_connect) refused.
    UdpError {
        /// The id names no bound socket.
        Stale = "no such socket",
        /// The datagram exceeds what the MTU or the protocol allows.
        TooBig = "datagram too big",
        /// The destination cannot be reached from this host (wrong IP version, port 0,
        /// unspecified, loopback, reserved, IPv4 in IPv6, our own).
        InvalidRemote = "remote address cannot be sent to",
        /// The send queue of this socket is full, or its share of the stack's memory.
        WouldBlock = "send queue full",
        /// The destination is a broadcast address, and
        /// [`UdpOptions::broadcast`](crate::UdpOptions::broadcast) is off.
        NeedsBroadcast = "broadcast not permitted",
    }
    /// What ICMP said of a datagram that a connected UDP socket sent.
    UdpFault {
        /// Nobody has bound the port.
        PortUnreachable = "port unreachable",
        /// The host does not answer, or some other way of not reaching it.
        HostUnreachable = "host unreachable",
        /// There is no way to the network.
        NetUnreachable = "network unreachable",
        /// The host does not speak UDP.
        ProtocolUnreachable = "protocol unreachable",
        /// Somebody on the way does not allow it.
        Prohibited = "communication prohibited",
        /// The datagram exceeds the MTU of some link.
        TooBig = "datagram too big for the path",
        /// The datagram ran out of hops, or its reassembly out of time.
        TimeExceeded = "time exceeded on the way",
        /// A header was not understood.
        BadParameter = "header not understood by the peer",
    }
}

impl core::error::Error for CloseReason {}
