//! The table as another crate sees it: a callback gets every row with types that it can use.

use omnihal_ascend::sys::table::functions;

macro_rules! typed {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident($($p:ident: $t:ty),*) -> $r:ty;)*) => {
        #[allow(non_snake_case, unused_imports, reason = "modules are named after profiles, and no profile needs every type")]
        mod $profile {
            use omnihal_ascend::sys::{c_type::*, constants::*, types::*};
            use std::ffi::c_void;

            pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];
            pub(super) const SIZES: &[usize] = &[$(size_of::<unsafe extern "C" fn($($t),*) -> $r>()),*];
        }
    };
}

macro_rules! phases {
    ($library:ident, $profile:ident; $([$evidence:ident] $name:ident, $sizes:ident($($p:ident: $t:ty),*);)*) => {
        #[allow(non_snake_case, unused_imports, reason = "modules are named after profiles, and no profile needs every type")]
        mod $profile {
            use omnihal_ascend::sys::{constants::*, types::*};

            pub(super) const NAMES: &[&str] = &[$(stringify!($sizes), stringify!($name)),*];
            pub(super) const ARITIES: &[(&str, usize)] = &[$((stringify!($name), <[usize]>::len(&[$(size_of::<$t>()),*]))),*];
        }
    };
}

omnihal_ascend::ascend_functions!(typed);
omnihal_ascend::ascend_operators!(phases);

#[test]
fn a_callback_of_another_crate_gets_every_row() {
    let plain = [Acl::NAMES, Hccl::NAMES, Base::NAMES, Helpers::NAMES];
    let operators = [Core::NAMES, Fused91::NAMES, Vllm023::NAMES];
    let got: Vec<_> = plain.iter().chain(&operators).flat_map(|names| names.iter().copied()).collect();
    let expected: Vec<_> = functions().iter().map(|function| function.name).collect();
    assert_eq!(got, expected);
    assert!([Acl::SIZES, Hccl::SIZES, Base::SIZES, Helpers::SIZES].concat().iter().all(|size| *size == 8));
}

#[test]
fn the_parameters_of_an_operator_are_those_of_its_profile() {
    let arity = |rows: &[(&str, usize)], name: &str| rows.iter().find(|row| row.0 == name).unwrap().1;
    assert_eq!(arity(Core::ARITIES, "aclnnMm"), 4);
    assert_eq!((arity(Fused91::ARITIES, "aclnnCompressor"), arity(Vllm023::ARITIES, "aclnnCompressor")), (15, 20));
}
