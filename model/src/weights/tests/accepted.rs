use super::support::{Item, case, item, load, open, pack};
use crate::config::{Config, ExpertFormat};
use crate::weights::{Checkpoint, Role, manifest, names};
use omnihal::DType;
use safetensors::Dtype;
use std::fs;
use std::io::Write;

const CASES: [&str; 9] = ["csa", "hash", "hca", "mixed", "mtp", "official", "realratio", "short", "swa"];

/// Every tensor of the manifest is there, has the manifest's shape, and holds usable values.
fn walk(checkpoint: &Checkpoint) -> usize {
    let mut bytes = 0;
    for spec in manifest(checkpoint.config()) {
        let tensor = checkpoint.tensor(&spec.name).unwrap();
        assert_eq!(tensor.shape, spec.shape, "{}", spec.name);
        let elements = tensor.shape.iter().product();
        assert_eq!(tensor.bytes.len(), tensor.dtype.bytes(elements), "{}", spec.name);
        assert_eq!(tensor.read_checked().unwrap().len(), tensor.bytes.len());
        bytes += tensor.stored_bytes();
        checkpoint.release(&tensor);
    }
    bytes
}

fn same(a: &Checkpoint, b: &Checkpoint) {
    for spec in manifest(a.config()) {
        let (a, b) = (a.tensor(&spec.name).unwrap(), b.tensor(&spec.name).unwrap());
        assert_eq!((a.dtype, &a.shape), (b.dtype, &b.shape), "{}", spec.name);
        assert!(a.bytes == b.bytes, "{}", spec.name);
        let scale = |t: &crate::weights::Tensor<'_>| {
            t.scale.as_ref().map(|s| (s.dtype, s.shape.clone(), s.block, s.bytes.to_vec()))
        };
        assert_eq!(scale(&a), scale(&b), "{}", spec.name);
    }
}

#[test]
fn every_official_case_opens_and_holds_its_manifest() {
    for name in CASES {
        let checkpoint = Checkpoint::open(&case(name)).unwrap();
        assert_eq!(walk(&checkpoint) as u64, checkpoint.total_bytes(), "{name}");
        assert_eq!(checkpoint.quantised(), name == "official", "{name}");
        assert_eq!(checkpoint.files().count(), 1);
    }
}

#[test]
fn library_files_hold_the_same_values_as_official_ones() {
    for name in ["swa", "csa", "hca"] {
        let official = Checkpoint::open(&case(name)).unwrap();
        let config = Config::from_file(&case(name).join("config.hf.json")).unwrap();
        let path = case(name).join("model.hf.safetensors");
        let library = Checkpoint::open_files(config, &[path]).unwrap();
        assert_eq!(library.config(), official.config(), "{name}");
        assert_eq!(library.total_bytes(), official.total_bytes(), "{name}");
        same(&official, &library);
    }
}

#[test]
fn the_official_case_shows_codes_with_their_scales() {
    let checkpoint = Checkpoint::open(&case("official")).unwrap();
    let linear = checkpoint.tensor("layers.0.attn.wo_a.weight").unwrap();
    assert_eq!((linear.dtype, linear.shape), (DType::F8E4M3, vec![256, 256]));
    let scale = linear.scale.unwrap();
    assert_eq!((scale.dtype, scale.shape, scale.block), (DType::E8M0, vec![2, 2], [128, 128]));
    let expert = checkpoint.tensor("mtp.0.ffn.experts.3.w2.weight").unwrap();
    assert_eq!((expert.dtype, expert.shape), (DType::F4E2M1X2, vec![128, 128]));
    assert_eq!(expert.bytes.len(), 128 * 64);
    let scale = expert.scale.unwrap();
    assert_eq!((scale.dtype, scale.shape, scale.block), (DType::E8M0, vec![128, 4], [1, 32]));
    let table = checkpoint.tensor("layers.0.ffn.gate.tid2eid").unwrap();
    assert_eq!((table.dtype, table.shape), (DType::I64, vec![112, 2]));
    assert!(table.scale.is_none());
    assert_eq!(checkpoint.config().expert_format, ExpertFormat::Fp4);
}

/// The names that `save_pretrained` of transformers 5.23 gives to the tensors of an official file.
fn hybrid(official: &str) -> String {
    let name = official
        .replace("attn.kv_norm.", "attn.norm.")
        .replace("hc_head_", "hc_head.hc_")
        .replace("embed.", "embed_tokens.");
    match name.starts_with("head.") {
        true => name,
        false => format!("model.{name}"),
    }
}

#[test]
fn a_file_saved_again_by_the_library_opens_under_its_hybrid_names() {
    for name in ["csa", "hash", "hca", "mixed"] {
        let (config, mut items) = load(name);
        let official = open(config.clone(), &items).unwrap();
        for item in &mut items {
            item.name = hybrid(&item.name);
        }
        same(&official, &open(config, &items).unwrap());
    }
}

#[test]
fn the_tail_is_dropped_where_the_library_dropped_it() {
    let (config, mut items) = load("mtp");
    items.retain(|i| !i.name.starts_with("mtp."));
    for item in &mut items {
        item.name = hybrid(&item.name);
    }
    let checkpoint = open(config, &items).unwrap();
    assert!(checkpoint.config().mtp.is_empty());
    assert!(!checkpoint.has("mtp.0.norm.weight"));
}

#[test]
fn a_tail_that_the_config_does_not_use_stays_unread() {
    let (mut config, items) = load("mtp");
    let whole = open(config.clone(), &items).unwrap();
    config.mtp.clear();
    let checkpoint = open(config, &items).unwrap();
    assert!(!checkpoint.has("mtp.0.norm.weight"));
    assert!(checkpoint.total_bytes() < whole.total_bytes());
}

#[test]
fn any_float_type_is_taken_where_a_float_belongs() {
    let (config, mut items) = load("csa");
    for (i, item) in items.iter_mut().enumerate() {
        let floats: Vec<f32> = item.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        // Experts of a block have one type.
        let kind = if item.name.contains("experts") { 1 } else { i % 3 };
        (item.dtype, item.bytes) = match kind {
            0 => continue,
            1 => (Dtype::BF16, floats.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect()),
            _ => (Dtype::F16, floats.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect()),
        };
    }
    walk(&open(config, &items).unwrap());
}

#[test]
fn packed_experts_open_as_i8_u8_or_f4_and_scales_as_e8m0_or_f32() {
    let (config, items) = load("official");
    let reference = open(config.clone(), &items).unwrap();
    let mut unsigned = items.clone();
    let mut named = items.clone();
    for (a, b) in unsigned.iter_mut().zip(&mut named) {
        if a.dtype == Dtype::I8 {
            a.dtype = Dtype::U8;
            b.dtype = Dtype::F4;
            b.shape[1] *= 2;
        }
    }
    same(&reference, &open(config.clone(), &unsigned).unwrap());
    same(&reference, &open(config.clone(), &named).unwrap());
    let mut wide = items;
    let scale = item(&mut wide, "layers.0.attn.wo_a.scale");
    scale.dtype = Dtype::F32;
    scale.bytes = [0.5f32; 4].iter().flat_map(|s| s.to_le_bytes()).collect();
    let checkpoint = open(config, &wide).unwrap();
    let scale = checkpoint.tensor("layers.0.attn.wo_a.weight").unwrap().scale.unwrap();
    assert_eq!((scale.dtype, scale.bytes.len()), (DType::F32, 16));
    walk(&checkpoint);
}

/// Stacks the experts of block 0 as the library does, keeping codes and scales.
fn stack(items: &mut Vec<Item>, experts: usize) {
    let take = |items: &mut Vec<Item>, name: &str| {
        let at = items.iter().position(|i| i.name == name).unwrap();
        items.swap_remove(at)
    };
    for (leaf, suffix) in [("weight", ""), ("scale", "_scale_inv")] {
        for (name, matrices) in [("gate_up_proj", &["w1", "w3"][..]), ("down_proj", &["w2"])] {
            let mut stacked: Option<Item> = None;
            for expert in 0..experts {
                for matrix in matrices {
                    let one = take(items, &format!("layers.0.ffn.experts.{expert}.{matrix}.{leaf}"));
                    match &mut stacked {
                        Some(all) => all.bytes.extend(one.bytes),
                        None => stacked = Some(one),
                    }
                }
            }
            let mut stacked = stacked.unwrap();
            stacked.name = format!("layers.0.ffn.experts.{name}{suffix}");
            stacked.shape[0] *= matrices.len();
            stacked.shape.insert(0, experts);
            items.push(stacked);
        }
    }
}

#[test]
fn stacked_experts_with_codes_are_sliced_with_their_scales() {
    let (config, mut items) = load("official");
    let reference = open(config.clone(), &items).unwrap();
    stack(&mut items, 4);
    let checkpoint = open(config, &items).unwrap();
    same(&reference, &checkpoint);
    walk(&checkpoint);
    for none in [
        "layers.0.ffn.experts.4.w1.weight",
        "layers.0.ffn.experts.01.w1.weight",
        "layers.0.ffn.experts.0.w4.weight",
        "layers.0.ffn.experts.gate_up.weight",
        "layers.0.attn.wq_a.scale",
    ] {
        assert!(!checkpoint.has(none), "{none}");
        assert!(checkpoint.tensor(none).is_err(), "{none}");
    }
}

#[test]
fn a_single_stacked_expert_is_a_matrix() {
    let (mut config, mut items) = load("official");
    config.n_routed_experts = 1;
    config.num_experts_per_tok = 1;
    items.retain(|i| !i.name.contains("experts.") || i.name.contains("experts.0") || i.name.contains("shared"));
    for item in &mut items {
        let kept = match item.name.rsplit_once("ffn.gate.").map(|(_, leaf)| leaf) {
            Some("bias" | "weight") => 4,
            Some(_) => 2,
            None => continue,
        };
        let last = item.shape.len() - 1;
        let dim = if kept == 2 { last } else { 0 };
        item.shape[dim] = 1;
        item.bytes.truncate(item.bytes.len() / kept);
    }
    stack(&mut items, 1);
    let checkpoint = open(config, &items).unwrap();
    for matrix in ["w1", "w2", "w3"] {
        let name = format!("layers.0.ffn.experts.0.{matrix}.weight");
        assert_eq!(checkpoint.tensor(&name).unwrap().shape, [128, 128]);
    }
}

#[test]
fn shards_with_an_index_are_one_checkpoint() {
    let (config, items) = load("official");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(case("official").join("config.json"), dir.path().join("config.json")).unwrap();
    let mut map = serde_json::Map::new();
    for (i, part) in items.chunks(items.len().div_ceil(3)).enumerate() {
        let shard = format!("model-{i}.safetensors");
        fs::write(dir.path().join(&shard), pack(part)).unwrap();
        for item in part {
            map.insert(item.name.clone(), shard.clone().into());
        }
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    let mut file = fs::File::create(dir.path().join("model.safetensors.index.json")).unwrap();
    write!(file, "{index}").unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.files().count(), 3);
    same(&open(config, &items).unwrap(), &checkpoint);
}

#[test]
fn chunks_are_the_whole_tensor_in_order() {
    let checkpoint = Checkpoint::open(&case("official")).unwrap();
    let tensor = checkpoint.tensor("embed.weight").unwrap();
    for size in [1, 100, 1000, 1 << 20] {
        let chunks: Vec<&[u8]> = tensor.checked_chunks(size).map(Result::unwrap).collect();
        assert!(chunks.iter().all(|c| c.len() <= size.max(8)));
        assert_eq!(chunks.concat(), tensor.bytes);
    }
}

#[test]
fn released_pages_come_back_with_the_same_bytes() {
    let checkpoint = Checkpoint::open(&case("csa")).unwrap();
    let tensor = checkpoint.tensor("embed.weight").unwrap();
    let before = tensor.bytes.to_vec();
    checkpoint.release(&tensor);
    assert_eq!(tensor.bytes, before);
}

#[test]
fn the_manifest_of_the_released_models_has_the_documented_tensor_count() {
    // Scales included: 145,116 tensors in Pro, 69,187 in Flash.
    for (name, count) in [("flash", 69_187), ("pro", 145_116)] {
        let path = format!("{}/configs/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let config = Config::from_file(path.as_ref()).unwrap();
        let tensors = manifest(&config).map(|spec| match spec.role {
            Role::Linear | Role::Expert => 2,
            _ => 1,
        });
        assert_eq!(tensors.sum::<usize>(), count, "{name}");
    }
}

#[test]
fn names_of_all_three_sets_lead_to_the_official_one() {
    for (stored, official) in [
        ("lm_head.weight", "head.weight"),
        ("model.hc_head.hc_base", "hc_head_base"),
        ("model.layers.7.attn_hc.scale", "layers.7.hc_attn_scale"),
        ("model.layers.7.self_attn.q_a_proj.weight_scale_inv", "layers.7.attn.wq_a.scale"),
        ("model.layers.7.self_attn.sinks", "layers.7.attn.attn_sink"),
        ("model.layers.7.attn.norm.weight", "layers.7.attn.kv_norm.weight"),
        ("model.layers.7.self_attn.compressor.indexer.position_bias", "layers.7.attn.indexer.compressor.ape"),
        ("model.layers.7.self_attn.compressor.indexer.q_b_proj.weight_scale_inv", "layers.7.attn.indexer.wq_b.scale"),
        ("layers.7.attn.compressor.norm.weight", "layers.7.attn.compressor.norm.weight"),
        ("model.layers.7.mlp.shared_experts.up_proj.weight", "layers.7.ffn.shared_experts.w3.weight"),
        ("mtp.0.e_proj.scale", "mtp.0.e_proj.scale"),
        ("model.norm.weight", "norm.weight"),
        ("something.else", "something.else"),
        ("layers.7", "layers.7."),
        ("", ""),
    ] {
        assert_eq!(names::official(stored), official, "{stored}");
    }
}
