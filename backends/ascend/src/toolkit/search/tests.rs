use super::*;
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

const NEEDED: [&str; 3] = ["libascendcl.so", "libnnopbase.so", "libopapi.so"];

/// A toolkit of empty files.
fn toolkit(names: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("lib64")).unwrap();
    names.iter().for_each(|name| fs::write(root.path().join("lib64").join(name), b"").unwrap());
    root
}

fn with<'a>(variables: &[(&'a str, &Path)]) -> impl Fn(&str) -> Option<OsString> + use<'a> {
    let map: BTreeMap<_, _> = variables.iter().map(|(name, path)| (*name, path.as_os_str().to_owned())).collect();
    move |name| map.get(name).cloned()
}

#[test]
fn the_explicit_toolkit_comes_before_the_variables_of_set_env() {
    let (explicit, home, older) = (toolkit(&NEEDED), toolkit(&NEEDED), toolkit(&NEEDED));
    let both = [("ASCEND_HOME_PATH", older.path()), ("ASCEND_TOOLKIT_HOME", home.path())];
    let found = locate(&with(&both)).files.unwrap();
    assert_eq!(found.acl, home.path().join("lib64/libascendcl.so"));

    let found = locate(&with(&[both[0], both[1], (EXPLICIT, explicit.path())])).files.unwrap();
    assert_eq!(found.acl, explicit.path().join("lib64/libascendcl.so"));
    assert_eq!(found.operators, [explicit.path().join("lib64/libopapi.so")]);
    assert_eq!((found.hccl, found.custom), (None, vec![]));
}

#[test]
fn an_explicit_toolkit_without_a_library_is_not_replaced_by_another() {
    let (explicit, home) = (toolkit(&[]), toolkit(&NEEDED));
    let located = locate(&with(&[("ASCEND_TOOLKIT_HOME", home.path()), (EXPLICIT, explicit.path())]));
    assert_eq!(located.files, None);
    assert_eq!(located.searched.len(), 1, "{:?}", located.searched);
    assert!(located.searched[0].ends_with("(not there, and no other place is looked at)"), "{:?}", located.searched);
}

#[test]
fn libraries_of_two_installations_are_never_mixed() {
    let (partial, full) = (toolkit(&NEEDED[..2]), toolkit(&NEEDED));
    let located = locate(&with(&[("ASCEND_TOOLKIT_HOME", partial.path()), ("ASCEND_HOME_PATH", full.path())]));
    assert_eq!(located.files, None);
    let missing = partial.path().join("lib64/libopapi.so").display().to_string();
    assert_eq!(located.searched.last(), Some(&missing));
}

#[test]
fn the_umbrella_of_operators_is_looked_up_before_its_parts() {
    let split = toolkit(&[
        "libascendcl.so",
        "libnnopbase.so",
        "libopapi_nn.so",
        "libopapi_math.so",
        "libopapi.so",
        "libhccl.so",
    ]);
    let found = locate(&with(&[(EXPLICIT, split.path())])).files.unwrap();
    let names: Vec<_> = found.operators.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["libopapi.so", "libopapi_math.so", "libopapi_nn.so"]);
    assert_eq!(found.hccl, Some(split.path().join("lib64/libhccl.so")));

    let parts = toolkit(&["libascendcl.so", "libnnopbase.so", "libopapi_nn.so"]);
    assert_eq!(locate(&with(&[(EXPLICIT, parts.path())])).files.unwrap().operators.len(), 1);
}

#[test]
fn packages_of_operators_come_in_the_order_that_cann_prefers() {
    let (home, first, opp) = (toolkit(&NEEDED), TempDir::new().unwrap(), TempDir::new().unwrap());
    let package = |folder: &Path| {
        fs::create_dir_all(folder.join("op_api/lib")).unwrap();
        fs::write(folder.join("op_api/lib/libcust_opapi.so"), b"").unwrap();
        folder.join("op_api/lib/libcust_opapi.so")
    };
    let vendors = opp.path().join("vendors");
    let expected = [package(first.path()), package(&vendors.join("late")), package(&vendors.join("early"))];
    fs::write(vendors.join("config.ini"), "# vendors\nload_priority = late, absent,early,../../elsewhere\n").unwrap();
    let variables =
        [(EXPLICIT, home.path()), ("ASCEND_CUSTOM_OPP_PATH", first.path()), ("ASCEND_OPP_PATH", opp.path())];
    let located = locate(&with(&variables));
    assert_eq!(located.files.unwrap().custom, expected);
    assert!(located.searched.iter().any(|place| place.contains("vendors/absent/")), "{:?}", located.searched);
    assert!(!located.searched.iter().any(|place| place.contains("elsewhere")), "{:?}", located.searched);
}

#[test]
fn a_missing_operator_path_is_named_because_no_operator_works_without_it() {
    let home = toolkit(&NEEDED);
    let located = locate(&with(&[(EXPLICIT, home.path())]));
    assert!(
        located.searched.iter().any(|place| place.starts_with("$ASCEND_OPP_PATH (not set")),
        "{:?}",
        located.searched
    );
}
