use crate::config::Config;
use crate::weights::Checkpoint;
use std::fs;
use std::path::PathBuf;

/// The seeds of the fuzz target are worth something only as long as they get past the reader.
#[test]
fn whole_files_of_the_fuzz_corpus_open() {
    let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (seed, config) in [("official", "official"), ("library", "library"), ("hybrid", "library")] {
        let config = Config::from_file(&fuzz.join(format!("configs/{config}.json"))).unwrap();
        let seed = fuzz.join(format!("corpus/checkpoint/{seed}-file"));
        // The first byte is the target's choice of config.
        let bytes = fs::read(&seed).unwrap()[1..].to_vec();
        Checkpoint::from_memory(config, &seed.display().to_string(), bytes).unwrap();
    }
}
