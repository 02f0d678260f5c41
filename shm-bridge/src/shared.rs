//! A slice of atomic cells over memory that another process may write at any time.
//!
//! `Shared<T>` keeps the mapping alive that it points into. `T` is made of atomic words only (that is what [`Cells`]
//! promises), so a `&[T]` over live shared memory is sound: every access is an atomic one.
#![allow(unsafe_code)]

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

use crate::segment::Mapping;

/// Types made of atomic words only, for which any bit pattern is valid.
///
/// # Safety
/// Every byte of the type belongs to an atomic integer; there is no padding, pointer, bool or enum in it.
pub unsafe trait Cells: Sync + Send {}

// SAFETY: an atomic word is made of one atomic word, and any bit pattern is an integer.
unsafe impl Cells for crate::sync::AtomicU64 {}
// SAFETY: as above.
unsafe impl Cells for crate::sync::AtomicU32 {}
// SAFETY: an array of cells is nothing but cells; arrays have no padding between elements.
unsafe impl<T: Cells, const N: usize> Cells for [T; N] {}

/// Holds the memory.
#[derive(Clone)]
enum Owner {
    Mapping(#[allow(dead_code, reason = "held so that the memory stays mapped")] Arc<Mapping>),
    #[cfg(any(test, loom))]
    Heap(#[allow(dead_code, reason = "held so that the memory stays allocated")] Arc<dyn Sync + Send>),
}

/// A table in shared memory.
pub struct Shared<T: Cells> {
    start: NonNull<T>,
    len: usize,
    _owner: Owner,
}

// SAFETY: the cells are atomics (`Cells: Sync + Send`) and the memory lives as long as `_owner`, which holds an Arc.
unsafe impl<T: Cells> Send for Shared<T> {}
// SAFETY: as above; all access through `&self` is atomic.
unsafe impl<T: Cells> Sync for Shared<T> {}

impl<T: Cells> Shared<T> {
    /// `len` cells at `offset` of a mapping. Panics if they do not lie inside it or are misaligned: offsets come from
    /// our own layout, never from shared memory.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize, len: usize) -> Shared<T> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .expect("table size fits the address space");
        assert!(
            offset.checked_add(bytes).is_some_and(|end| end <= mapping.len()),
            "table lies inside its mapping"
        );
        assert_eq!(offset % align_of::<T>(), 0, "table is aligned");
        // SAFETY: the range was just checked to lie inside the mapping, so the pointer is in bounds and not null.
        let start = unsafe { mapping.start().add(offset) }.cast::<T>();
        Shared {
            start,
            len,
            _owner: Owner::Mapping(Arc::clone(mapping)),
        }
    }

    /// Cells on the heap, for tests and models.
    #[cfg(any(test, loom))]
    pub fn on_heap(len: usize, mut make: impl FnMut() -> T) -> Shared<T>
    where
        T: 'static,
    {
        let cells: Arc<Vec<T>> = Arc::new((0..len).map(|_| make()).collect());
        // A vector's pointer is never null, and the vector is never touched again before it is dropped.
        let start = NonNull::new(cells.as_ptr().cast_mut()).unwrap_or(NonNull::dangling());
        Shared {
            start,
            len,
            _owner: Owner::Heap(cells),
        }
    }
}

impl<T: Cells> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared {
            start: self.start,
            len: self.len,
            _owner: self._owner.clone(),
        }
    }
}

impl<T: Cells> Deref for Shared<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `start` and `len` were checked at construction, the memory lives as long as `_owner`, and `T` is made
        // of atomics, so other writers do not make a shared reference unsound.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Cells> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared<{}>[{}]", core::any::type_name::<T>(), self.len)
    }
}
