use super::sample::{case, full, full_with, lists, waived};
use crate::report::{INFINITE, Report, ReportError};
use serde_json::Value;

const SCHEMA: &str = include_str!("../../../schema/report-1.json");
const WAIVER_SCHEMA: &str = include_str!("../../../schema/waivers-1.json");

/// Everything in which a value is not what a schema says: as much of JSON Schema as the kit's own schemas use.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return faults(root, &root["$defs"][name.strip_prefix("#/$defs/").unwrap()], value, at);
    }
    let mut found = Vec::new();
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the schema has type {other}"),
    };
    if let Some(name) = schema["type"].as_str()
        && !is(name)
    {
        return vec![format!("{at} is {value}, {name} is expected")];
    }
    if let Some(one_of) = schema["enum"].as_array()
        && !one_of.contains(value)
    {
        found.push(format!("{at} is {value}, one of {one_of:?} is expected"));
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        let of = match schema["prefixItems"].get(i) {
            Some(own) => own,
            None => &schema["items"],
        };
        if of.is_object() {
            found.extend(faults(root, of, item, &format!("{at}[{i}]")));
        }
    }
    let Some(object) = value.as_object() else { return found };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, item) in object {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(own), _) => found.extend(faults(root, own, item, &at)),
            (None, Value::Bool(false)) => found.push(format!("{at} is unknown")),
            (None, other) if other.is_object() => found.extend(faults(root, other, item, &at)),
            (None, _) => {}
        }
    }
    found
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn value(report: &Report) -> Value {
    serde_json::from_slice(&report.to_json().unwrap()).unwrap()
}

#[test]
fn reports_fit_the_schema() {
    let mut cut = full_with([case("gemm.linear/b", 4.0)]);
    cut.selection.filters = vec!["gemm.*".into()];
    cut.selection.fraction = Some((1, 4));
    cut.soak = vec![case("soak/steps", 0.5)];
    cut.fault = vec![case("fault/alloc", 0.5)];
    cut.conclude(&lists());
    for report in [full(), waived(), cut] {
        let found = faults(&schema(), &schema(), &value(&report), "report");
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn the_schema_notices_what_does_not_fit() {
    let changes: [(&str, Value, &str); 6] = [
        ("/results/0/outcome", "MAYBE".into(), "report.results[0].outcome"),
        ("/results/1/outputs/0/worst/share", "0.5".into(), "report.results[1].outputs[0].worst.share"),
        ("/device/stand_in", Value::Null, "report.device.stand_in"),
        ("/verdicts/0/verdict", "fine".into(), "report.verdicts[0].verdict"),
        ("/schema", 2.into(), "report.schema"),
        ("/counts/PASS", (-0.5).into(), "report.counts.PASS"),
    ];
    for (at, wrong, place) in changes {
        let mut value = value(&full());
        *value.pointer_mut(at).unwrap() = wrong;
        let found = faults(&schema(), &schema(), &value, "report");
        assert!(found.len() == 1 && found[0].starts_with(place), "{at}: {found:?}");
    }
    let mut less = value(&full());
    less.as_object_mut().unwrap().remove("counts");
    less.as_object_mut().unwrap().insert("count".into(), 1.into());
    assert_eq!(faults(&schema(), &schema(), &less, "report"), ["report.counts is missing", "report.count is unknown"]);
}

#[test]
fn waiver_files_fit_their_schema() {
    let schema: Value = serde_json::from_str(WAIVER_SCHEMA).unwrap();
    let text = crate::waiver::to_json(&[super::sample::waiver()]).unwrap();
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(faults(&schema, &schema, &value, "file"), Vec::<String>::new());
    value["waivers"][0].as_object_mut().unwrap().remove("expires");
    assert_eq!(faults(&schema, &schema, &value, "file"), ["file.waivers[0].expires is missing"]);
}

#[test]
fn a_report_reads_as_it_was_written_but_for_the_bytes_of_outputs() {
    let mut report = waived();
    let read = Report::from_json(&report.to_json().unwrap()).unwrap();
    report.results.iter_mut().flat_map(|r| &mut r.outputs).for_each(|o| o.bytes = None);
    assert_eq!(read, report);
}

#[test]
fn infinite_errors_can_be_written_and_read() {
    let mut report = full_with([case("gemm.linear/b", f32::INFINITY)]);
    report.results[2].outputs[0].worst.as_mut().unwrap().found = f64::NEG_INFINITY;
    report.conclude(&lists());
    let read = Report::from_json(&report.to_json().unwrap()).unwrap();
    let worst = read.results[2].outputs[0].worst.as_ref().unwrap();
    assert_eq!((worst.found, worst.share, read.results[2].worst_share()), (-INFINITE, INFINITE, Some(INFINITE)));
    let mut raw = report.clone();
    raw.results[2].millis = f64::NAN;
    assert!(raw.to_json().unwrap_err().to_string().contains("NaN"), "without being concluded");
}

#[test]
fn reports_of_other_schemas_are_refused_by_name() {
    let mut value = value(&full());
    value["schema"] = 2.into();
    value["results"] = "of another shape".into();
    let error = Report::from_json(value.to_string().as_bytes()).unwrap_err();
    assert!(matches!(error, ReportError::Schema { found: 2 }), "{error}");
}

#[test]
fn hostile_reports_are_refused_with_a_reason() {
    let good = value(&full());
    let with = |at: &str, wrong: Value| {
        let mut value = good.clone();
        *value.pointer_mut(at).unwrap() = wrong;
        Report::from_json(value.to_string().as_bytes()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(with("/results/0/id", "x".repeat(5000).into()).contains("no name of a case"));
    assert!(with("/results/0/id", "a\u{1b}[2J".into()).contains("no name of a case"));
    assert!(with("/results/0/id", "gemm.linear/a".into()).contains("twice"));
    assert!(with("/results/4/message", "x".repeat(70_000).into()).contains("70000 bytes"));
    assert!(with("/counts/PASS", 5.into()).contains("counts 5 cases PASS, 4 are there"));
    assert!(with("/started", "yesterday".into()).contains("started"));
    let deep = "[".repeat(100_000);
    assert!(Report::from_json(deep.as_bytes()).is_err());
    let huge = full().to_json().unwrap();
    let huge = String::from_utf8(huge).unwrap().replacen("12.5", "1e999", 1);
    assert!(Report::from_json(huge.as_bytes()).is_err());
    let good = full().to_json().unwrap();
    for len in (0..good.len() - 1).step_by(13) {
        assert!(Report::from_json(&good[..len]).is_err(), "{len}");
    }
}
