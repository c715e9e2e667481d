//! Sockets of many threads, over a cable in memory.

mod cable;
mod lone;
mod many;
mod races;
mod stress;
