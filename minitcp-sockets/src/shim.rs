#![allow(missing_docs)]
use minitcp_proto::*;
use std::net::SocketAddr;
pub(crate) enum UdpFault {
    X,
}
pub(crate) trait Shim {
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
    fn udp_set_options(&mut self, _: UdpId, _: &UdpOptions) {}
    fn udp_connect(&mut self, id: UdpId, _: Option<SocketAddr>) -> Result<SocketAddr, UdpError> {
        Ok(self.udp_addr(id).unwrap())
    }
    fn udp_peer(&self, _: UdpId) -> Option<SocketAddr> {
        None
    }
    fn udp_take_error(&mut self, _: UdpId) -> Option<UdpFault> {
        None
    }
    fn udp_has_error(&self, _: UdpId) -> bool {
        false
    }
    fn udp_peek(&self, _: UdpId, _: &mut [u8]) -> Option<Received> {
        None
    }
    fn udp_readable_bytes(&self, _: UdpId) -> Option<usize> {
        None
    }
    fn udp_unsent_bytes(&self, _: UdpId) -> usize {
        0
    }
}
