use super::*;
use crate::sys::declare::{self, Against};
use crate::sys::{constants, types};
use std::collections::{BTreeMap, BTreeSet};

fn count(profile: Profile) -> usize {
    functions().iter().filter(|function| function.profile == profile).count()
}

#[test]
fn every_profile_has_the_functions_that_were_compared() {
    for (profile, expected) in [
        (Profile::Acl, 91),
        (Profile::Hccl, 18),
        (Profile::Base, 22),
        (Profile::Helpers, 2),
        (Profile::Core, 2 * 66),
        (Profile::Fused91, 2 * 35),
        (Profile::Vllm023, 2 * 22),
    ] {
        assert_eq!(count(profile), expected, "{profile:?}");
    }
}

#[test]
fn evidence_is_what_the_sources_allow() {
    let by = |profile, evidence| functions().iter().filter(|f| f.profile == profile && f.evidence == evidence).count();
    for (profile, [header, source, docs]) in [
        (Profile::Acl, [91, 0, 0]),
        (Profile::Hccl, [18, 0, 0]),
        (Profile::Base, [12, 10, 0]),
        (Profile::Helpers, [0, 0, 2]),
        (Profile::Vllm023, [44, 0, 0]),
    ] {
        assert_eq!(
            [by(profile, Evidence::Header), by(profile, Evidence::Source), by(profile, Evidence::Docs)],
            [header, source, docs]
        );
    }
    let operators = |evidence| -> BTreeSet<_> {
        functions().iter().filter(|f| f.evidence == evidence).filter_map(|f| f.operator).collect()
    };
    assert_eq!(operators(Evidence::Docs).len(), 9, "{:?}", operators(Evidence::Docs));
    assert_eq!(operators(Evidence::Inferred).len(), 10, "{:?}", operators(Evidence::Inferred));
    assert_eq!(by(Profile::Core, Evidence::Header) + by(Profile::Fused91, Evidence::Header), 0);
}

/// The first pair of rows that a lookup could confuse.
fn duplicate(rows: &[Function]) -> Option<&Function> {
    let mut seen = BTreeSet::new();
    rows.iter().find(|row| !seen.insert((row.library, row.profile, row.name)))
}

#[test]
fn no_library_and_profile_has_a_symbol_twice() {
    let mut rows = functions();
    assert_eq!(duplicate(&rows), None);
    rows.push(rows[40].clone());
    assert_eq!(duplicate(&rows).map(|row| row.name), Some(rows[40].name), "the check sees a row that is there twice");
}

#[test]
fn the_first_phase_is_named_after_its_operator_and_ends_in_the_executor() {
    for row in functions() {
        let Some(operator) = row.operator else { continue };
        let last = row.parameters.last().unwrap();
        if row.name == operator {
            let types: Vec<_> = row.parameters.iter().map(|(_, c)| c.as_str()).collect();
            assert_eq!(types, ["void *", "uint64_t", "aclOpExecutor *", "aclrtStream"]);
        } else {
            assert_eq!(row.name, format!("{operator}GetWorkspaceSize"));
            assert_eq!(*last, ("executor", "aclOpExecutor * *".to_owned()));
        }
    }
}

#[test]
fn names_that_two_packages_share_are_kept_apart() {
    let mut arity = BTreeMap::<&str, BTreeSet<(Profile, usize)>>::new();
    for row in functions() {
        arity.entry(row.name).or_default().insert((row.profile, row.parameters.len()));
    }
    let differ = |name| arity[name].iter().map(|(_, parameters)| *parameters).collect::<Vec<_>>();
    // Both counts hold the two last parameters.
    assert_eq!(differ("aclnnCompressorGetWorkspaceSize"), [17, 22]);
    assert_eq!(differ("aclnnGroupedMatmulSwigluQuantV2GetWorkspaceSize"), [17, 18]);
    assert_eq!(differ("aclnnInplacePartialRotaryMulGetWorkspaceSize"), [7, 7]);
}

#[test]
fn declarations_are_c() {
    let of = |name: &str| declare::declaration(functions().iter().find(|row| row.name == name).unwrap());
    assert_eq!(of("aclFinalize"), "int32_t aclFinalize();");
    assert_eq!(of("aclGetRecentErrMsg"), "char const * aclGetRecentErrMsg();");
    assert_eq!(of("aclCreateTensorList"), "aclTensorList * aclCreateTensorList(aclTensor const * const *, uint64_t);");
    assert_eq!(
        of("aclnnMmGetWorkspaceSize"),
        "int32_t aclnnMmGetWorkspaceSize(aclTensor const *, aclTensor const *, aclTensor const *, int8_t, uint64_t *, aclOpExecutor * *);"
    );
}

#[test]
fn a_planted_mistake_changes_one_declaration_and_nothing_else() {
    let (right, wrong) = (declare::cpp(Against::Acl, None), declare::cpp(Against::Acl, Some("aclrtFree")));
    let differing: Vec<_> = right.lines().zip(wrong.lines()).filter(|(right, wrong)| right != wrong).collect();
    assert_eq!(differing, [("int32_t aclrtFree(void *);", "int32_t aclrtFree(void *, int32_t);")]);
}

#[test]
fn layouts_are_those_of_the_vendor() {
    let sizes: BTreeMap<_, _> = types::STRUCTURES.iter().map(|(name, size, align)| (*name, (*size, *align))).collect();
    assert_eq!(sizes["aclrtPhysicalMemProp"], (32, 8));
    assert_eq!(sizes["aclrtMemLocation"], (8, 4));
    assert_eq!(sizes["HcclRootInfo"], (4108, 1));
    assert!(types::HANDLES.iter().all(|(_, size, align)| (*size, *align) == (8, 8)));
    assert_eq!(size_of::<constants::aclDataType>(), 4);
    assert_eq!(size_of::<types::aclrtHostFunc>(), 8);
}

#[test]
fn numbers_that_are_easily_confused_are_as_the_headers_have_them() {
    use constants::*;
    assert_eq!(aclrtEventRecordedStatus::ACL_EVENT_RECORDED_STATUS_COMPLETE.0, 1);
    assert_eq!(aclrtStreamStatus::ACL_STREAM_STATUS_COMPLETE.0, 0);
    assert_eq!((aclDataType::ACL_FLOAT8_E8M0.0, aclDataType::ACL_FLOAT4_E2M1.0, aclDataType::ACL_BF16.0), (37, 40, 27));
    assert_eq!((aclFormat::ACL_FORMAT_ND.0, aclFormat::ACL_FORMAT_FRACTAL_NZ.0), (2, 29));
    assert_eq!((HcclDataType::HCCL_DATA_TYPE_BFP16.0, HcclDataType::HCCL_DATA_TYPE_FP8E8M0.0), (11, 17));
}
