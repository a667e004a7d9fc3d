//! Safetensors files made and broken by hand, since no well-behaved writer makes a broken one.

use crate::config::Config;
use crate::weights::{Checkpoint, WeightError};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

pub fn case(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/oracle/cases").join(name)
}

/// A tensor on its way into a file.
#[derive(Clone)]
pub struct Item {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tensors of an official case, and its config.
pub fn load(name: &str) -> (Config, Vec<Item>) {
    let config = Config::from_file(&case(name).join("config.json")).unwrap();
    let bytes = std::fs::read(case(name).join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut items: Vec<Item> = file
        .iter()
        .map(|(name, view)| Item {
            name: name.into(),
            dtype: view.dtype(),
            shape: view.shape().into(),
            bytes: view.data().into(),
        })
        .collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    (config, items)
}

pub fn item<'a>(items: &'a mut [Item], name: &str) -> &'a mut Item {
    items.iter_mut().find(|i| i.name == name).unwrap()
}

/// The header entries and the data of a file.
pub fn parts(items: &[Item]) -> (Map<String, Value>, Vec<u8>) {
    let mut header = Map::new();
    let mut data = Vec::new();
    for item in items {
        let start = data.len();
        data.extend(&item.bytes);
        let info = json!({
            "dtype": item.dtype, "shape": item.shape, "data_offsets": [start, data.len()]
        });
        header.insert(item.name.clone(), info);
    }
    (header, data)
}

pub fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

pub fn pack(items: &[Item]) -> Vec<u8> {
    let (header, data) = parts(items);
    file(&Value::from(header).to_string(), &data)
}

pub fn open(config: Config, items: &[Item]) -> Result<Checkpoint, WeightError> {
    Checkpoint::from_memory(config, "m.safetensors", pack(items))
}

/// The error of opening, as text.
pub fn refusal(opened: Result<Checkpoint, WeightError>) -> String {
    match opened {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

/// The error says every one of the words.
pub fn expect(what: &str, error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{what}: `{word}` is not in: {error}");
    }
}
