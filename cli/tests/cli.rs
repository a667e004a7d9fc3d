//! The command as a person or a program meets it: exit codes, JSON, messages.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn omnihal(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnihal"));
    command.args(args).env_remove("OMNIHAL_LOG").env_remove("OMNIHAL_THREADS");
    command.output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The JSON of a command that ends with the given exit code.
fn json(expected: i32, args: &[&str]) -> Value {
    let output = omnihal(args);
    assert_eq!(code(&output), expected, "{args:?}: {}", stderr(&output));
    let text = stdout(&output);
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

/// The one line on stderr of a command that fails with the given exit code.
fn refusal(expected: i32, args: &[&str]) -> String {
    let output = omnihal(args);
    assert_eq!(code(&output), expected, "{args:?}: {}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{args:?}: {}", stderr(&output));
    stderr(&output).trim().to_owned()
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/oracle/cases").join(name)
}

fn parity_args<'a>(dir: &'a str, golden: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["parity", "--model", dir, "--golden", golden, "--json"], more].concat()
}

#[test]
fn the_version_names_commit_and_features() {
    let output = omnihal(&["--version"]);
    let text = stdout(&output);
    assert!(text.starts_with(&format!("omnihal {} (commit ", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("features: "), "{text}");
}

#[test]
fn every_command_has_help_with_an_example_and_exit_codes_are_told() {
    let output = omnihal(&["--help"]);
    assert!(stdout(&output).contains("Exit codes:"));
    let commands = ["devices", "doctor", "generate", "parity", "placement", "plan", "ops"];
    let commands = commands.map(|name| vec![name]).into_iter();
    for mut command in commands.chain([vec!["bench", "dispatch"], vec!["bench", "model"]]) {
        command.push("--help");
        let output = omnihal(&command);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("Example"), "{command:?}");
    }
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    assert_eq!(code(&omnihal(&["generate", "--frobnicate"])), 2);
    assert_eq!(code(&omnihal(&["plan"])), 2);
    assert_eq!(code(&omnihal(&["parity"])), 2);
}

#[test]
fn an_unknown_backend_is_answered_with_the_known_ones() {
    let message = refusal(2, &["generate", "--backend", "tpu"]);
    assert!(message.contains("no backend named `tpu`") && message.contains("reference, cpu, null"), "{message}");
    #[cfg(not(feature = "ascend"))]
    {
        let message = refusal(2, &["generate", "--backend", "ascend"]);
        assert!(message.contains("build with `--features ascend`"), "{message}");
    }
    let message = refusal(2, &["generate", "--backend", "cpu:x"]);
    assert!(message.contains("expected a number"), "{message}");
    let message = refusal(2, &["generate", "--backend", "cpu:7"]);
    assert!(message.contains("open device 0"), "{message}");
}

#[test]
fn devices_name_every_backend_and_where_it_looked() {
    let found = json(0, &["devices", "--json"]);
    let names: Vec<_> = found.as_array().unwrap().iter().map(|b| b["backend"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["reference", "cpu", "null"]);
    assert_eq!(found[1]["devices"][0]["device"], "cpu:0");
    assert!(!found[1]["searched"].as_array().unwrap().is_empty());
    assert!(stdout(&omnihal(&["devices"])).contains("cpu:0"));
}

#[test]
fn the_doctor_finds_the_cpu_healthy_and_the_null_backend_wrong() {
    let report = json(0, &["doctor", "--json"]);
    assert_eq!(report["pass"], true);
    let checks: Vec<_> = report["findings"].as_array().unwrap().iter().map(|f| f["check"].as_str().unwrap()).collect();
    for check in ["build", "environment", "threads", "processor", "memory", "backend", "self-check"] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    let report = json(1, &["doctor", "--backend", "null", "--json"]);
    assert_eq!(report["pass"], false);
}

/// Without CANN, which no machine of these tests has: the report says what is missing, and is written all the same.
#[cfg(feature = "ascend")]
#[test]
fn the_doctor_of_an_absent_installation_says_what_is_missing_and_writes_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let nowhere = folder.path().join("nowhere");
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnihal"));
    command.args(["doctor", "--backend", "ascend", "--json", "--out"]).arg(&file);
    command.env("OMNIHAL_ASCEND_TOOLKIT", &nowhere).env_remove("ASCEND_OPP_PATH");
    let output = command.output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let printed: Value = serde_json::from_str(stdout(&output)).unwrap();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert_eq!(written["pass"], false);
    let installation = &written["installation"];
    assert_eq!(installation["device"], false);
    let searched = installation["searched"].as_array().unwrap();
    assert!(searched.iter().any(|place| place.as_str().unwrap().contains(nowhere.to_str().unwrap())), "{searched:?}");
    let costs: Vec<_> =
        installation["missing"].as_array().unwrap().iter().map(|m| m["cost"].as_str().unwrap()).collect();
    assert!(costs.iter().any(|cost| cost.contains("install CANN")), "{costs:?}");
    let assumptions = installation["assumptions"].as_array().unwrap();
    assert!(assumptions.len() > 15 && assumptions.iter().all(|one| one["state"] == "open"), "{assumptions:?}");
}

#[test]
fn a_report_that_cannot_be_written_is_an_input_error() {
    let refused = refusal(2, &["doctor", "--out", "/nowhere/report.json"]);
    assert!(refused.contains("--out /nowhere/report.json"), "{refused}");
}

#[test]
fn the_demo_says_its_sentence() {
    let output = omnihal(&["generate"]);
    let text = stdout(&output);
    assert!(text.starts_with("OmniHAL is a hardware abstraction layer that runs DeepSeek-V4."), "{text}");
    assert!(text.ends_with("your build works.\n"), "{text}");
    assert_eq!(code(&output), 0);
    assert_eq!(stderr(&output), "");
}

#[test]
fn generate_reports_text_tokens_and_rates_as_json() {
    let report = json(0, &["generate", "--prompt", "7+8=", "--json", "--act", "f32"]);
    assert_eq!(report["text"], "15");
    assert_eq!(report["finish"], "stop");
    assert_eq!(report["precision"], "qat_all");
    assert_eq!(report["prompt_ids"][0], 0, "the begin token");
    assert!(report["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    let report = json(0, &["generate", "--max-tokens", "5", "--json", "--precision", "plain"]);
    assert_eq!(report["finish"], "length");
    assert_eq!(report["tokens"].as_array().unwrap().len(), 5);
}

#[test]
fn a_seed_fixes_a_sampled_text() {
    let sampled = |seed| {
        let args = ["generate", "--max-tokens", "24", "--temperature", "3", "--ignore-eos", "--json", "--seed", seed];
        json(0, &args)["tokens"].clone()
    };
    assert_eq!(sampled("1"), sampled("1"));
    assert_ne!(sampled("1"), sampled("2"));
}

#[test]
fn statistics_go_to_stderr() {
    let output = omnihal(&["generate", "--prompt", "1+6=", "--stats"]);
    assert_eq!(stdout(&output), "1+6=7\n");
    assert!(stderr(&output).contains("tok/s"));
}

#[test]
fn generate_refuses_what_cannot_be() {
    let message = refusal(2, &["generate", "--max-tokens", "5000"]);
    assert!(message.contains("the model has 4096"), "{message}");
    let message = refusal(2, &["generate", "--temperature", "-1"]);
    assert!(message.contains("temperature"), "{message}");
    let message = refusal(2, &["generate", "--model", "no-such-folder", "--prompt", "x"]);
    assert!(message.contains("no-such-folder"), "{message}");
    let dir = case("swa");
    let message = refusal(2, &["generate", "--model", dir.to_str().unwrap(), "--prompt", "x"]);
    assert!(message.contains("tokenizer.json"), "{message}");
    let message = refusal(2, &["generate", "--trace", "no-such-folder/trace.json"]);
    assert!(message.contains("no-such-folder"), "{message}");
    let message = refusal(2, &["generate", "--prompt-ids", "1,999999"]);
    assert!(message.contains("999999"), "{message}");
}

#[test]
fn a_model_without_a_tokenizer_continues_ids() {
    let dir = case("swa");
    let args =
        ["generate", "--model", dir.to_str().unwrap(), "--prompt-ids", "1,2,3", "--max-tokens", "4", "--ignore-eos"];
    let output = omnihal(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).trim().split(',').filter(|id| id.parse::<u32>().is_ok()).count(), 4);
}

#[test]
fn a_trace_is_json_with_the_device_calls() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace.json");
    let output = omnihal(&["generate", "--prompt", "1+6=", "--trace", file.to_str().unwrap()]);
    assert_eq!(code(&output), 0);
    let trace: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|e| e["name"] == "attention.sparse"));
}

#[test]
fn parity_holds_on_a_case_along_every_path() {
    let dir = case("swa");
    let golden = dir.join("golden.safetensors");
    let (dir, golden) = (dir.to_str().unwrap(), golden.to_str().unwrap());
    for path in ["prefill", "decode", "chunks", "all"] {
        let report = json(0, &parity_args(dir, golden, &["--path", path]));
        assert_eq!(report["pass"], true, "{path}");
        assert_eq!(report["compared"], report["total"], "{path}");
        assert_eq!(report["first_divergence"], Value::Null);
        let first = &report["tensors"][0];
        assert!(first["name"].is_string() && first["max_abs"].is_f64() && first["limit"].is_f64());
        assert_eq!(report["other_paths"].as_array().unwrap().is_empty(), path == "decode" || path == "all", "{path}");
    }
    let report = json(0, &parity_args(dir, golden, &["--backend", "reference", "--tier", "core"]));
    assert_eq!(report["pass"], true);
}

#[test]
fn parity_takes_a_folder_of_library_files() {
    let from = case("swa");
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.hf.safetensors", "config.hf.json"] {
        std::fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    let golden = from.join("golden.safetensors");
    let args = parity_args(dir.path().to_str().unwrap(), golden.to_str().unwrap(), &["--path", "prefill"]);
    assert_eq!(json(0, &args)["pass"], true);
    let files = ["--model-file", "model.hf.safetensors", "--config", "config.hf.json", "--path", "prefill"];
    let args = parity_args(from.to_str().unwrap(), golden.to_str().unwrap(), &files);
    assert_eq!(json(0, &args)["pass"], true);
}

#[test]
fn parity_of_single_operators_holds() {
    let golden = case("ops").join("golden.safetensors");
    let report = json(0, &["parity", "--ops", golden.to_str().unwrap(), "--json"]);
    assert_eq!(report["pass"], true);
    assert!(report["total"].as_u64().unwrap() > 10);
}

/// A golden file of the case with one tensor's last number raised.
fn raised(dir: &Path, name: &str, by: f32) -> PathBuf {
    use safetensors::{SafeTensors, tensor::TensorView};
    let bytes = std::fs::read(case("swa").join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut data = file.tensor(name).unwrap().data().to_vec();
    let at = data.len() - 4;
    let value = f32::from_le_bytes(data[at..].try_into().unwrap()) + by;
    data[at..].copy_from_slice(&value.to_le_bytes());
    let views = file.tensors().into_iter().map(|(other, view)| {
        let bytes = if other == name { &data[..] } else { view.data() };
        (other, TensorView::new(view.dtype(), view.shape().to_vec(), bytes).unwrap())
    });
    let out = dir.join("golden.safetensors");
    safetensors::serialize_to_file(views.collect::<Vec<_>>(), None, &out).unwrap();
    out
}

#[test]
fn a_changed_golden_value_fails_parity_and_is_named() {
    let (model, dir) = (case("swa"), tempfile::tempdir().unwrap());
    for (name, by) in [("prefill.layers.1.ffn.out", 2e-3), ("logits", 1e-3), ("decode_logits", f32::NAN)] {
        let golden = raised(dir.path(), name, by);
        let report = json(1, &parity_args(model.to_str().unwrap(), golden.to_str().unwrap(), &[]));
        assert_eq!(report["pass"], false);
        assert_eq!(report["first_divergence"], name);
        let wrong: Vec<_> = report["tensors"].as_array().unwrap().iter().filter(|t| t["pass"] == false).collect();
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0]["max_abs"].as_f64().unwrap() > wrong[0]["limit"].as_f64().unwrap());
    }
}

#[test]
fn parity_refuses_files_that_are_none() {
    let (model, dir) = (case("swa"), tempfile::tempdir().unwrap());
    let model = model.to_str().unwrap();
    let file = dir.path().join("x.safetensors");
    std::fs::write(&file, b"not safetensors").unwrap();
    let message = refusal(2, &["parity", "--model", model, "--golden", file.to_str().unwrap()]);
    assert!(message.contains("x.safetensors"), "{message}");
    let message = refusal(2, &["parity", "--model", model, "--golden", "missing.safetensors"]);
    assert!(message.contains("missing.safetensors"), "{message}");
    let golden = case("swa").join("golden.safetensors");
    let golden = golden.to_str().unwrap();
    let message = refusal(2, &["parity", "--model", model, "--golden", golden, "--precision", "qat_all"]);
    assert!(message.contains("qat_all"), "{message}");
}

#[test]
fn the_core_tier_places_no_fused_operator_natively() {
    for backend in ["cpu", "reference"] {
        let core = json(0, &["placement", "--backend", backend, "--tier", "core", "--rows", "4", "--json"]);
        let rows = core["rows"].as_array().unwrap();
        assert!(rows.iter().any(|r| r["tier"] == "fused" && r["place"] == "composed"), "{core}");
        assert!(!rows.iter().any(|r| r["tier"] == "fused" && r["place"] == "native"), "{core}");
    }
    let all = json(0, &["placement", "--json"]);
    let native = |r: &Value| r["tier"] == "fused" && r["place"] == "native";
    assert!(all["rows"].as_array().unwrap().iter().any(native));
}

#[test]
fn plan_tells_published_numbers_and_whether_it_fits() {
    let plan = json(0, &["plan", "--config", "flash", "--context", "1M", "--json"]);
    assert_eq!(plan["parameters"]["total"].as_u64().unwrap() / 100_000_000, 2843);
    let plan = json(1, &["plan", "--config", "pro", "--context", "4K", "--device-memory", "80", "--json"]);
    assert_eq!(plan["fit"]["fits"], false);
    let output = omnihal(&["plan", "--config", "pro", "--context", "4K", "--device-memory", "80", "--tp", "16"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("fits"), "{}", stdout(&output));
    let message = refusal(2, &["plan", "--config", "nope", "--context", "1"]);
    assert!(message.contains("flash, pro"), "{message}");
    let message = refusal(2, &["plan", "--config", "flash", "--context", "0"]);
    assert!(message.contains("context"), "{message}");
}

#[test]
fn the_operator_document_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ops.md");
    let output = omnihal(&["ops", "--markdown"]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), stdout(&output), "run: omnihal ops --markdown > docs/ops.md");
    let ops = json(0, &["ops", "--json"]);
    assert_eq!(ops.as_array().unwrap().len(), omnihal::OpKind::ALL.len());
}

#[test]
fn benchmarks_report_numbers() {
    let args = ["bench", "model", "--prefill", "16", "--decode-at", "8", "--tokens", "2", "--reps", "1", "--json"];
    let report = json(0, &[&args[..], &["--no-bandwidth"]].concat());
    assert!(report["decode_tokens_per_second"]["median"].as_f64().unwrap() > 0.0);
    assert!(report["prefill_tokens_per_second"]["best"].as_f64().unwrap() > 0.0);
    let ways = json(0, &["bench", "dispatch", "--reps", "1", "--json"]);
    assert_eq!(ways.as_array().unwrap().len(), 3);
}

#[test]
fn a_wrong_log_filter_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnihal"));
    let output = command.arg("devices").env("OMNIHAL_LOG", "omnihal=loud").output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("OMNIHAL_LOG"));
}

#[test]
fn a_closed_pipe_ends_the_program_in_silence() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omnihal"));
    command.args(["ops", "--markdown"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, ""));
}
