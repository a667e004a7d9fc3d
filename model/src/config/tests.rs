use super::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn case(name: &str, file: &str) -> PathBuf {
    root().join("../tests/e2e/oracle/cases").join(name).join(file)
}

const CASES: [&str; 9] = ["csa", "hash", "hca", "mixed", "mtp", "official", "realratio", "short", "swa"];

fn official() -> Value {
    let text = std::fs::read(case("official", "config.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn read(value: &Value) -> Result<Config, ConfigError> {
    Config::from_slice("config.json", value.to_string().as_bytes())
}

#[test]
fn official_and_library_forms_of_every_case_are_the_same_config() {
    for name in CASES {
        let official = Config::from_file(&case(name, "config.json")).unwrap();
        let mut library = Config::from_file(&case(name, "config.hf.json")).unwrap();
        // The library's form does not say how weights are stored.
        library.quantised = official.quantised;
        library.expert_format = official.expert_format;
        assert_eq!(official, library, "{name}");
    }
}

#[test]
fn released_configs_have_the_documented_block_patterns() {
    let kinds = |config: &Config| {
        let count = |kind| config.blocks.iter().filter(|b| b.kind == kind).count();
        (count(BlockKind::Window), count(BlockKind::Csa), count(BlockKind::Hca))
    };
    let flash = Config::from_file(&root().join("configs/flash.json")).unwrap();
    assert_eq!(kinds(&flash), (2, 21, 20));
    let pro = Config::from_file(&root().join("configs/pro.json")).unwrap();
    assert_eq!(kinds(&pro), (0, 30, 31));
    for (config, d, heads, experts) in [(&flash, 4096, 64, 256), (&pro, 7168, 128, 384)] {
        assert_eq!(config.hidden_size, d);
        assert_eq!(config.num_attention_heads, heads);
        assert_eq!(config.n_routed_experts, experts);
        assert_eq!(config.o_group_in(), 4096);
        assert_eq!(config.hc_coefficients(), 24);
        assert_eq!(config.mtp, [Block::new(0, false)]);
        assert!(config.blocks.iter().enumerate().all(|(i, b)| b.hash_routed == (i < 3)));
        assert!(config.quantised);
        assert_eq!(config.expert_format, ExpertFormat::Fp4);
        for mode in Precision::ALL {
            config.check_precision(mode).unwrap();
        }
    }
}

#[test]
fn reference_names_give_the_same_config() {
    let mut value = official();
    let map = value.as_object_mut().unwrap();
    for (from, to) in [
        ("hidden_size", "dim"),
        ("moe_intermediate_size", "moe_inter_dim"),
        ("num_hidden_layers", "n_layers"),
        ("num_hash_layers", "n_hash_layers"),
        ("num_nextn_predict_layers", "n_mtp_layers"),
        ("num_attention_heads", "n_heads"),
        ("num_experts_per_tok", "n_activated_experts"),
        ("scoring_func", "score_func"),
        ("routed_scaling_factor", "route_scale"),
        ("qk_rope_head_dim", "rope_head_dim"),
        ("sliding_window", "window_size"),
        ("rms_norm_eps", "norm_eps"),
    ] {
        let moved = map.remove(from).unwrap();
        map.insert(to.into(), moved);
    }
    for name in ["rope_scaling", "quantization_config", "torch_dtype"] {
        map.remove(name).unwrap();
    }
    map.insert("original_seq_len".into(), json!(65536));
    map.insert("rope_factor".into(), json!(16));
    map.insert("dtype".into(), json!("fp8"));
    assert_eq!(read(&value).unwrap(), read(&official()).unwrap());
}

#[test]
fn rope_differs_by_block_kind() {
    let config = read(&official()).unwrap();
    let window = config.rope(&config.blocks[0]);
    assert_eq!((window.theta, window.yarn), (1e4, None));
    let csa = config.rope(&config.blocks[1]);
    assert_eq!((csa.theta, csa.yarn.unwrap().factor), (1.6e5, 16.0));
    assert_eq!(config.rope(&config.blocks[2]), csa);
}

#[test]
fn precision_modes_are_refused_by_the_width_that_does_not_fit() {
    let mut config = Config::from_file(&case("csa", "config.json")).unwrap();
    config.check_precision(Precision::Plain).unwrap();
    let error = config.check_precision(Precision::QatKv).unwrap_err();
    assert_eq!(error.field, "head_dim - qk_rope_head_dim");
    config.head_dim = 64 + config.qk_rope_head_dim;
    config.check_precision(Precision::QatKv).unwrap();
    for width in [16, 48] {
        config.index_head_dim = width;
        let error = config.check_precision(Precision::QatAll).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "config field `index_head_dim`: expected a power of two of at least 32 \
             for precision qat_all (or use qat_kv), found {width}"
            )
        );
    }
    config.index_head_dim = 64;
    config.check_precision(Precision::QatAll).unwrap();
}

#[test]
fn precision_names_parse_back() {
    for mode in Precision::ALL {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    let error = "fp8".parse::<Precision>().unwrap_err().to_string();
    assert!(error.contains("qat_kv_idx") && error.contains("`fp8`"), "{error}");
}

/// Sets the field at `path` (dots separate) and returns the error of reading the result.
fn error_after(path: &str, new: Value) -> String {
    let mut value = official();
    let (parent, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    let target = if parent.is_empty() { &mut value } else { &mut value[parent] };
    match new {
        Value::Null => {
            target.as_object_mut().unwrap().remove(leaf).unwrap();
        }
        new => target[leaf] = new,
    }
    match read(&value) {
        Ok(_) => panic!("{path}: accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn hostile_fields_give_one_error_that_names_field_expected_and_found() {
    // Null stands for a missing field.
    let table = [
        ("hidden_size", json!(0), "from 1 to", "found 0"),
        ("hidden_size", json!(1u64 << 40), "from 0 to 262144", "found 1099511627776"),
        ("hidden_size", json!(-4), "an integer", "found -4"),
        ("hidden_size", json!(1.5), "an integer", "found 1.5"),
        ("hidden_size", json!("128"), "an integer", "found \"128\""),
        ("hidden_size", Value::Null, "an integer", "found nothing"),
        ("hidden_size", json!([128]), "an integer", "found [128]"),
        ("vocab_size", json!(u64::MAX), "an integer", "found 18446744073709551615"),
        ("head_dim", json!(1), "from 2 to", "found 1"),
        ("o_groups", json!(3), "divisor of num_attention_heads x head_dim = 512", "found 3"),
        ("o_groups", json!(0), "from 1 to", "found 0"),
        ("qk_rope_head_dim", json!(63), "even number", "found 63"),
        ("qk_rope_head_dim", json!(0), "even number", "found 0"),
        ("qk_rope_head_dim", json!(130), "head_dim = 128", "found 130"),
        ("index_head_dim", json!(32), "from 64 to", "found 32"),
        ("index_topk", Value::Null, "an integer", "found nothing"),
        ("index_topk", json!(0), "from 1 to", "found 0"),
        ("compress_ratios", json!([0, 4, 16]), "4 entries", "found 3"),
        ("compress_ratios", json!([0, 4, 16, 4]), "0 for every MTP block", "found 4"),
        ("compress_ratios", json!([0, -4, 16, 0]), "list of integers", "found [0,-4,16,0]"),
        ("compress_ratios", json!([0, 4, 1u64 << 32, 0]), "list of integers", "4294967296"),
        ("compress_ratios", json!({}), "list of integers", "found {}"),
        ("compress_ratios", Value::Null, "list of ratios", "found nothing"),
        ("num_hidden_layers", json!(100_000), "from 0 to 1024", "found 100000"),
        ("num_hash_layers", json!(4), "num_hidden_layers = 3", "found 4"),
        ("num_experts_per_tok", json!(5), "from 1 to 4", "found 5"),
        ("num_experts_per_tok", json!(0), "from 1 to 4", "found 0"),
        ("n_routed_experts", json!(0), "from 1 to", "found 0"),
        ("moe_intermediate_size", json!(0), "from 1 to", "found 0"),
        ("hc_mult", json!(17), "from 0 to 16", "found 17"),
        ("hc_mult", json!(0), "from 1 to", "found 0"),
        ("hc_eps", json!(0), "above 0", "found 0"),
        ("rms_norm_eps", json!("small"), "a finite number", "found \"small\""),
        ("rms_norm_eps", json!(-1e-6), "above 0", "found -0.00000"),
        ("rope_theta", json!(0), "above 0", "found 0"),
        ("rope_theta", json!(0.5), "above 1", "found 0.5"),
        ("rope_scaling.factor", json!(0.5), "from 1 to", "found 0.5"),
        ("rope_scaling.factor", Value::Null, "a finite number", "found nothing"),
        ("rope_scaling.type", json!("linear"), "yarn or default", "found linear"),
        ("rope_scaling.attention_factor", json!(2), "expected 1", "found 2"),
        ("rope_scaling.original_max_position_embeddings", json!(0), "from 1 to", "found 0"),
        ("rope_scaling.beta_fast", json!(0.5), "beta_slow = 1", "found 0.5"),
        ("rope_scaling", json!(7), "an object", "found 7"),
        ("swiglu_limit", json!(0), "above 0", "found 0"),
        ("routed_scaling_factor", json!(1e300), "above 0", "found inf"),
        ("sliding_window", json!(0), "from 1 to", "found 0"),
        ("n_shared_experts", json!(2), "expected 1", "found 2"),
        ("norm_topk_prob", json!(false), "expected true", "found false"),
        ("scoring_func", json!("softmax"), "sqrtsoftplus", "found \"softmax\""),
        ("model_type", json!("deepseek_v3"), "deepseek_v4", "found \"deepseek_v3\""),
        ("tie_word_embeddings", json!(true), "expected false", "found true"),
        ("expert_dtype", json!("int2"), "fp4, fp8 or bf16", "found int2"),
        ("quantization_config.quant_method", json!("awq"), "fp8", "found \"awq\""),
        ("quantization_config.weight_block_size", json!([128]), "two integers", "found [128]"),
        ("quantization_config.weight_block_size", json!([0, 128]), "from 1 to", "found 0"),
        ("eos_token_id", json!(112), "from 0 to 111", "found 112"),
        ("dim", json!(64), "the value of `hidden_size`", "found 64"),
        ("partial_rotary_factor", json!(0.25), "qk_rope_head_dim / head_dim", "found 0.25"),
        ("layer_types", json!(["sliding_attention", "x", "y"]), "attention kind", "found x"),
        ("layer_types", json!(["sliding_attention"]), "3 entries", "found 1"),
        ("mlp_layer_types", json!(["moe", "moe", "moe"]), "num_hash_layers", "another"),
        ("mlp_layer_types", json!([1]), "a list of texts", "found [1]"),
    ];
    for (field, new, expected, found) in table {
        let error = error_after(field, new);
        let leaf = field.rsplit('.').next().unwrap();
        let named = error.contains(leaf) || (leaf == "type" && error.contains("rope_type"));
        assert!(named, "{field}: {error}");
        assert!(error.contains(expected), "{field}: {error}");
        assert!(error.contains(found), "{field}: {error}");
        assert!(error.starts_with("config.json: "), "{field}: {error}");
    }
}

#[test]
fn products_that_would_overflow_are_refused() {
    let mut value = official();
    value["num_attention_heads"] = json!(16384);
    value["head_dim"] = json!(16384);
    let error = read(&value).unwrap_err().to_string();
    assert!(error.contains("found 16384 x 16384"), "{error}");
}

#[test]
fn unknown_fields_are_ignored() {
    let mut value = official();
    value["dspark_block"] = json!({"any": [1, 2]});
    assert_eq!(read(&value).unwrap(), read(&official()).unwrap());
}

#[test]
fn text_that_is_no_config_is_refused() {
    for (text, word) in
        [(&b""[..], "JSON"), (b"{", "JSON"), (b"[]", "an object"), (b"\xff\xfe", "JSON"), (b"{}", "num_hidden_layers")]
    {
        let error = Config::from_slice("config.json", text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let deep = "[".repeat(100_000);
    assert!(Config::from_slice("config.json", deep.as_bytes()).is_err());
    let long = vec![b' '; MAX_CONFIG_BYTES as usize + 1];
    let error = Config::from_slice("config.json", &long).unwrap_err().to_string();
    assert!(error.contains("at most 1048576 bytes"), "{error}");
}

#[test]
fn a_folder_is_not_a_config() {
    let error = Config::from_file(&root()).unwrap_err().to_string();
    assert!(error.contains("regular file"), "{error}");
}
