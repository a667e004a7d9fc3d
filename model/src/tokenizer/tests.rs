use super::*;
use serde_json::json;

/// Tokens of more than one byte: id, bytes. Each holds a part of a character or several characters.
const LONG_TOKENS: [(u32, &[u8]); 6] = [
    (256, b"ab"),
    (257, &[0xF0, 0x9F]),
    (258, &[0x99, 0x82]),
    (259, &[0xE4, 0xBD, 0xA0, 0xE5, 0xA5]),
    (260, &[0xBD, 0xF0]),
    (261, &[0xC3, 0xA9, 0xFF]),
];
const BOS: u32 = 262;
const EOS: u32 = 263;
const THINK: u32 = 264;
const VOCAB: usize = 265;

fn spelled(bytes: &[u8]) -> String {
    let char_of: std::collections::HashMap<u8, char> = table::byte_of_char().into_iter().map(|(c, b)| (b, c)).collect();
    bytes.iter().map(|b| char_of[b]).collect()
}

fn description() -> serde_json::Value {
    let mut vocab = serde_json::Map::new();
    for b in 0..=u8::MAX {
        vocab.insert(spelled(&[b]), json!(b));
    }
    for (id, bytes) in LONG_TOKENS {
        vocab.insert(spelled(bytes), json!(id));
    }
    let added = |id: u32, content: &str, special: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": special})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [added(BOS, BOS_TOKEN, true), added(EOS, EOS_TOKEN, true), added(THINK, "<think>", false)],
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                  "vocab": vocab, "merges": []},
    })
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(description().to_string().as_bytes()).unwrap()
}

fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut stream = tokenizer.decode_stream();
    let mut out: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap().to_owned()).collect();
    out.push(stream.finish().to_owned());
    out
}

/// Numbers that depend on the name of the case only.
fn numbers(name: &str) -> impl FnMut(u32) -> u32 + use<> {
    let mut state =
        name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3));
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(below)) as u32
    }
}

#[test]
fn a_text_becomes_its_utf8_bytes_when_there_are_no_merges() {
    let tokenizer = tokenizer();
    for text in ["plain", " two  spaces\n\ttab", "naïve café", "你好，世界", "🙂🚀", "\u{0}\u{7f}\u{ad}\u{a0}"]
    {
        let ids: Vec<u32> = text.bytes().map(u32::from).collect();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn names_of_added_tokens_become_one_id_each_and_come_back() {
    let tokenizer = tokenizer();
    let text = format!("{BOS_TOKEN}a<think>é{EOS_TOKEN}");
    let ids = tokenizer.encode(&text).unwrap();
    assert_eq!(ids, [BOS, 97, THINK, 0xC3, 0xA9, EOS]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert_eq!(pieces(&tokenizer, &ids).concat(), text);
}

#[test]
fn begin_and_end_are_found_by_name_and_flags_come_from_the_file() {
    let tokenizer = tokenizer();
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(BOS), Some(EOS)));
    assert_eq!(tokenizer.token_id("<think>"), Some(THINK));
    assert_eq!(tokenizer.token_id("<nothing>"), None);
    assert_eq!(tokenizer.vocab_size(), VOCAB);
    let special: Vec<u32> = (0..VOCAB as u32 + 9).filter(|&id| tokenizer.is_special(id)).collect();
    assert_eq!(special, [BOS, EOS]);
}

#[test]
fn a_character_is_emitted_with_its_last_byte_and_not_before() {
    let tokenizer = tokenizer();
    assert_eq!(pieces(&tokenizer, &[0xF0, 0x9F, 0x99, 0x82, 33]), ["", "", "", "🙂", "!", ""]);
    assert_eq!(pieces(&tokenizer, &[257, 258]), ["", "🙂", ""]);
    // 你 and most of 好 in one token; the next closes 好 and opens an emoji.
    assert_eq!(pieces(&tokenizer, &[259, 260, 0x9F, 258]), ["你", "好", "", "🙂", ""]);
}

#[test]
fn bytes_that_cannot_become_a_character_are_replaced_as_soon_as_that_is_certain() {
    let tokenizer = tokenizer();
    assert_eq!(pieces(&tokenizer, &[0xFF, 97]), ["\u{FFFD}", "a", ""]);
    assert_eq!(pieces(&tokenizer, &[0xE4, 97]), ["", "\u{FFFD}a", ""]);
    // E0 wants A0..BF next, so 80 ends it and is an error of its own.
    assert_eq!(pieces(&tokenizer, &[0xE0, 0x80]), ["", "\u{FFFD}\u{FFFD}", ""]);
    assert_eq!(pieces(&tokenizer, &[261]), ["é\u{FFFD}", ""]);
    assert_eq!(pieces(&tokenizer, &[257, BOS]), ["", "\u{FFFD}<｜begin▁of▁sentence｜>", ""]);
}

#[test]
fn finish_replaces_a_truncated_character_once() {
    let tokenizer = tokenizer();
    assert_eq!(pieces(&tokenizer, &[97, 0xF0, 0x9F, 0x99]), ["a", "", "", "", "\u{FFFD}"]);
    assert_eq!(pieces(&tokenizer, &[]), [""]);
}

#[test]
fn streamed_pieces_together_equal_decoding_everything_at_once() {
    let tokenizer = tokenizer();
    let emoji: Vec<u32> = "é你🙂\u{10FFFF}".bytes().map(u32::from).collect();
    for case in 0..2000 {
        let mut next = numbers(&format!("streamed_pieces_together/{case}"));
        let ids: Vec<u32> = (0..next(40))
            .map(|_| match next(4) {
                0 => next(VOCAB as u32),
                1 => 256 + next(VOCAB as u32 - 256),
                2 => emoji[next(emoji.len() as u32) as usize],
                _ => 0xF0 - 0x70 * next(2) + next(16),
            })
            .collect();
        let whole = tokenizer.decode(&ids).unwrap();
        assert_eq!(pieces(&tokenizer, &ids).concat(), whole, "case {case}: {ids:x?}");
        assert_eq!(tokenizer.inner.decode(&ids, false).unwrap(), whole, "the crate decodes case {case} differently");
    }
}

#[test]
fn a_stream_holds_back_at_most_three_bytes() {
    let tokenizer = tokenizer();
    let mut stream = tokenizer.decode_stream();
    let mut next = numbers("a_stream_holds_back_at_most_three_bytes");
    for _ in 0..20_000 {
        stream.push(next(VOCAB as u32)).unwrap();
        assert!(stream.held_back() <= 3);
    }
}

#[test]
fn an_unknown_id_is_an_error_that_names_it_and_changes_nothing() {
    let tokenizer = tokenizer();
    let text = tokenizer.decode(&[97, 9999]).unwrap_err().to_string();
    assert!(text.contains("9999") && text.contains("265"), "{text}");
    let mut stream = tokenizer.decode_stream();
    stream.push(0xC3).unwrap();
    assert!(stream.push(9999).is_err());
    assert_eq!(stream.push(0xA9).unwrap(), "é");
}

#[test]
fn an_id_in_a_gap_of_the_vocabulary_is_unknown() {
    let mut json = description();
    json["model"]["vocab"]["zz"] = json!(270);
    for (i, token) in json["added_tokens"].as_array_mut().unwrap().iter_mut().enumerate() {
        token["id"] = json!(263 + i);
    }
    let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.decode(&[265, 270]).unwrap(), "<think>zz");
    for id in [262, 266, 269] {
        assert!(matches!(tokenizer.decode(&[id]), Err(TokenizerError::UnknownId { vocab_size: 271, .. })));
    }
}

#[test]
fn added_tokens_that_would_be_renumbered_are_refused() {
    let mut json = description();
    json["model"]["vocab"].as_object_mut().unwrap().remove(&spelled(b"ab"));
    let error = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap_err();
    assert!(
        matches!(&error, TokenizerError::AddedToken { name, asked: BOS, given: 261, .. } if name == BOS_TOKEN),
        "{error}"
    );
}

#[test]
fn padding_and_truncation_in_the_file_do_not_change_a_prompt() {
    let mut json = description();
    json["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                             "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("abc").unwrap(), [97, 98, 99]);
}

#[test]
fn files_that_are_no_byte_level_tokenizer_are_refused_with_a_reason() {
    let refused = |json: serde_json::Value| Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap_err();
    let mut no_decoder = description();
    no_decoder["decoder"] = json!(null);
    assert!(matches!(refused(no_decoder), TokenizerError::NotByteLevel { found: "none", .. }));

    let mut metaspace = description();
    metaspace["decoder"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    assert!(matches!(refused(metaspace), TokenizerError::NotByteLevel { found: "Metaspace", .. }));

    let mut high = description();
    high["added_tokens"] = json!([]);
    high["model"]["vocab"].as_object_mut().unwrap().insert("zz".into(), json!(u32::MAX));
    assert!(matches!(refused(high), TokenizerError::Vocabulary { highest: Some(u32::MAX), .. }));

    let mut empty = description();
    empty["model"]["vocab"] = json!({});
    empty["added_tokens"] = json!([]);
    assert!(matches!(refused(empty), TokenizerError::Vocabulary { highest: None, .. }));

    for text in ["", "{}", "[1]", "{\"model\":", "\u{0}"] {
        assert!(matches!(Tokenizer::from_bytes(text.as_bytes()), Err(TokenizerError::Parse { .. })), "{text:?}");
    }
}

#[test]
fn damaged_descriptions_never_panic() {
    let good = description().to_string().into_bytes();
    let mut opened = 0;
    for case in 0..300 {
        let mut next = numbers(&format!("damaged_descriptions/{case}"));
        let mut bytes = good.clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len() as u32) as usize;
            bytes[at] = b"0\"{}[],:9ae\xFF"[next(12) as usize];
        }
        if let Ok(tokenizer) = Tokenizer::from_bytes(&bytes) {
            opened += 1;
            if let Ok(ids) = tokenizer.encode("a é 🙂 <think>") {
                tokenizer.decode(&ids).unwrap();
            }
        }
    }
    assert!((1..300).contains(&opened), "the damage is too small or too large to tell: {opened} of 300 opened");
}

#[test]
fn open_reads_a_file_and_names_it_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let missing = Tokenizer::open(&path).unwrap_err().to_string();
    assert!(missing.contains("tokenizer.json"), "{missing}");

    std::fs::write(&path, description().to_string()).unwrap();
    assert_eq!(Tokenizer::open(&path).unwrap().vocab_size(), VOCAB);

    // A sparse file: refused by its length, without reading it.
    std::fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(Tokenizer::open(&path), Err(TokenizerError::TooLarge { .. })));
}
