//! Registry, placement, decompositions, arena, programs and layers over any OmniHAL device.
//!
//! A [`Recipe`] is a list of operator calls. [`Program::build`] places each call on a device (native, composed of smaller operators, or on a
//! fallback), plans the arena from lifetimes, and binds addresses; running the program then only enqueues.

mod arena;
mod binding;
pub mod decompose;
mod fallback;
pub mod layers;
mod lower;
mod placement;
mod program;
mod recipe;
pub mod registry;
pub mod search;
mod shorthand;
pub mod soft_graph;
pub mod transfer;

pub use placement::{Place, PlacementTable, Placer, Row, TierLimit};
pub use program::{Program, ProgramSpec};
pub use recipe::{Base, Call, Constant, Operand, Recipe, Reshape, Temp};
pub use shorthand::{Affine, Choice};
