//! The bundled demo model, from text to text: its known continuations, and what its compressed entries are worth.

#![allow(clippy::unwrap_used, reason = "a failure here is the failure of a test")]

use omnihal::DType;
use omnihal_deepseek::demo;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::generate::{Finish, GenerateError, Generator, Request};
use omnihal_deepseek::sampler::SamplerParams;
use serde::Deserialize;
use std::fmt::Write;
use std::ops::ControlFlow;

fn engine(backend: &str, act: DType, positions: usize, window_only: bool) -> Engine {
    let checkpoint = demo::checkpoint().unwrap();
    let device = omnihal_backends::registry().open(backend).unwrap();
    let mut options = EngineOptions::new(checkpoint.config(), positions);
    assert_eq!(options.precision.name(), "qat_all", "a quantised checkpoint runs in the mode it was trained in");
    options.act = act;
    options.window_only = window_only;
    Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap()
}

/// Every known prompt, as text in and text out.
fn says_what_is_expected(backend: &str, act: DType) {
    let tokenizer = demo::tokenizer().unwrap();
    let mut generator = Generator::new(engine(backend, act, 256, false));
    let (mut table, mut wrong) = (String::new(), 0);
    for case in demo::expected().unwrap() {
        let ids = demo::prompt(&tokenizer, &case.prompt).unwrap();
        assert_eq!(ids, case.tokens, "{}", case.prompt);
        let stop = generator.engine().config().eos_token_ids.clone();
        let request = Request { params: SamplerParams::default(), max_tokens: demo::MAX_TOKENS, stop };
        let mut text = String::new();
        let on_text = &mut |piece: &str| {
            text.push_str(piece);
            ControlFlow::Continue(())
        };
        let made = generator.text(&tokenizer, &ids, &request, on_text).unwrap();
        let right = made.tokens == case.continuation_tokens && text == case.continuation && made.finish == Finish::Stop;
        wrong += usize::from(!right);
        writeln!(table, "{} {:<28}{text}", if right { "ok   " } else { "WRONG" }, case.prompt).unwrap();
        assert_eq!(made.stats.decode_steps + 1, made.tokens.len());
    }
    assert_eq!(wrong, 0, "{backend} {act}\n{table}");
}

#[test]
fn the_cpu_says_what_the_demo_was_taught_in_f32() {
    says_what_is_expected("cpu", DType::F32);
}

#[test]
fn the_cpu_says_what_the_demo_was_taught_in_bf16() {
    says_what_is_expected("cpu", DType::BF16);
}

#[test]
fn the_reference_says_what_the_demo_was_taught_in_f32() {
    says_what_is_expected("reference", DType::F32);
}

#[test]
fn the_reference_says_what_the_demo_was_taught_in_bf16() {
    says_what_is_expected("reference", DType::BF16);
}

#[test]
fn a_refused_or_cancelled_text_leaves_the_generator_as_it_was() {
    let mut generator = Generator::new(engine("cpu", DType::F32, 32, false));
    let greedy = |max_tokens| Request { params: SamplerParams::default(), max_tokens, stop: vec![] };
    let go_on = &mut |_| Ok(ControlFlow::Continue(()));
    assert!(matches!(generator.tokens(&[], &greedy(4), go_on), Err(GenerateError::EmptyPrompt)));
    generator.tokens(&[0, 9999], &greedy(4), go_on).unwrap_err();
    generator.tokens(&[0; 30], &greedy(4), go_on).unwrap_err();
    let hot = Request { params: SamplerParams { top_p: 0.0, ..SamplerParams::default() }, ..greedy(4) };
    generator.tokens(&[0], &hot, go_on).unwrap_err();
    let made = generator.tokens(&[0], &greedy(4), &mut |_| Ok(ControlFlow::Break(()))).unwrap();
    assert_eq!((made.finish, made.tokens.len()), (Finish::Cancelled, 1));
    let made = generator.tokens(&[0], &greedy(0), go_on).unwrap();
    assert_eq!((made.finish, made.tokens.len()), (Finish::Length, 0));
    // There is one slot: had any of these kept it, this one would be refused.
    let made = generator.tokens(&[0], &greedy(4), go_on).unwrap();
    assert_eq!((made.finish, made.tokens.len(), made.stats.decode_steps), (Finish::Length, 4, 3));
}

#[derive(Deserialize)]
struct Recall {
    chance: f64,
    prompts: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    prompt: String,
    tokens: Vec<u32>,
    answer_token: u32,
}

/// Share of questions whose most probable next token is the answer.
fn accuracy(backend: &str, act: DType, questions: &[Question], window_only: bool) -> (f64, String) {
    let longest = questions.iter().map(|q| q.tokens.len()).max().unwrap();
    let mut engine = engine(backend, act, longest, window_only);
    let (mut right, mut table) = (0, String::new());
    for question in questions {
        let seq = engine.add().unwrap();
        let logits = engine.step(&[Feed { seq, tokens: &question.tokens, want: Want::Last }]).unwrap();
        let best = logits.row(0).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        engine.remove(seq).unwrap();
        right += usize::from(best == question.answer_token);
        writeln!(table, "{} -> {best}, answer {}", question.prompt, question.answer_token).unwrap();
    }
    (right as f64 / questions.len() as f64, table)
}

/// The question lies further back than three windows reach, so only compressed entries can answer it.
fn recalls_with_entries_only(backend: &str, act: DType, questions: usize) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../model/demo/recall.json");
    let recall: Recall = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let questions = &recall.prompts[..questions];
    let (with, answers) = accuracy(backend, act, questions, false);
    let (without, guesses) = accuracy(backend, act, questions, true);
    let table = format!(
        "{backend} {act}: {} questions, chance {:.3}\n  with entries    {with:.3}\n  without entries {without:.3}\n",
        questions.len(),
        recall.chance
    );
    println!("{table}");
    assert!(with >= 0.98, "{table}{answers}");
    // Three standard deviations of guessing above chance.
    let deviation = (recall.chance * (1.0 - recall.chance) / questions.len() as f64).sqrt();
    assert!(without <= recall.chance + 3.0 * deviation, "{table}{guesses}");
}

#[test]
fn the_cpu_recalls_by_compressed_entries_and_not_without_them() {
    recalls_with_entries_only("cpu", DType::F32, 64);
    recalls_with_entries_only("cpu", DType::BF16, 64);
}

#[test]
fn the_reference_recalls_by_compressed_entries_and_not_without_them() {
    // Fewer: each takes it about two seconds.
    recalls_with_entries_only("reference", DType::F32, 16);
}
