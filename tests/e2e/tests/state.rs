//! What a sequence's past may not depend on: how it was cut, who else was in the batch, how often it was rolled back or forked.
//! On the CPU all of it holds bit for bit.

#![allow(clippy::unwrap_used, reason = "a test: what panics here is the failure it reports")]

use omnihal::{DType, RowFormat};
use omnihal_deepseek::config::Precision;
use omnihal_deepseek::engine::{Engine, EngineOptions, Feed, Want};
use omnihal_deepseek::error::ModelError;
use omnihal_deepseek::state::SeqId;
use omnihal_deepseek::weights::Checkpoint;
use std::path::PathBuf;

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::open(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle/cases").join(name)).unwrap()
}

struct Bench {
    engine: Engine,
    vocab: u32,
}

impl Bench {
    fn new(case: &str, precision: Precision, act: DType, sequences: usize, positions: usize) -> Bench {
        Bench::open(case, precision, act, sequences, positions, true)
    }

    fn open(case: &str, precision: Precision, act: DType, sequences: usize, positions: usize, packed: bool) -> Bench {
        let checkpoint = checkpoint(case);
        let mut options = EngineOptions::new(checkpoint.config(), positions);
        (options.precision, options.act, options.sequences) = (precision, act, sequences);
        options.poison = true;
        options.packed_rows = packed;
        options.force_indexer = true;
        let device = omnihal_backends::registry().open("cpu").unwrap();
        let vocab = checkpoint.config().vocab_size as u32;
        Bench { engine: Engine::load(device, &checkpoint, options, &mut |_| {}).unwrap(), vocab }
    }

    /// A fixed sequence of tokens; `salt` makes different ones.
    fn tokens(&self, salt: u32, len: usize) -> Vec<u32> {
        (0..len as u32).map(|i| 2 + (i * 7919 + salt * 104_729 + i * i * 31) % (self.vocab - 2)).collect()
    }

    fn feed(&mut self, seq: SeqId, tokens: &[u32]) -> Vec<Vec<u32>> {
        rows(self.engine.step(&[Feed { seq, tokens, want: Want::All }]).unwrap())
    }

    /// Logits of every token, fed in steps of the given lengths.
    fn cut(&mut self, tokens: &[u32], mut lengths: impl Iterator<Item = usize>) -> Vec<Vec<u32>> {
        let seq = self.engine.add().unwrap();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            let len = lengths.next().unwrap().min(tokens.len() - at);
            out.extend(self.feed(seq, &tokens[at..at + len]));
            at += len;
        }
        self.engine.remove(seq).unwrap();
        out
    }
}

/// Logits as bits, so that equality is bitwise.
fn rows(logits: omnihal_deepseek::engine::Logits<'_>) -> Vec<Vec<u32>> {
    (0..logits.len()).map(|i| logits.row(i).iter().map(|v| v.to_bits()).collect()).collect()
}

/// Every layer kind, every precision mode, both activation types.
fn settings() -> Vec<(&'static str, Precision, DType)> {
    let mut all = vec![("mixed", Precision::Plain, DType::F32), ("mixed", Precision::Plain, DType::BF16)];
    for precision in Precision::ALL {
        all.extend([DType::F32, DType::BF16].map(|act| ("official", precision, act)));
    }
    all
}

#[test]
fn whole_in_odd_chunks_or_one_by_one_gives_the_same_bits() {
    for (case, precision, act) in settings() {
        let mut bench = Bench::new(case, precision, act, 1, 128);
        let tokens = bench.tokens(1, 70);
        let whole = bench.cut(&tokens, std::iter::repeat(70));
        let odd = bench.cut(&tokens, [5, 1, 7, 2, 9, 1, 3].into_iter().cycle());
        let single = bench.cut(&tokens, std::iter::repeat(1));
        let first = |a: &[Vec<u32>], b: &[Vec<u32>]| a.iter().zip(b).position(|(a, b)| a != b);
        assert_eq!(first(&whole, &odd), None, "{case} {precision} {act}: chunks differ from whole");
        assert_eq!(first(&whole, &single), None, "{case} {precision} {act}: single tokens differ from whole");
        assert!(whole.iter().flatten().all(|&b| f32::from_bits(b).is_finite()), "{case} {precision} {act}");
    }
}

#[test]
fn a_sequence_in_a_mixed_batch_gives_the_bits_it_gives_alone() {
    for (case, precision, act) in settings() {
        let mut bench = Bench::new(case, precision, act, 4, 128);
        let prompts = [(1u32, 61usize), (2, 1), (3, 37)].map(|(salt, len)| bench.tokens(salt, len));
        let alone: Vec<_> = prompts.iter().map(|p| bench.cut(p, std::iter::repeat(128))).collect();
        let seqs = [(); 3].map(|()| bench.engine.add().unwrap());
        // Uneven progress: prompt chunks of one sequence beside single tokens of another.
        let plan: [[usize; 3]; 5] = [[20, 1, 0], [1, 0, 30], [39, 0, 1], [0, 0, 5], [1, 0, 1]];
        let mut at = [0; 3];
        let mut mixed = vec![Vec::new(); 3];
        for lens in plan {
            let feeds: Vec<Feed<'_>> = (0..3)
                .filter(|&i| lens[i] > 0)
                .map(|i| Feed { seq: seqs[i], tokens: &prompts[i][at[i]..at[i] + lens[i]], want: Want::All })
                .collect();
            let mut out = rows(bench.engine.step(&feeds).unwrap()).into_iter();
            for i in 0..3 {
                mixed[i].extend(out.by_ref().take(lens[i]));
                at[i] += lens[i];
            }
        }
        for i in 0..3 {
            assert_eq!(at[i], prompts[i].len());
            assert!(mixed[i] == alone[i], "{case} {precision} {act}: sequence {i} differs in a batch");
        }
    }
}

#[test]
fn rolling_back_up_to_nine_tokens_leaves_no_trace() {
    let mut bench = Bench::new("mixed", Precision::Plain, DType::F32, 1, 128);
    let tokens = bench.tokens(5, 90);
    let straight = bench.cut(&tokens, std::iter::repeat(90));
    let wrong = bench.tokens(6, 9);
    // Every place, so that closings of both ratios lie before, inside and after what is taken back.
    for keep in 1..80 {
        let seq = bench.engine.add().unwrap();
        bench.feed(seq, &tokens[..keep]);
        for back in [1 + keep % 9, 9] {
            bench.feed(seq, &wrong[..back]);
            bench.engine.roll_back(seq, back).unwrap();
            assert_eq!(bench.engine.len(seq).unwrap(), keep);
        }
        let rest = bench.feed(seq, &tokens[keep..]);
        assert!(rest == straight[keep..], "taking back to {keep} changed what follows");
        bench.engine.remove(seq).unwrap();
    }
}

#[test]
fn rolling_back_further_is_refused_and_changes_nothing() {
    let mut bench = Bench::new("mixed", Precision::Plain, DType::F32, 1, 128);
    let tokens = bench.tokens(7, 60);
    let straight = bench.cut(&tokens, std::iter::repeat(60));
    let seq = bench.engine.add().unwrap();
    bench.feed(seq, &tokens[..40]);
    let error = bench.engine.roll_back(seq, 10).unwrap_err().to_string();
    assert!(error.contains("can go back to 31"), "{error}");
    // A second roll-back counts from the same peak.
    bench.engine.roll_back(seq, 5).unwrap();
    bench.engine.roll_back(seq, 4).unwrap();
    assert!(bench.engine.roll_back(seq, 1).is_err());
    assert_eq!(bench.engine.len(seq).unwrap(), 31);
    let rest = bench.feed(seq, &tokens[31..]);
    assert!(rest == straight[31..]);
}

#[test]
fn a_fork_goes_its_own_way() {
    let mut bench = Bench::new("mixed", Precision::Plain, DType::F32, 3, 512);
    let (common, left, right) = (bench.tokens(8, 43), bench.tokens(9, 30), bench.tokens(10, 30));
    let joined = |tail: &[u32]| [&common[..], tail].concat();
    let want_left = bench.cut(&joined(&left), std::iter::repeat(100));
    let want_right = bench.cut(&joined(&right), std::iter::repeat(100));
    let a = bench.engine.add().unwrap();
    bench.feed(a, &common);
    let b = bench.engine.fork(a).unwrap();
    // Alternating, so that a page written by one would show in the other.
    let (mut got_left, mut got_right) = (Vec::new(), Vec::new());
    for i in 0..30 {
        got_left.extend(bench.feed(a, &left[i..i + 1]));
        got_right.extend(bench.feed(b, &right[i..i + 1]));
    }
    assert!(got_left == want_left[43..], "the original changed with its fork");
    assert!(got_right == want_right[43..], "the fork changed with its original");
}

#[test]
fn a_full_pool_refuses_one_sequence_and_leaves_the_others() {
    let mut bench = Bench::new("mixed", Precision::Plain, DType::F32, 2, 64);
    let tokens = bench.tokens(11, 64);
    let straight = bench.cut(&tokens, std::iter::repeat(64));
    let (a, b) = (bench.engine.add().unwrap(), bench.engine.add().unwrap());
    let error = bench.engine.add().unwrap_err();
    assert!(matches!(error, ModelError::Full { what: "slots", .. }), "{error}");
    bench.feed(a, &tokens[..60]);
    bench.feed(b, &tokens[..10]);
    let feeds = [
        Feed { seq: b, tokens: &tokens[10..20], want: Want::All },
        Feed { seq: a, tokens: &tokens[..9], want: Want::All },
    ];
    let error = bench.engine.step(&feeds).unwrap_err();
    assert!(matches!(error, ModelError::Full { what: "positions", needed: 9, free: 4, .. }), "{error}");
    // Neither moved: both go on as if the step had not been asked for.
    assert_eq!((bench.engine.len(a).unwrap(), bench.engine.len(b).unwrap()), (60, 10));
    assert!(bench.feed(b, &tokens[10..20]) == straight[10..20]);
    assert!(bench.feed(a, &tokens[60..]) == straight[60..]);
}

#[test]
fn packed_rows_give_the_bits_of_plain_ones_in_less_memory() {
    for precision in [Precision::QatKv, Precision::QatKvIdx, Precision::QatAll] {
        let mut plain = Bench::open("official", precision, DType::BF16, 1, 512, false);
        let mut packed = Bench::open("official", precision, DType::BF16, 1, 512, true);
        assert_eq!(packed.engine.pools().shape.rows, RowFormat::F8R, "{precision}");
        let tokens = plain.tokens(12, 90);
        let lengths = || [30, 1, 7, 52].into_iter();
        assert!(plain.cut(&tokens, lengths()) == packed.cut(&tokens, lengths()), "{precision}");
        assert!(packed.engine.memory()[1] < plain.engine.memory()[1], "{precision}");
    }
    // Nothing is packed where that would lose something.
    let bench = Bench::new("official", Precision::QatAll, DType::F32, 1, 64);
    assert_eq!(bench.engine.pools().shape.rows, RowFormat::Plain(DType::F32));
}

#[test]
fn bad_feeds_are_refused_with_what_to_do() {
    let mut bench = Bench::new("swa", Precision::Plain, DType::F32, 2, 64);
    let seq = bench.engine.add().unwrap();
    let mut refuse = |feeds: &[Feed<'_>], words: &str| {
        let error = bench.engine.step(feeds).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let feed = |tokens| Feed { seq, tokens, want: Want::Last };
    refuse(&[feed(&[])], "was fed no token");
    refuse(&[feed(&[1, 5000])], "token 5000 is outside the vocabulary");
    refuse(&[feed(&[1]), feed(&[2])], "fed twice");
}
