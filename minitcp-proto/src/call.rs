//! What does an application ask of its stack? Every call that can change what leaves the host.
//!
//! An [`Observer`](crate::Observer) hears of each as it is made. With the settings, the seed and
//! the packets, they determine a stack: whoever makes the same calls again gets the same octets.
//! Calls that only look, and [`poll_event`](crate::Stack::poll_event), are not among them.

use core::net::SocketAddr;

use crate::config::Congestion;
use crate::ids::{ConnectionId, ListenerId, UdpId};
use crate::options::{BindOptions, ListenOptions, TcpOptions, UdpOptions};
use crate::time::Instant;

/// One call of an application, just before it has its effect. Named as the methods of
/// [`Stack`](crate::Stack) and [`Connection`](crate::Connection), which say what the fields mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the methods")]
pub enum Call<'a> {
    /// [`Stack::listen`](crate::Stack::listen).
    Listen { local: SocketAddr, backlog: u32 },
    /// [`Stack::tcp_bind`](crate::Stack::tcp_bind).
    TcpBind { local: SocketAddr, options: &'a BindOptions },
    /// [`Stack::start_listening`](crate::Stack::start_listening).
    StartListening { id: ListenerId, backlog: u32, options: &'a ListenOptions },
    /// [`Stack::accept`](crate::Stack::accept), with somebody waiting.
    Accept { id: ListenerId },
    /// [`Stack::set_listener_options`](crate::Stack::set_listener_options).
    SetListenerOptions { id: ListenerId, options: &'a ListenOptions },
    /// [`Stack::close_listener`](crate::Stack::close_listener).
    CloseListener { id: ListenerId },
    /// [`Stack::connect`](crate::Stack::connect) and
    /// [`connect_with`](crate::Stack::connect_with).
    Connect {
        /// The stack's clock moves on to it.
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &'a TcpOptions,
    },
    /// [`Stack::connect_from`](crate::Stack::connect_from).
    ConnectFrom {
        now: Instant,
        reservation: ListenerId,
        remote: SocketAddr,
        options: &'a TcpOptions,
    },
    /// [`Connection::send`](crate::Connection::send): at most the first `room` octets of `data`
    /// can be taken, of the others only the number matters.
    Send { id: ConnectionId, data: &'a [u8], room: usize },
    /// [`Connection::send_urgent`](crate::Connection::send_urgent): as `Send`.
    SendUrgent { id: ConnectionId, data: &'a [u8], room: usize },
    /// [`Connection::recv`](crate::Connection::recv) of at most `len` octets.
    Recv { id: ConnectionId, len: usize },
    /// [`Connection::recv_urgent`](crate::Connection::recv_urgent).
    RecvUrgent { id: ConnectionId, peek: bool },
    /// [`Connection::consume`](crate::Connection::consume).
    Consume { id: ConnectionId, count: usize },
    /// [`Connection::shutdown`](crate::Connection::shutdown).
    Shutdown { id: ConnectionId },
    /// [`Connection::close`](crate::Connection::close).
    Close { id: ConnectionId },
    /// [`Connection::abort`](crate::Connection::abort).
    Abort { id: ConnectionId },
    /// [`Connection::set_no_delay`](crate::Connection::set_no_delay).
    SetNoDelay { id: ConnectionId, no_delay: bool },
    /// [`Connection::set_congestion`](crate::Connection::set_congestion).
    SetCongestion { id: ConnectionId, congestion: Congestion },
    /// [`Connection::set_options`](crate::Connection::set_options).
    SetOptions { id: ConnectionId, options: &'a TcpOptions },
    /// [`Stack::udp_bind`](crate::Stack::udp_bind).
    UdpBind { local: SocketAddr },
    /// [`Stack::udp_bind_with`](crate::Stack::udp_bind_with).
    UdpBindWith { local: SocketAddr, options: &'a BindOptions },
    /// [`Stack::udp_set_options`](crate::Stack::udp_set_options).
    UdpSetOptions { id: UdpId, options: &'a UdpOptions },
    /// [`Stack::udp_connect`](crate::Stack::udp_connect).
    UdpConnect { id: UdpId, remote: Option<SocketAddr> },
    /// [`Stack::udp_take_error`](crate::Stack::udp_take_error).
    UdpTakeError { id: UdpId },
    /// [`Stack::udp_recv`](crate::Stack::udp_recv), with a datagram waiting.
    UdpRecv { id: UdpId },
    /// [`Stack::udp_send`](crate::Stack::udp_send).
    UdpSend { id: UdpId, to: SocketAddr, payload: &'a [u8] },
    /// [`Stack::udp_close`](crate::Stack::udp_close).
    UdpClose { id: UdpId },
}
