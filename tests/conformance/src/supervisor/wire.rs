//! What supervisor and worker say to each other: one JSON text a line.

use crate::outcome::CaseResult;
use crate::report::DeviceFacts;
use serde::{Deserialize, Serialize};

/// What a worker says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// First: which device it has opened.
    Ready(Box<DeviceFacts>),
    /// First, instead: why it has none.
    Refused(String),
    /// A case has ended.
    Done(Box<Done>),
}

/// A result with the outputs that are kept whole.
#[derive(Serialize, Deserialize)]
pub struct Done {
    /// The result.
    pub result: CaseResult,
    /// Bytes of each output in hexadecimal, in the order of the result's outputs.
    pub outputs: Vec<Option<String>>,
}

impl Done {
    /// Packs a result for the wire.
    pub fn pack(mut result: CaseResult) -> Done {
        crate::report::make_finite(&mut result);
        let outputs = result.outputs.iter_mut().map(|o| o.bytes.take().map(|b| crate::judge::hex(&b))).collect();
        Done { result, outputs }
    }

    /// The result as it was.
    pub fn unpack(self) -> CaseResult {
        let mut result = self.result;
        for (output, bytes) in result.outputs.iter_mut().zip(self.outputs) {
            output.bytes = bytes.as_deref().and_then(unhex);
        }
        result
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16);
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, OutputRecord};

    #[test]
    fn outputs_survive_the_wire() {
        let mut result = CaseResult::new("a", "b", "c", Outcome::Pass);
        let output = |bytes: Option<Vec<u8>>| OutputRecord {
            arg: "y".into(),
            dtype: "F32".into(),
            shape: vec![1],
            sha256: String::new(),
            compared: 1,
            worst: None,
            bytes,
        };
        result.outputs = vec![output(Some(vec![0, 255, 16])), output(None)];
        let text = serde_json::to_string(&Message::Done(Box::new(Done::pack(result.clone())))).unwrap();
        let Message::Done(done) = serde_json::from_str(&text).unwrap() else { panic!() };
        assert_eq!(done.unpack(), result);
    }
}
