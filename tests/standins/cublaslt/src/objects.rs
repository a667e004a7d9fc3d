//! What lives: descriptors, layouts, preferences.

use crate::{Code, INVALID_VALUE};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// An object behind a handle.
#[derive(Clone, Copy, Debug)]
pub enum Object {
    /// The library's own handle.
    Library,
    /// A product, and whether its first operand is transposed.
    Product(bool),
    /// A matrix.
    Layout(Layout),
    /// What is asked of an algorithm.
    Preference(Preference),
}

/// A matrix, columns first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `cudaDataType_t`.
    pub dtype: u32,
    /// Elements of a column.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Elements between columns.
    pub leading: usize,
}

/// What is asked of an algorithm.
#[derive(Clone, Copy, Debug)]
pub struct Preference {
    /// Most bytes of workspace.
    pub workspace: u64,
    /// Least alignment of the four matrices; 256 unless it is said.
    pub alignment: [u32; 4],
}

/// The books.
#[derive(Default)]
pub struct State {
    /// Objects by handle.
    pub objects: HashMap<usize, Object>,
    /// Algorithms given so far, by number: the matrices and what may be assumed.
    pub algorithms: Vec<Algorithm>,
    /// Products enqueued.
    pub products: u64,
    handles: usize,
}

/// What an algorithm was given for.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    /// First operand, second operand, result.
    pub layouts: [Layout; 3],
    /// Bytes of workspace that it needs.
    pub workspace: usize,
    /// Alignment that it assumes.
    pub alignment: [u32; 4],
}

/// The books, locked.
pub fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// A new handle, not an address.
    pub fn put(&mut self, object: Object) -> usize {
        self.handles += 1;
        self.objects.insert(self.handles * 64, object);
        self.handles * 64
    }

    /// A product's transposition.
    pub fn product(&self, handle: usize) -> Result<bool, Code> {
        match self.objects.get(&handle) {
            Some(Object::Product(transposed)) => Ok(*transposed),
            _ => Err(INVALID_VALUE),
        }
    }

    /// A matrix.
    pub fn layout(&self, handle: usize) -> Result<Layout, Code> {
        match self.objects.get(&handle) {
            Some(Object::Layout(layout)) => Ok(*layout),
            _ => Err(INVALID_VALUE),
        }
    }

    /// A preference.
    pub fn preference(&self, handle: usize) -> Result<Preference, Code> {
        match self.objects.get(&handle) {
            Some(Object::Preference(preference)) => Ok(*preference),
            _ => Err(INVALID_VALUE),
        }
    }

    /// True if it is the library's own handle.
    pub fn is_library(&self, handle: usize) -> bool {
        matches!(self.objects.get(&handle), Some(Object::Library))
    }
}
