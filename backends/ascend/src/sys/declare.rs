//! The table as C declarations, for a compiler to compare with the vendor's headers.

use super::table::{Evidence, Function, Library, Profile, functions};
use super::{constants, types};
use crate::errors;
use std::fmt::Write;

/// What a printed text is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// `acl/acl.h`.
    Acl,
    /// `hccl/hccl.h`.
    Hccl,
    /// Function types `_name` of a file that cannot be compiled alone.
    Base,
    /// Headers of a package's operators.
    Vllm,
}

impl Against {
    fn takes(self, function: &Function) -> bool {
        let profile = match self {
            Against::Acl => Profile::Acl,
            Against::Hccl => Profile::Hccl,
            Against::Base => Profile::Base,
            Against::Vllm => Profile::Vllm023,
        };
        function.profile == profile && function.evidence == Evidence::Header
    }

    /// Functions that are compared.
    pub fn functions(self) -> Vec<Function> {
        functions().into_iter().filter(|function| self.takes(function)).collect()
    }
}

/// `result name(types);`
pub fn declaration(function: &Function) -> String {
    let parameters: Vec<_> = function.parameters.iter().map(|(_, c)| c.as_str()).collect();
    format!("{} {}({});", function.result, function.name, parameters.join(", "))
}

/// C++ text that compiles only if the functions equal the header's. With `plant`, that function gets one parameter too many.
///
/// `acl` and `hccl` functions are declared again, which a compiler refuses with other types. Of operators and of the base only the pointee's
/// `const` may differ, so those go through `same` of the text that the script puts in front.
pub fn cpp(against: Against, plant: Option<&str>) -> String {
    let mut text = String::new();
    let mut functions = against.functions();
    for function in functions.iter_mut().filter(|function| Some(function.name) == plant) {
        function.parameters.push(("planted", "int32_t".to_owned()));
    }
    match against {
        Against::Acl | Against::Hccl => {
            text.push_str("extern \"C\" {\n");
            functions.iter().for_each(|function| lines(&mut text, &declaration(function)));
            text.push_str("}\n");
        }
        Against::Base | Against::Vllm => {
            text.push_str("namespace ours {\n");
            functions.iter().for_each(|function| lines(&mut text, &declaration(function)));
            text.push_str("}\n");
            for Function { name, .. } in &functions {
                let theirs = if against == Against::Base { format!("_{name}") } else { format!("decltype(&::{name})") };
                lines(&mut text, &format!("static_assert(same<decltype(&ours::{name}), {theirs}>, \"{name}\");"));
            }
        }
    }
    text.push_str(&numbers(against));
    text
}

fn lines(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Numbers and layouts as assertions.
fn numbers(against: Against) -> String {
    let mut text = String::new();
    let of = |name: &str| match against {
        Against::Acl => name.starts_with("acl"),
        Against::Hccl => name.starts_with("Hccl"),
        Against::Base | Against::Vllm => false,
    };
    for (enumeration, constant, value) in constants::ENUMERATIONS.iter().filter(|(enumeration, ..)| of(enumeration)) {
        let _ = writeln!(text, "static_assert({constant} == {value} && sizeof({enumeration}) == 4, \"{constant}\");");
    }
    for (name, size, align) in types::STRUCTURES.iter().chain(types::HANDLES).filter(|(name, ..)| of(name)) {
        let _ = writeln!(text, "static_assert(sizeof({name}) == {size} && alignof({name}) == {align}, \"{name}\");");
    }
    if against == Against::Acl {
        for (flag, value) in constants::FLAGS {
            let _ = writeln!(text, "static_assert({flag} == {value}u, \"{flag}\");");
        }
        for code in errors::codes().filter(|code| code.in_headers()) {
            let _ = writeln!(text, "static_assert({} == {}, \"{0}\");", code.name, code.code);
        }
    }
    text
}

/// One line a function: library, profile, evidence, operator, declaration, source, separated by tabs.
pub fn listing() -> String {
    let mut text = String::new();
    for function in functions() {
        let Function { library, profile, evidence, .. } = function;
        let operator = function.operator.unwrap_or("-");
        let (declaration, source) = (declaration(&function), profile.source());
        let _ = writeln!(text, "{library:?}\t{profile:?}\t{evidence:?}\t{operator}\t{declaration}\t{source}");
    }
    text
}

/// Names of the symbols that `library` must export for all of its profiles.
pub fn symbols(library: Library) -> Vec<&'static str> {
    functions().iter().filter(|function| function.library == library).map(|function| function.name).collect()
}
