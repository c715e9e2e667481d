//! Containers on lent memory. None of them allocates, and none knows what it holds.

pub mod lent;
pub use lent::Lent;
