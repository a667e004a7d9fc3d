use super::support::{Item, case, expect, file, load, pack, parts, refusal};
use crate::config::Config;
use crate::weights::Checkpoint;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The header of `swa` after a change to it, with the data as it was.
fn with_header(change: impl Fn(&mut serde_json::Map<String, Value>)) -> Vec<u8> {
    let (_, items) = load("swa");
    let (mut header, data) = parts(&items);
    change(&mut header);
    file(&Value::from(header).to_string(), &data)
}

fn with_norm(info: Value) -> Vec<u8> {
    with_header(|header| {
        header["norm.weight"] = info.clone();
    })
}

fn offsets(header: &serde_json::Map<String, Value>, name: &str) -> [u64; 2] {
    serde_json::from_value(header[name]["data_offsets"].clone()).unwrap()
}

#[test]
fn broken_files_give_one_error_that_says_what_is_broken() {
    let (config, items) = load("swa");
    let whole = pack(&items);
    let length = |length: u64| {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let (header, data) = parts(&items);
    let [start, end] = offsets(&header, "norm.weight");
    let twice = {
        let text = Value::from(header.clone()).to_string();
        let norm = header["norm.weight"].to_string();
        file(&format!("{},\"norm.weight\":{norm}}}", &text[..text.len() - 1]), &data)
    };
    let table: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", vec![], vec!["at least 8 bytes", "found 0 bytes"]),
        ("short", vec![1, 2, 3], vec!["at least 8 bytes", "found 3 bytes"]),
        ("absurd length", length(u64::MAX), vec!["header of at most 100000000", "18446744073709551615"]),
        ("length past the end", length(90_000_000), vec!["header of 90000000 bytes", "truncated"]),
        ("no header", length(0), vec!["a safetensors header", "EOF"]),
        ("cut header", length(1000), vec!["a safetensors header", "EOF"]),
        ("not json", file("hello", &[]), vec!["a safetensors header", "expected value"]),
        ("list", file("[]", &[]), vec!["an object of tensors"]),
        ("truncated data", whole[..whole.len() - 1].into(), vec!["truncated"]),
        ("trailing data", [&whole[..], &[0; 7]].concat(), vec!["bytes of tensor data", "found"]),
        ("duplicate", twice, vec!["`norm.weight`", "expected it once"]),
        (
            "no type",
            with_norm(json!({"shape": [36], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "missing field `dtype`"],
        ),
        (
            "odd type",
            with_norm(json!({"dtype": "F7", "shape": [36], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "unknown variant `F7`"],
        ),
        (
            "negative dim",
            with_norm(json!({"dtype": "F32", "shape": [-36], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "-36"],
        ),
        (
            "text dim",
            with_norm(json!({"dtype": "F32", "shape": ["36"], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "invalid type: string"],
        ),
        (
            "endless rank",
            with_norm(json!({"dtype": "F32", "shape": vec![1; 9], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "at most 8 dimensions"],
        ),
        (
            "absurd product",
            with_norm(json!({"dtype": "F32", "shape": [1u64 << 40, 1u64 << 40], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "a size that can be counted", "F32 [1099511627776, 1099511627776]"],
        ),
        (
            "zero hides overflow",
            with_norm(json!({"dtype": "F32", "shape": [u64::MAX, 2, 0], "data_offsets": [start, start]})),
            vec!["`norm.weight`", "a size that can be counted"],
        ),
        (
            "size at odds",
            with_norm(json!({"dtype": "BF16", "shape": [36], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "72 bytes for BF16 [36]", "144 bytes"],
        ),
        (
            "half a byte",
            with_norm(json!({"dtype": "F4", "shape": [287], "data_offsets": [start, end]})),
            vec!["`norm.weight`", "144 bytes for F4 [287]"],
        ),
        (
            "backwards",
            with_norm(json!({"dtype": "F32", "shape": [36], "data_offsets": [end, start]})),
            vec!["`norm.weight`", "data offsets inside the"],
        ),
        (
            "out of range",
            with_norm(json!({"dtype": "F32", "shape": [36], "data_offsets": [1u64 << 50, (1u64 << 50) + 144]})),
            vec!["`norm.weight`", "data offsets inside the", "1125899906842624"],
        ),
        (
            "offsets past 64 bits",
            with_norm(json!({"dtype": "F32", "shape": [36], "data_offsets": [0, 1e30]})),
            vec!["`norm.weight`", "1e+30"],
        ),
        (
            "overlap",
            with_norm(json!({"dtype": "F32", "shape": [36], "data_offsets": [start - 4, end - 4]})),
            vec!["`norm.weight`", "(overlap)"],
        ),
        (
            "hole",
            with_header(|h| {
                h.remove("norm.weight");
            }),
            vec!["bytes"],
        ),
        ("empty header", file("{}", &[]), vec!["`embed.weight`", "no such tensor"]),
    ];
    for (what, bytes, words) in table {
        let error = refusal(Checkpoint::from_memory(config.clone(), "m.safetensors", bytes));
        expect(what, &error, &words);
        expect(what, &error, &["m.safetensors"]);
    }
}

#[test]
fn a_hole_between_tensors_is_named() {
    let (config, items) = load("swa");
    let (mut header, data) = parts(&items);
    header.remove("hc_head_fn").unwrap();
    let bytes = file(&Value::from(header).to_string(), &data);
    let error = refusal(Checkpoint::from_memory(config, "m.safetensors", bytes));
    expect("hole", &error, &["right after `hc_head_base`", "(hole)"]);
}

/// A folder with the config and the tensors of `swa` in one shard, under an index of our making.
fn folder(index: impl Fn(&[Item]) -> Value) -> tempfile::TempDir {
    let (_, items) = load("swa");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(case("swa").join("config.json"), dir.path().join("config.json")).unwrap();
    fs::write(dir.path().join("a.safetensors"), pack(&items)).unwrap();
    let text = index(&items).to_string();
    fs::write(dir.path().join("model.safetensors.index.json"), text).unwrap();
    dir
}

fn map(items: &[Item], shard: &str) -> Value {
    let map: serde_json::Map<_, _> = items.iter().map(|i| (i.name.clone(), shard.into())).collect();
    json!({ "weight_map": map })
}

#[test]
fn broken_indexes_give_one_error_that_names_the_shard() {
    type Index = fn(&[Item]) -> Value;
    let table: [(&str, Index, &[&str]); 12] = [
        ("missing shard", |i| map(i, "b.safetensors"), &["cannot read", "b.safetensors"]),
        ("parent", |i| map(i, "../a.safetensors"), &["shard names without a path", "../a.safetensors"]),
        ("dots", |i| map(i, ".."), &["shard names without a path", "\"..\""]),
        ("dot", |i| map(i, "."), &["shard names without a path"]),
        ("absolute", |i| map(i, "/etc/passwd"), &["shard names without a path", "/etc/passwd"]),
        ("below", |i| map(i, "x/a.safetensors"), &["shard names without a path"]),
        ("backslash", |i| map(i, "..\\a.safetensors"), &["shard names without a path"]),
        ("no name", |i| map(i, ""), &["shard names without a path", "\"\""]),
        (
            "promised tensor",
            |i| {
                let mut index = map(i, "a.safetensors");
                index["weight_map"]["more.weight"] = "a.safetensors".into();
                index
            },
            &["`more.weight`", "in shard a.safetensors", "in no shard"],
        ),
        ("no map", |_| json!({}), &["an index with a weight_map"]),
        ("empty map", |_| json!({"weight_map": {}}), &["tensors in weight_map", "found none"]),
        ("numbers", |_| json!({"weight_map": {"a": 1}}), &["an index with a weight_map"]),
    ];
    for (what, index, words) in table {
        let dir = folder(index);
        let error = refusal(Checkpoint::open(dir.path()));
        expect(what, &error, words);
    }
    Checkpoint::open(folder(|i| map(i, "a.safetensors")).path()).unwrap();
}

#[test]
fn a_tensor_in_two_shards_is_refused_with_both_named() {
    let dir = folder(|i| map(i, "a.safetensors"));
    let (a, b) = (dir.path().join("a.safetensors"), dir.path().join("b.safetensors"));
    fs::copy(&a, &b).unwrap();
    let config = Config::from_file(&dir.path().join("config.json")).unwrap();
    let error = refusal(Checkpoint::open_files(config, &[a, b]));
    expect("twice", &error, &["a.safetensors: tensor", "expected it once", "b.safetensors"]);
}

#[test]
fn a_folder_without_weights_or_config_says_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    expect("config", &refusal(Checkpoint::open(dir.path())), &["cannot read config", "config.json"]);
    fs::copy(case("swa").join("config.json"), dir.path().join("config.json")).unwrap();
    let error = refusal(Checkpoint::open(dir.path()));
    expect("weights", &error, &["model.safetensors or model.safetensors.index.json", "neither"]);
    fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    expect("folder", &refusal(Checkpoint::open(dir.path())), &["a regular file"]);
    let error = refusal(Checkpoint::open(Path::new("no/such/folder")));
    expect("nowhere", &error, &["no/such/folder"]);
}
