//! Every option, by what it does on the wire, to a call or to the clock.

mod buffers;
mod queries;
mod segments;
mod sharing;
mod times;
