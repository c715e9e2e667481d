#![allow(missing_docs)]
use minitcp_proto::*;
use std::net::SocketAddr;
pub(crate) enum UdpFault { X }
pub(crate) trait Shim {
    fn tcp_bind(&mut self, a: SocketAddr, o: BindOptions) -> Result<ListenerId, BindError>;
    fn start_listening(&mut self, id: ListenerId, b: u32, o: &ListenOptions) -> Result<(), BindError>;
    fn set_listener_options(&mut self, id: ListenerId, o: &ListenOptions);
    fn connect_with(&mut self, now: Instant, r: SocketAddr, from: Option<ListenerId>, o: &TcpOptions) -> Result<ConnectionId, ConnectError>;
    fn udp_bind_with(&mut self, a: SocketAddr, o: BindOptions) -> Result<UdpId, BindError>;
    fn udp_set_options(&mut self, id: UdpId, o: &UdpOptions);
    fn udp_connect(&mut self, id: UdpId, a: Option<SocketAddr>) -> Result<SocketAddr, UdpError>;
    fn udp_peer(&self, id: UdpId) -> Option<SocketAddr>;
    fn udp_take_error(&mut self, id: UdpId) -> Option<UdpFault>;
    fn udp_has_error(&self, id: UdpId) -> bool;
    fn udp_peek(&self, id: UdpId, out: &mut [u8]) -> Option<Received>;
    fn udp_readable_bytes(&self, id: UdpId) -> Option<usize>;
    fn udp_unsent_bytes(&self, id: UdpId) -> usize;
}
impl<O: Observer> Shim for Stack<'static, O> {
    fn tcp_bind(&mut self, a: SocketAddr, _: BindOptions) -> Result<ListenerId, BindError> { self.listen(a, 128) }
    fn start_listening(&mut self, _: ListenerId, _: u32, _: &ListenOptions) -> Result<(), BindError> { Ok(()) }
    fn set_listener_options(&mut self, _: ListenerId, _: &ListenOptions) {}
    fn connect_with(&mut self, now: Instant, r: SocketAddr, _: Option<ListenerId>, _: &TcpOptions) -> Result<ConnectionId, ConnectError> { self.connect(now, r, None) }
    fn udp_bind_with(&mut self, a: SocketAddr, _: BindOptions) -> Result<UdpId, BindError> { self.udp_bind(a) }
    fn udp_set_options(&mut self, _: UdpId, _: &UdpOptions) {}
    fn udp_connect(&mut self, id: UdpId, _: Option<SocketAddr>) -> Result<SocketAddr, UdpError> { Ok(self.udp_addr(id).unwrap()) }
    fn udp_peer(&self, _: UdpId) -> Option<SocketAddr> { None }
    fn udp_take_error(&mut self, _: UdpId) -> Option<UdpFault> { None }
    fn udp_has_error(&self, _: UdpId) -> bool { false }
    fn udp_peek(&self, _: UdpId, _: &mut [u8]) -> Option<Received> { None }
    fn udp_readable_bytes(&self, _: UdpId) -> Option<usize> { None }
    fn udp_unsent_bytes(&self, _: UdpId) -> usize { 0 }
}
pub(crate) trait ShimC { fn set_options(&mut self, o: &TcpOptions) -> Result<(), OptionError>; }
impl<O: Observer> ShimC for Connection<'_, '_, O> { fn set_options(&mut self, o: &TcpOptions) -> Result<(), OptionError> { self.set_no_delay(o.no_delay); Ok(()) } }
