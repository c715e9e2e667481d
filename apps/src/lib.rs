//! MiniTCP apps.
