//! MiniTCP sockets.
