//! One structure of callable functions for each profile, made from the table.
//!
//! Every method looks its function up at the first call, in the library of its row only, and fails if the library has none. What a call
//! needs and does is the vendor's to say.

use super::load::{OpenLibrary, Slot};
use super::{c_type::*, constants::*, executor::*, types::*};
use omnihal::{Error, Result};
use std::ffi::{CStr, c_void};
use std::path::Path;
use std::sync::Arc;

macro_rules! symbol {
    ($name:ident) => {
        const {
            // A name of the table holds no zero byte, so that the one appended is the first.
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name with a zero byte"),
            }
        }
    };
}

macro_rules! functions {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
        #[doc = concat!("Functions of the profile `", stringify!($profile), "`.")]
        #[derive(Debug)]
        pub struct $profile {
            library: Arc<OpenLibrary>,
            $($name: Slot<unsafe extern "C" fn($($t),*) -> $r>,)*
        }

        #[allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]
        impl $profile {
            /// Functions of an open library. Nothing is looked up yet.
            pub fn new(library: Arc<OpenLibrary>) -> Self {
                $profile { library, $($name: Slot::default(),)* }
            }

            $(
            #[doc = concat!("`", stringify!($name), "`.")]
            ///
            /// # Safety
            /// As the vendor documents it.
            pub unsafe fn $name(&self, $($p: $t),*) -> Result<$r> {
                // SAFETY: the type is that of the row.
                let call = unsafe { self.$name.get(&self.library, symbol!($name)) }?;
                // SAFETY: the caller's promise.
                Ok(unsafe { call($($p),*) })
            }
            )*

            /// Looks every function up and says where each was found.
            pub fn resolve(&self) -> Vec<(&'static str, Result<&Path>)> {
                // SAFETY: the type is that of the row.
                vec![$((stringify!($name), unsafe { self.$name.file(&self.library, symbol!($name)) })),*]
            }
        }
    };
}

macro_rules! operators {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {
        #[doc = concat!("Operators of the profile `", stringify!($profile), "`.")]
        #[derive(Debug)]
        pub struct $profile {
            library: Arc<OpenLibrary>,
            api: Arc<Api>,
            $($name: Slot<SecondPhase>,
            $sizes: Slot<unsafe extern "C" fn($($t,)* *mut u64, *mut *mut aclOpExecutor) -> aclnnStatus>,)*
        }

        #[allow(clippy::too_many_arguments, reason = "the parameters are the vendor's")]
        impl $profile {
            /// Operators of an open library. Nothing is looked up yet.
            pub fn new(library: Arc<OpenLibrary>, api: Arc<Api>) -> Self {
                $profile { library, api, $($name: Slot::default(), $sizes: Slot::default(),)* }
            }

            $(
            #[doc = concat!("First phase of `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// As the vendor documents it.
            pub unsafe fn $name(&self, $($p: $t),*) -> Result<Prepared<'_>> {
                // SAFETY: the types are those of the row. Both phases are looked up first: an executor without a second phase is of no use.
                let (second, first) = unsafe {
                    (self.$name.get(&self.library, symbol!($name))?, self.$sizes.get(&self.library, symbol!($sizes))?)
                };
                Prepared::first_phase(&self.api, stringify!($name), second, |size, executor| {
                    // SAFETY: the caller's promise, and two places to write to.
                    unsafe { first($($p,)* size, executor) }
                })
            }
            )*

            /// Fails if an operator of the profile lacks a phase here, or none has the name.
            pub fn has(&self, name: &str) -> Result<()> {
                match name {
                    $(stringify!($name) => {
                        // SAFETY: the type is that of the row.
                        unsafe { self.$sizes.get(&self.library, symbol!($sizes)) }?;
                        // SAFETY: as above.
                        unsafe { self.$name.get(&self.library, symbol!($name)) }.map(drop)
                    })*
                    other => Err(Error::unsupported(format!("operator {other} was asked for, which the table has not"))),
                }
            }

            /// Looks every operator up and says where each was found. One that lacks a phase counts as missing.
            pub fn resolve(&self) -> Vec<(&'static str, Result<&Path>)> {
                // SAFETY: the types are those of the row.
                vec![$((stringify!($name), unsafe {
                    self.$sizes.file(&self.library, symbol!($sizes))
                        .and_then(|_| self.$name.file(&self.library, symbol!($name)))
                })),*]
            }
        }
    };
}

crate::ascend_functions!(functions);
crate::ascend_operators!(operators);
