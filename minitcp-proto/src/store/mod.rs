//! Containers on lent memory. None of them allocates, and none knows what it holds.
//!
//! What the lent memory holds when a container is made does not matter: it may have served before.

pub mod buffer;
pub mod heap;
pub mod lent;
pub mod line;
pub mod pool;
pub mod pressure;
pub mod queue;
pub mod ranges;
pub mod ring;
pub mod runs;
pub mod slab;
pub mod table;

pub use buffer::Buffer;
pub use heap::Heap;
pub use lent::Lent;
pub use line::Line;
pub use pool::{Block, BlockMeta, Pool};
pub use queue::{Link, Links, Queue};
pub use ranges::RangeSet;
pub use ring::Ring;
pub use runs::{Full, Leaf, Leaves, Run, Runs};
pub use slab::{CacheLine, Key, Slab, Slot};
pub use table::{Bucket, Table};

/// Stands for "no index" wherever an index is a `u32`; hence no container has 2³² entries.
const NONE: u32 = u32::MAX;

/// A length as `u32`; a longer slice is used only as far as `u32` counts.
#[inline]
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Containers print their name only: what they hold is long and may be secret.
macro_rules! opaque_debug {
    ($($name:ident $(<$($param:ident),+>)?),+) => {$(
        impl$(<$($param),+>)? core::fmt::Debug for $name<'_ $(, $($param),+)?> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}
opaque_debug!(Heap, Line<T>, Links, Pool, Slab<T, A>, Table);
