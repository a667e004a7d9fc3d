//! C types as data: how a struct is spelled and where its members lie.

/// A type that may stand in a C struct.
pub(crate) trait CType {
    /// `type name`, as a C member.
    fn declare(name: &str) -> String;
}

/// A C type, chosen at run time.
#[derive(Clone, Copy)]
pub(crate) struct TypeInfo {
    pub(crate) declare: fn(&str) -> String,
    pub(crate) size: usize,
    pub(crate) align: usize,
}

/// The description of a type.
pub(crate) const fn info<T: CType>() -> TypeInfo {
    TypeInfo { declare: T::declare, size: size_of::<T>(), align: align_of::<T>() }
}

/// One member of a struct.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// `type name`; empty for structs whose text is written by hand.
    pub(crate) text: String,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// A struct of the headers.
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) members: Vec<Member>,
    pub(crate) size: usize,
}

/// Size of the member that an accessor gives.
pub(crate) fn member_size<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! plain {
    ($($ty:ty => $c:literal),* $(,)?) => {$(impl CType for $ty {
        fn declare(name: &str) -> String {
            format!(concat!($c, " {}"), name)
        }
    })*};
}
plain!(u64 => "uint64_t", u32 => "uint32_t", f32 => "float", i64 => "int64_t");

impl<T: CType, const N: usize> CType for [T; N] {
    fn declare(name: &str) -> String {
        T::declare(&format!("{name}[{N}]"))
    }
}

/// Lists every struct as `struct, field, offset, size`; the row without a field gives the whole.
pub(crate) fn table(structs: &[Struct]) -> String {
    let mut out = String::from("struct\tfield\toffset\tsize\n");
    for s in structs {
        out += &format!("{}\t-\t0\t{}\n", s.name, s.size);
        for m in &s.members {
            out += &format!("{}\t{}\t{}\t{}\n", s.name, m.name, m.offset, m.size);
        }
    }
    out
}
