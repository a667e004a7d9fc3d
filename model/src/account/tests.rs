use super::*;

const GIB: f64 = (1u64 << 30) as f64;
const CONTEXTS: [u64; 4] = [4096, 32768, 131_072, 1 << 20];

fn config(name: &str) -> Config {
    let text: &[u8] = match name {
        "flash" => include_bytes!("../../configs/flash.json"),
        _ => include_bytes!("../../configs/pro.json"),
    };
    Config::from_slice(name, text).unwrap()
}

fn account(name: &str, context: u64) -> Account {
    Account::new(&config(name), Query::new(context)).unwrap()
}

fn gb(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e9)
}

fn gflop(flops: u64) -> String {
    format!("{:.1}", flops as f64 / 1e9)
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.1}", 100.0 * part / whole)
}

#[test]
fn parameter_counts_are_the_published_ones() {
    for (name, total, active) in [("flash", "284.3", "13.27"), ("pro", "1573.0", "48.85")] {
        let p = account(name, 1).parameters;
        assert_eq!(format!("{:.1}", p.total as f64 / 1e9), total);
        assert_eq!(format!("{:.2}", p.active as f64 / 1e9), active);
    }
}

#[test]
fn weight_bytes_by_kind_match_the_table() {
    // attention, compressors + indexer, routed, shared, rest, sum: GB read per token; backbone and whole on disk: GiB.
    for (name, kinds, sum, backbone, whole) in [
        ("flash", ["4.78", "0.62", "3.45", "1.08", "1.28"], "11.21", "145.3", "149"),
        ("pro", ["18.67", "1.58", "12.84", "4.03", "2.52"], "39.66", "792.3", "805"),
    ] {
        let w = account(name, 1).weights;
        let r = w.read;
        assert_eq!([r.attention, r.compressor_indexer, r.routed, r.shared, r.rest].map(gb), kinds);
        assert_eq!(gb(r.total), sum);
        assert_eq!(format!("{:.1}", w.stored.total as f64 / GIB), backbone);
        assert_eq!(format!("{:.0}", w.checkpoint as f64 / GIB), whole);
        assert!((w.small as f64) < 2e-4 * w.checkpoint as f64);
    }
}

/// Bytes of all tensors of an oracle checkpoint, with the floats that no quantisation covers taken as BF16.
fn checkpoint_bytes(path: &std::path::Path) -> u64 {
    let file = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let tensors: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let bytes = |(name, tensor): (&String, &serde_json::Value)| {
        let offset = |i: usize| tensor["data_offsets"][i].as_u64().unwrap();
        let always_f32 = ["hc_", "ape", "attn_sink", "gate.bias"].iter().any(|part| name.contains(part));
        let halved = tensor["dtype"] == "F32" && !always_f32;
        (offset(1) - offset(0)) / if halved { 2 } else { 1 }
    };
    tensors.iter().filter(|(name, _)| *name != "__metadata__").map(bytes).sum()
}

#[test]
fn checkpoint_bytes_are_those_of_the_oracles_files() {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/oracle/cases");
    for case in ["csa", "hash", "hca", "mixed", "mtp", "official", "realratio", "short", "swa"] {
        let config = Config::from_file(&cases.join(case).join("config.json")).unwrap();
        let account = Account::new(&config, Query::new(1)).unwrap();
        let expected = checkpoint_bytes(&cases.join(case).join("model.safetensors"));
        assert_eq!(account.weights.checkpoint, expected, "{case}");
    }
}

#[test]
fn cache_size_and_traffic_match_the_table() {
    // size in GiB, percent of V3.2, MB read per token; at each context in mixed format, then the longest in BF16.
    for (name, rows) in [
        (
            "flash",
            [
                ["0.016", "8.9", "11"],
                ["0.110", "7.5", "24"],
                ["0.431", "7.4", "68"],
                ["3.430", "7.3", "479"],
                ["6.724", "8.0", "1594"],
            ],
        ),
        (
            "pro",
            [
                ["0.023", "12.8", "25"],
                ["0.158", "10.7", "44"],
                ["0.617", "10.5", "108"],
                ["4.910", "10.5", "705"],
                ["9.625", "11.5", "2313"],
            ],
        ),
    ] {
        let printed = |cache: CacheBytes, whole: u64| {
            let size = cache.size as f64;
            [format!("{:.3}", size / GIB), percent(size, whole as f64), format!("{:.0}", cache.read as f64 / 1e6)]
        };
        for (context, row) in CONTEXTS.into_iter().zip(&rows) {
            let a = account(name, context);
            assert_eq!(&printed(a.cache.mixed, a.baseline.kv_mixed), row, "{name} at {context}");
        }
        let a = account(name, 1 << 20);
        assert_eq!(printed(a.cache.bf16, a.baseline.kv_bf16), rows[4]);
    }
}

#[test]
fn flops_match_the_table() {
    // linear, indexer, core, total, percent of V3.2.
    for (name, rows) in [
        (
            "flash",
            [
                ["26.5", "0.4", "2.2", "29.1", "25.6"],
                ["26.5", "2.9", "2.8", "32.2", "22.5"],
                ["26.5", "11.4", "4.8", "42.8", "17.6"],
                ["26.5", "91.3", "23.6", "141.4", "12.1"],
            ],
        ),
        (
            "pro",
            [
                ["97.7", "0.5", "10.4", "108.6", "95.3"],
                ["97.7", "4.1", "12.2", "114.0", "79.8"],
                ["97.7", "16.3", "18.4", "132.4", "54.7"],
                ["97.7", "130.4", "76.7", "304.7", "26.0"],
            ],
        ),
    ] {
        for (context, [linear, indexer, core, total, share]) in CONTEXTS.into_iter().zip(rows) {
            let a = account(name, context);
            let f = a.flops;
            assert_eq!([f.linear, f.indexer, f.core, f.total].map(gflop), [linear, indexer, core, total]);
            assert_eq!(percent(f.total as f64, a.baseline.flops.total as f64), share, "{name} at {context}");
        }
    }
}

#[test]
fn fp8_equivalent_work_at_a_million_tokens_is_10_and_26_5_percent_of_v32() {
    for (name, work, share) in [("flash", "121.1", "10.0"), ("pro", "320.0", "26.5")] {
        let a = account(name, 1 << 20);
        assert_eq!(format!("{:.1}", a.flops.fp8_equivalent / 1e9), work);
        assert_eq!(percent(a.flops.fp8_equivalent, a.baseline.flops.fp8_equivalent), share);
    }
}

#[test]
fn the_baseline_matches_the_table() {
    let at = |context| Baseline::v32(context).unwrap();
    assert_eq!(gb(at(1).active_parameters), "37.48");
    assert_eq!(CONTEXTS.map(|t| gflop(at(t).flops.total)), ["113.9", "142.9", "242.3", "1170.0"]);
    let longest = at(1 << 20);
    assert_eq!(gflop(longest.flops.indexer), "1060.3");
    assert_eq!(format!("{:.1}", longest.flops.fp8_equivalent / 1e9), "1206.7");
    assert_eq!(CONTEXTS.map(|t| format!("{:.2}", at(t).kv_mixed as f64 / GIB)), ["0.18", "1.47", "5.87", "46.94"]);
    assert_eq!(format!("{:.2}", longest.kv_bf16 as f64 / GIB), "83.88");
}

#[test]
fn slots_and_pages_have_the_catalogues_sizes() {
    let flash = config("flash");
    let sequence = |name: &str, format| SequenceBytes::new(&config(name), 2048, format).unwrap();
    let packed = sequence("flash", CacheFormat::Packed);
    // 44 rings (MTP has one) of 144 rows.
    assert_eq!((CacheFormat::Packed.key_row(&flash), CacheFormat::Packed.index_row(&flash)), (584, 68));
    assert_eq!(packed.ring, 44 * 144 * 584);
    assert_eq!(sequence("flash", CacheFormat::Bf16).ring, 44 * 144 * 1024);
    // 21 CSA blocks with 16 rows of 2048 and of 512, 20 HCA blocks with 136 rows of 1024, F32.
    assert_eq!(packed.open_windows, 21 * (131_072 + 32_768) + 20 * 557_056);
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    assert_eq!(megabytes(packed.open_windows), "14.6");
    assert_eq!(megabytes(packed.open_windows_without_slack), "12.2");
    let pro = sequence("pro", CacheFormat::Packed);
    assert_eq!([megabytes(pro.open_windows), megabytes(pro.open_windows_without_slack)], ["22.2", "18.7"]);
    // 2048 tokens fill 8 CSA pages of 64 entries and one HCA page of 16.
    assert_eq!(packed.pages, 21 * 8 * 64 * (584 + 68) + 20 * 16 * 584);
    assert_eq!(packed.total, packed.slot + packed.pages);
    assert_eq!(packed.slot, packed.ring + packed.open_windows + 4);
    assert_eq!(packed.page, 21 * 64 * (584 + 68) + 20 * 16 * 584);
}

#[test]
fn a_started_page_is_a_whole_page_and_there_is_always_one() {
    let pages = |context| SequenceBytes::new(&config("flash"), context, CacheFormat::F32).unwrap().pages;
    let (csa, hca) = (21 * 64 * (2048 + 512), 20 * 16 * 2048);
    for (context, csa_pages, hca_pages) in
        [(1, 1, 1), (256, 1, 1), (259, 1, 1), (260, 2, 1), (2048, 8, 1), (2175, 9, 1), (2176, 9, 2)]
    {
        assert_eq!(pages(context), csa_pages * csa + hca_pages * hca, "{context}");
    }
}

#[test]
fn a_batch_reads_dense_weights_once_and_the_experts_it_hits() {
    let step = |batch| Account::new(&config("flash"), Query { batch, ..Query::new(4096) }).unwrap();
    let one = step(1);
    assert_eq!(one.step.experts_per_block, 6.0);
    assert_eq!(one.step.bytes_per_token, (one.weights.read.total + one.cache.mixed.read) as f64);
    let two = step(2);
    // The second token misses one of the six with probability 250/256.
    assert!((two.step.experts_per_block - (6.0 + 6.0 * 250.0 / 256.0)).abs() < 1e-9);
    assert_eq!(two.step.cache_bytes, 2.0 * one.step.cache_bytes);
    let many = step(10_000);
    assert!((many.step.experts_per_block - 256.0).abs() < 1e-9);
    let all = many.weights.read.total - many.weights.read.routed + many.weights.stored.routed;
    assert!((many.step.weight_bytes / all as f64 - 1.0).abs() < 1e-9);
}

#[test]
fn tensor_parallel_devices_divide_what_can_be_divided() {
    let need =
        |tensor_parallel| Account::new(&config("flash"), Query { tensor_parallel, ..Query::new(4096) }).unwrap().device;
    let (one, eight) = (need(1), need(8));
    assert_eq!(one.weights, account("flash", 4096).weights.checkpoint);
    // 43 + 1 blocks of experts and of the three split attention projections, with their scales.
    let fp8 = |elements: u64| elements + elements / 16384;
    let expert = 3 * 4096 * 2048u64;
    let routed = 256 * (expert / 2 + expert / 32);
    let attention = fp8(32768 * 1024) + fp8(8192 * 4096) + fp8(4096 * 8192);
    let split = 44 * (routed + fp8(expert) + attention);
    assert_eq!(one.weights - eight.weights, split / 8 * 7);
    assert_eq!(one.state, eight.state);
}

#[test]
fn fits_says_what_is_free_missing_and_how_many_sequences_go_in() {
    let query = Query { batch: 4, tensor_parallel: 8, ..Query::new(131_072) };
    let account = Account::new(&config("flash"), query).unwrap();
    let need = account.device.total;
    let exact = account.fits(need);
    assert_eq!((exact.fits, exact.free, exact.missing, exact.largest_batch), (true, 0, 0, 4));
    let short = account.fits(need - 1);
    assert_eq!((short.fits, short.free, short.missing, short.largest_batch), (false, 0, 1, 3));
    let room = account.fits(need + account.sequence.total);
    assert_eq!((room.fits, room.free, room.largest_batch), (true, account.sequence.total, 5));
    assert_eq!(account.fits(0).largest_batch, 0);
    let s = account.sequence;
    assert_eq!(account.device.total, account.device.weights + 4 * s.total + 2 * (s.slot + s.page));
}

#[test]
fn an_unquantised_model_is_counted_in_bf16() {
    let mut config = config("flash");
    config.quantised = false;
    config.expert_format = crate::config::ExpertFormat::Plain;
    let a = Account::new(&config, Query::new(4096)).unwrap();
    let flash = account("flash", 4096);
    assert_eq!(a.parameters, flash.parameters);
    let routed = 43 * 256 * 3 * 4096 * 2048 * 2;
    assert_eq!(a.weights.stored.routed, routed);
    assert_eq!(a.weights.read.compressor_indexer, flash.weights.read.compressor_indexer);
    assert_eq!(a.flops.total, flash.flops.total);
    // Everything doubles but the F32 hyper-connections.
    let hyper = 2.0 * 43.0 * 2.0 * 24.0 * 16384.0;
    assert_eq!(a.flops.fp8_equivalent, 2.0 * a.flops.total as f64 - hyper);
    // What a device holds that expands the coded weights.
    assert_eq!([flash.weights.expanded, flash.device.expanded_weights, a.weights.expanded], [a.weights.checkpoint; 3]);
    assert_eq!(flash.device.expanded_total, a.device.total);
    assert!(flash.to_string().contains("\nas bf16 ") && !a.to_string().contains("\nas bf16 "));
}

#[test]
fn requests_that_do_not_suit_the_model_are_refused_with_its_limits() {
    let refused = |query| Account::new(&config("flash"), query).unwrap_err().to_string();
    let q = Query::new(4096);
    for (query, field, limit) in [
        (Query { context: 0, ..q }, "context", "max_position_embeddings = 1048576"),
        (Query { context: (1 << 20) + 1, ..q }, "context", "max_position_embeddings = 1048576"),
        (Query { batch: 0, ..q }, "batch", "at least 1"),
        (Query { tensor_parallel: 0, ..q }, "tensor_parallel", "num_attention_heads = 64"),
        (Query { tensor_parallel: 3, ..q }, "tensor_parallel", "num_attention_heads = 64"),
        (Query { tensor_parallel: 16, ..q }, "tensor_parallel", "o_groups = 8"),
    ] {
        let text = refused(query);
        assert!(text.starts_with(field) && text.contains(limit), "{text}");
    }
    let text = refused(Query { batch: u64::MAX, ..q });
    assert!(text.contains("exceeds 64 bits"), "{text}");
}

#[test]
fn the_printed_form_shows_the_headline_numbers() {
    let account = account("pro", 1 << 20);
    let text = account.to_string();
    for part in ["1573.0B total, 48.85B active", "792.3 GiB", "39.66", "4.910 GiB", "10.5%", "304.7", "26.0%", "26.5%"]
    {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(account.fits(80 << 30).to_string().starts_with("does not fit 80.00 GiB"));
}

#[test]
fn json_carries_the_same_numbers() {
    let account = account("flash", 4096);
    let json = serde_json::to_value(&account).unwrap();
    assert_eq!(json["parameters"]["total"], account.parameters.total);
    assert_eq!(json["sequence"]["format"], "packed");
    assert_eq!(json["flops"]["fp8_equivalent"], account.flops.fp8_equivalent);
    assert_eq!(serde_json::to_value(account.fits(1)).unwrap()["fits"], false);
}

#[test]
fn cache_formats_read_back_from_their_names() {
    for format in CacheFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!("fp8".parse::<CacheFormat>().unwrap_err().to_string().contains("packed, bf16 or f32"));
}
