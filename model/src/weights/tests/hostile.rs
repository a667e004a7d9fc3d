use super::support::{Item, case, expect, item, load, open, refusal};
use crate::config::Config;
use crate::weights::{Checkpoint, WeightError, manifest};
use safetensors::Dtype;
use std::fs;

type Change = fn(&mut Vec<Item>);

fn remove(items: &mut Vec<Item>, name: &str) {
    let before = items.len();
    items.retain(|i| i.name != name);
    assert_eq!(items.len() + 1, before);
}

fn retype(items: &mut [Item], name: &str, dtype: Dtype, shape: &[usize]) {
    let item = item(items, name);
    item.dtype = dtype;
    item.shape = shape.into();
    item.bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
}

fn extra(name: &str) -> Item {
    Item { name: name.into(), dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 8] }
}

#[test]
fn tensors_at_odds_with_the_config_give_one_error_that_names_them() {
    let table: [(&str, Change, &[&str]); 20] = [
        (
            "missing",
            |i| remove(i, "layers.1.attn.wkv.weight"),
            &["`layers.1.attn.wkv.weight`", "expected shape [128, 128]", "found no such tensor"],
        ),
        (
            "missing expert",
            |i| remove(i, "layers.2.ffn.experts.3.w2.weight"),
            &["`layers.2.ffn.experts.3.w2.weight`", "[128, 128]", "no such tensor"],
        ),
        (
            "missing tail",
            |i| i.retain(|i| !i.name.starts_with("mtp.")),
            &["`mtp.0.attn_norm.weight`", "no such tensor"],
        ),
        (
            "missing scale",
            |i| remove(i, "layers.1.attn.wkv.scale"),
            &[
                "`layers.1.attn.wkv.weight`",
                "expected a scale `layers.1.attn.wkv.scale`, F8_E8M0 or F32 [1, 1]",
                "found none",
            ],
        ),
        (
            "extra",
            |i| i.extend([extra("layers.9.x"), extra("y")]),
            &["`layers.9.x`", "only tensors of the config", "found 2"],
        ),
        (
            "orphan scale",
            |i| i.push(extra("layers.0.ffn.gate.scale")),
            &["`layers.0.ffn.gate.scale`", "no scale beside a weight without codes"],
        ),
        (
            "one block too many",
            |i| i.push(extra("layers.3.attn_norm.weight")),
            &["`layers.3.attn_norm.weight`", "found 1"],
        ),
        (
            "misshapen",
            |i| retype(i, "norm.weight", Dtype::BF16, &[127]),
            &["`norm.weight`", "F32, BF16 or F16 [128]", "found BF16 [127]"],
        ),
        (
            "transposed",
            |i| retype(i, "layers.0.attn.wq_b.weight", Dtype::F8_E4M3, &[128, 512]),
            &["`layers.0.attn.wq_b.weight`", "F8_E4M3 [512, 128]", "found F8_E4M3 [128, 512]"],
        ),
        (
            "flattened",
            |i| retype(i, "hc_head_fn", Dtype::F32, &[2048]),
            &["`hc_head_fn`", "[4, 512]", "found F32 [2048]"],
        ),
        (
            "mistyped float",
            |i| retype(i, "norm.weight", Dtype::F64, &[128]),
            &["`norm.weight`", "F32, BF16 or F16", "found F64"],
        ),
        (
            "codes for a float",
            |i| retype(i, "embed.weight", Dtype::F8_E4M3, &[112, 128]),
            &["`embed.weight`", "F32, BF16 or F16", "found F8_E4M3"],
        ),
        (
            "packed linear",
            |i| retype(i, "layers.0.attn.wkv.weight", Dtype::I8, &[128, 64]),
            &["`layers.0.attn.wkv.weight`", "F8_E4M3 [128, 128]", "found I8 [128, 64]"],
        ),
        (
            "unpacked expert",
            |i| retype(i, "layers.0.ffn.experts.0.w1.weight", Dtype::I8, &[128, 128]),
            &["`layers.0.ffn.experts.0.w1.weight`", "I8 or U8 [128, 64]", "found I8 [128, 128]"],
        ),
        (
            "float table",
            |i| retype(i, "layers.0.ffn.gate.tid2eid", Dtype::F32, &[112, 2]),
            &["`layers.0.ffn.gate.tid2eid`", "I64 or I32 [112, 2]", "found F32"],
        ),
        (
            "misshapen scale",
            |i| retype(i, "layers.0.attn.wo_a.scale", Dtype::F8_E8M0, &[2, 1]),
            &["`layers.0.attn.wo_a.scale`", "[2, 2]", "found F8_E8M0 [2, 1]"],
        ),
        (
            "mistyped scale",
            |i| retype(i, "layers.0.attn.wo_a.scale", Dtype::BF16, &[2, 2]),
            &["`layers.0.attn.wo_a.scale`", "F8_E8M0 or F32", "found BF16"],
        ),
        (
            "f32 scale of packed codes",
            |i| retype(i, "layers.0.ffn.experts.0.w1.scale", Dtype::F32, &[128, 4]),
            &["`layers.0.ffn.experts.0.w1.scale`", "expected F8_E8M0 [128, 4]", "found F32"],
        ),
        (
            "mixed experts",
            |i| {
                retype(i, "layers.1.ffn.experts.2.w3.weight", Dtype::BF16, &[128, 128]);
                remove(i, "layers.1.ffn.experts.2.w3.scale");
            },
            &["`layers.1.ffn.experts.2.w3.weight`", "I8, as `layers.1.ffn.experts.0.w1.weight`", "found BF16"],
        ),
        (
            "two names for one",
            |i| i.push(extra("model.layers.0.input_layernorm.weight")),
            &["`layers.0.attn_norm.weight`", "expected it once"],
        ),
    ];
    let (config, items) = load("official");
    for (what, change, words) in table {
        let mut items = items.clone();
        change(&mut items);
        let error = refusal(open(config.clone(), &items));
        expect(what, &error, words);
        expect(what, &error, &["m.safetensors"]);
    }
}

#[test]
fn an_error_names_a_tensor_as_the_file_does() {
    let config = Config::from_file(&case("swa").join("config.hf.json")).unwrap();
    let bytes = fs::read(case("swa").join("model.hf.safetensors")).unwrap();
    let mut other = config.clone();
    other.n_routed_experts += 1;
    let error = refusal(Checkpoint::from_memory(other, "hf.safetensors", bytes));
    let words = ["model.layers.0.mlp.gate.weight = layers.0.ffn.gate.weight", "[6, 36]", "[5, 36]"];
    expect("library", &error, &words);
}

/// What is planted, in which stored tensor, from which byte, and what the error says of it.
type Planted = (&'static str, &'static str, usize, &'static [u8], [&'static str; 2]);

#[test]
fn values_that_no_weight_may_have_are_refused_when_read() {
    let table: [Planted; 6] = [
        ("NaN scale", "layers.1.ffn.experts.2.w3.scale", 5, &[255], ["finite scales", "found E8M0 0xff at element 5"]),
        (
            "NaN code",
            "layers.0.attn.wq_a.weight",
            9,
            &[0xff],
            ["codes that are numbers", "found F8E4M3 0xff at element 9"],
        ),
        ("BF16 NaN", "norm.weight", 4, &[0xc0, 0x7f], ["finite values", "found BF16 0x7fc0 at element 2"]),
        ("F32 infinity", "hc_head_fn", 8, &[0, 0, 0x80, 0xff], ["finite values", "(0xff800000) at element 2"]),
        ("expert too high", "layers.0.ffn.gate.tid2eid", 8, &[4], ["experts from 0 to 3", "found 4 at element 1"]),
        (
            "expert below 0",
            "layers.0.ffn.gate.tid2eid",
            0,
            &[0xff; 8],
            ["experts from 0 to 3", "found -1 at element 0"],
        ),
    ];
    let (config, items) = load("official");
    for (what, planted, at, bytes, words) in table {
        let mut items = items.clone();
        item(&mut items, planted).bytes[at..at + bytes.len()].copy_from_slice(bytes);
        let weight = planted.replace(".scale", ".weight");
        let checkpoint = open(config.clone(), &items).unwrap();
        for spec in manifest(checkpoint.config()) {
            let tensor = checkpoint.tensor(&spec.name).unwrap();
            let whole = tensor.read_checked().map(<[u8]>::len);
            let pieces: Result<usize, WeightError> = tensor.checked_chunks(16).map(|c| c.map(<[u8]>::len)).sum();
            if spec.name != weight {
                assert_eq!(whole.unwrap(), pieces.unwrap(), "{what}: {}", spec.name);
                continue;
            }
            let error = whole.unwrap_err().to_string();
            expect(what, &error, &[&format!("`{planted}`")]);
            expect(what, &error, &words);
            assert_eq!(error, pieces.unwrap_err().to_string(), "{what}");
        }
    }
}

#[test]
fn stacked_experts_that_do_not_fit_are_refused() {
    let config = Config::from_file(&case("csa").join("config.hf.json")).unwrap();
    let bytes = fs::read(case("csa").join("model.hf.safetensors")).unwrap();
    let open = |change: fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        refusal(Checkpoint::from_memory(config, "m.safetensors", bytes.clone()))
    };
    let error = open(|c| c.moe_intermediate_size = 12);
    expect("inner", &error, &["[12, 32]", "found F32 [24, 32]"]);
    let error = open(|c| c.blocks.truncate(1));
    expect("block", &error, &["only tensors of the config", "model.layers.1."]);
}
