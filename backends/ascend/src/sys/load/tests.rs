use super::*;
use omnihal::ErrorKind;

type GetPid = unsafe extern "C" fn() -> i32;

/// The C library, and one that depends on it: real libraries of every Linux.
fn c_and_dependent() -> (PathBuf, PathBuf) {
    let c = file_of(libc::getpid as *const c_void).unwrap();
    let dependent = c.with_file_name("libm.so.6");
    (c, dependent)
}

#[test]
fn a_function_is_found_once_and_its_file_is_known() {
    let (c, _) = c_and_dependent();
    let library = OpenLibrary::open(Library::AscendCl, std::slice::from_ref(&c)).unwrap();
    let slot = Slot::<GetPid>::default();
    // SAFETY: the type of getpid.
    let call = unsafe { slot.get(&library, c"getpid") }.unwrap();
    // SAFETY: takes nothing.
    assert_eq!(unsafe { call() } as u32, std::process::id());
    // SAFETY: as above.
    assert!(same_file(unsafe { slot.file(&library, c"getpid") }.unwrap(), &c));
}

#[test]
fn a_missing_function_is_an_error_that_names_it_and_the_files() {
    let (c, dependent) = c_and_dependent();
    let library = OpenLibrary::open(Library::OpApi, &[c.clone(), dependent]).unwrap();
    // SAFETY: nothing is called.
    let error = unsafe { Slot::<GetPid>::default().get(&library, c"aclnnAbsent") }.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.message().starts_with(&format!("function aclnnAbsent asked for, not found in {}, ", c.display())),
        "{error}"
    );
}

#[test]
fn another_packages_function_of_the_same_name_is_not_called() {
    let (_, dependent) = c_and_dependent();
    let own = OpenLibrary::open(Library::AscendCl, std::slice::from_ref(&dependent)).unwrap();
    // SAFETY: the type of getpid; nothing is called.
    assert!(unsafe { Slot::<GetPid>::default().get(&own, c"getpid") }.is_ok(), "the loader looks into dependencies");
    let custom = OpenLibrary::open(Library::CustOpApi, &[dependent]).unwrap();
    // SAFETY: as above.
    let error = unsafe { Slot::<GetPid>::default().get(&custom, c"getpid") }.unwrap_err();
    assert!(error.message().contains("another package's function"), "{error}");
}

#[test]
fn a_part_that_cannot_be_opened_fails_the_whole_library() {
    let (c, _) = c_and_dependent();
    let error = OpenLibrary::open(Library::OpApi, &[c, PathBuf::from("/absent/libopapi_nn.so")]).unwrap_err();
    assert!(error.message().starts_with("library /absent/libopapi_nn.so asked for"), "{error}");
}
