//! MiniTCP driver-tun.
