//! Bytes to values and back: pure functions, the only code that sees raw packets.
