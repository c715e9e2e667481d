//! What is a stack holding on to, and what has it thrown away? A few lines for people.

use std::fmt;

use minitcp_proto::{Observer, Stack};

/// Prints one line of what is in use, one of traffic, one of SYN cookies if there were any, and one
/// for each reason of drops.
pub struct Summary<'a, 'm, O: Observer>(pub &'a Stack<'m, O>);

impl<O: Observer> fmt::Display for Summary<'_, '_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (usage, stats) = (self.0.usage(), self.0.stats());
        writeln!(
            f,
            "in use: {} connections, {} handshakes, {} in TIME_WAIT, {} octets of buffers",
            usage.connections, usage.half_open, usage.time_wait, usage.buffer_bytes
        )?;
        writeln!(
            f,
            "packets: {} received, {} sent, {} segments sent again",
            stats.packets_in, stats.packets_out, stats.retransmitted_segments
        )?;
        if stats.syn_cookies_sent > 0 {
            writeln!(
                f,
                "SYN cookies: {} sent, {} accepted, {} failed",
                stats.syn_cookies_sent, stats.syn_cookies_accepted, stats.syn_cookies_failed
            )?;
        }
        for (reason, count) in stats.drops().filter(|(_, count)| *count > 0) {
            writeln!(f, "dropped: {count}, {reason}")?;
        }
        Ok(())
    }
}

impl<O: Observer> fmt::Debug for Summary<'_, '_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed};

    #[test]
    fn only_what_has_happened_is_told() {
        let memory = Memory::allocate(&Limits::default());
        let mut stack = Stack::new(Config::new([10, 0, 0, 2], 24), memory, Seed::from_u64(1));
        stack.handle_packet(Instant::ZERO, &[0x45; 3], RxMeta::default());
        let text = Summary(&stack).to_string();
        assert_eq!(
            text,
            "in use: 0 connections, 0 handshakes, 0 in TIME_WAIT, 0 octets of buffers\n\
             packets: 1 received, 0 sent, 0 segments sent again\n\
             dropped: 1, truncated packet\n"
        );
    }
}
