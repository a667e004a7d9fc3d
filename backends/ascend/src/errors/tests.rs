use super::*;

#[test]
fn tables_rise_so_that_every_code_is_found() {
    for table in [codes::CODES, codes::HCCL_CODES] {
        assert!(table.windows(2).all(|pair| pair[0].code < pair[1].code), "a lookup halves the table");
        for row in table {
            assert_eq!(look_up(table, row.code), *row);
            assert_ne!(row.class, Class::Unknown);
        }
    }
}

/// The groups of codes as the interface's documents describe them.
const GROUPS: &[(Class, &[i32])] = &[
    (Class::Success, &[0, 100002]),
    (Class::Usage, &[100000, 107000, 107001, 107008, 107016, 107017]),
    (Class::Context, &[107002, 107003]),
    (Class::Timeout, &[107019, 107020, 507046, 507047]),
    (Class::Capture, &[107024, 107025, 107026, 107027, 107028, 107029, 107030, 107031, 107036, 107038, 107041, 507903]),
    (Class::OutOfMemory, &[200000, 207001, 207018]),
    (Class::Unsupported, &[207000, 200006]),
    (Class::Exhausted, &[207005, 207007, 207008]),
    (Class::DeviceFault, &[507014, 507015, 507017, 507018, 507034, 507035, 507042, 507043, 507044, 507045]),
    (Class::Hardware, &[507053, 507054, 507056]),
    (Class::Refused, &[161001, 161002]),
    (Class::Runtime, &[361001]),
    (Class::Operator, &[561000, 561001, 561002, 561003]),
    (Class::Environment, &[561103, 561107, 561112]),
];

#[test]
fn every_code_has_its_class() {
    let mut counted = 0;
    for (class, group) in GROUPS {
        for &code in *group {
            assert_eq!(classify(code).class, *class, "{code}");
            counted += 1;
        }
    }
    assert_eq!(counted, codes().count(), "a code of the table is in no group");
}

#[test]
fn only_success_is_no_error() {
    for class in Class::ALL {
        assert_eq!(class.meaning().is_none(), class == Class::Success, "{class:?}");
    }
}

#[test]
fn a_failure_says_what_was_called_what_happened_and_what_to_do() {
    let found = error("aclnnMm", 561112, "");
    assert_eq!(found.kind(), ErrorKind::NotFound);
    assert_eq!(found.severity(), Severity::Rejected);
    assert!(
        found.message().starts_with("aclnnMm failed: the kernels package is not installed: source set_env.sh"),
        "{found}"
    );
    assert_eq!(found.vendor().unwrap().text, "ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND");

    let found = error("aclrtSynchronizeStream", 507015, "EZ9999: kernel fault");
    assert_eq!((found.kind(), found.severity()), (ErrorKind::Execution, Severity::DeviceLost));
    assert_eq!(found.vendor().unwrap().text, "EZ9999: kernel fault");
}

#[test]
fn an_unlisted_code_keeps_its_number_and_counts_as_damage() {
    let found = error("aclrtMemcpyAsync", 999_999, "");
    assert_eq!((found.kind(), found.severity()), (ErrorKind::Execution, Severity::StreamPoisoned));
    assert_eq!((found.vendor().unwrap().code, found.vendor().unwrap().text.as_str()), (999_999, "no text"));
}

#[test]
fn collective_codes_are_a_table_of_their_own() {
    assert_eq!(classify_hccl(24).class, Class::OutOfMemory);
    assert_eq!(classify_hccl(9).class, Class::Timeout);
    assert_eq!(classify(24).class, Class::Unknown);
    assert_eq!(hccl_error("HcclAllReduce", 1, "").vendor().unwrap().text, "HCCL_E_PARA");
}

#[test]
fn the_first_damage_is_what_is_reported_ever_after() {
    let cause = FirstCause::default();
    assert_eq!(cause.record(error("aclrtMalloc", 207001, "")).kind(), ErrorKind::OutOfMemory);
    cause.check().unwrap();
    let first = cause.record(error("aclnnMm", 507015, "first"));
    assert_eq!(cause.record(error("aclrtSynchronizeStream", 507046, "")).kind(), ErrorKind::Timeout);
    assert_eq!(cause.record(error("aclnnAdd", 507035, "second")), first);
    assert_eq!(cause.check().unwrap_err(), first);
}
