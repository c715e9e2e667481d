//! Sockets of many threads, over a cable in memory.

mod bulk;
mod cable;
mod calls;
mod lone;
mod many;
mod races;
mod stress;
