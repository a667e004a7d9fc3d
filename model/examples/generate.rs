//! Continues a prompt on a backend chosen at run time.
//!
//!     cargo run --release -p omnihal-cli --example generate
//!     cargo run --release -p omnihal-cli --example generate -- cpu /path/to/checkpoint "Once upon a time"
//!
//! The model crate knows no backend; the example is built in a crate that has some.

use omnihal_deepseek::demo;
use omnihal_deepseek::engine::{Engine, EngineOptions};
use omnihal_deepseek::generate::{Generator, Request, prompt_ids};
use omnihal_deepseek::sampler::SamplerParams;
use omnihal_deepseek::tokenizer::Tokenizer;
use omnihal_deepseek::weights::Checkpoint;
use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let backend = args.first().map_or("cpu", String::as_str);
    let (checkpoint, tokenizer) = match args.get(1) {
        Some(dir) => (Checkpoint::open(Path::new(dir))?, Tokenizer::open(Path::new(dir).join("tokenizer.json"))?),
        None => (demo::checkpoint()?, demo::tokenizer()?),
    };
    let text = args.get(2).map_or(demo::PROMPT, String::as_str);

    // A device, a model on it, and room for a thousand tokens.
    let device = omnihal_backends::registry().open(backend)?;
    let options = EngineOptions::new(checkpoint.config(), 1024);
    let stop = checkpoint.config().eos_token_ids.clone();
    let mut generator = Generator::new(Engine::load(device, &checkpoint, options, &mut |_| {})?);

    let prompt = prompt_ids(&tokenizer, text)?;
    let request = Request { params: SamplerParams::default(), max_tokens: 256, stop };
    print!("{text}");
    let made = generator.text(&tokenizer, &prompt, &request, &mut |piece| {
        print!("{piece}");
        // Each piece should be seen when it is made, and a closed pipe ends the text.
        match std::io::stdout().flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    println!("\n{} tokens, {:.1} a second", made.tokens.len(), made.stats.decode_rate().unwrap_or_default());
    Ok(())
}
