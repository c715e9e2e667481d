//! Sockets of two hosts on one in-memory link, in virtual time.

mod options;
mod peers;
mod poll;
mod support;
mod tasks;
mod tcp;
mod udp;
mod urgent;
mod vectored;
