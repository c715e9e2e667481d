//! Memory given once: owned by the stack, or borrowed from the embedder.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

/// A slice that is either owned (feature `alloc`) or borrowed for `'m`. It never grows.
///
/// Both variants are a pointer and a length, so that reaching the slice costs no branch.
#[derive(Debug)]
pub enum Lent<'m, T> {
    /// Taken from the global allocator at construction.
    #[cfg(feature = "alloc")]
    Owned(Box<[T]>),
    /// Lent by the caller, for instance a static.
    Borrowed(&'m mut [T]),
}

#[cfg(feature = "alloc")]
impl<T: Clone> Lent<'_, T> {
    /// Allocates `count` copies of `value`.
    pub fn allocate(count: usize, value: T) -> Self {
        Self::Owned(alloc::vec![value; count].into_boxed_slice())
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            #[cfg(feature = "alloc")]
            Self::Owned(slice) => slice,
            Self::Borrowed(slice) => slice,
        }
    }
}

impl<T> DerefMut for Lent<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            #[cfg(feature = "alloc")]
            Self::Owned(slice) => slice,
            Self::Borrowed(slice) => slice,
        }
    }
}

impl<'m, T> From<&'m mut [T]> for Lent<'m, T> {
    fn from(slice: &'m mut [T]) -> Self {
        Self::Borrowed(slice)
    }
}
