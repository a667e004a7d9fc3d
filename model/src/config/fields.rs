//! Typed access to the fields of a JSON object, each under any of its names.

use super::FieldError;
use serde_json::{Map, Value};

/// Longest piece of a file that an error quotes.
const QUOTE: usize = 60;

/// A JSON object and where it sits in the file.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn root(value: &'a Value) -> Result<Self, FieldError> {
        match value {
            Value::Object(map) => Ok(Self { map, prefix: "" }),
            other => Err(FieldError::new("(root)", "an object", quote(other))),
        }
    }

    /// The object under `name`, absent when missing or null.
    pub(super) fn object(&self, name: &'a str) -> Result<Option<Fields<'a>>, FieldError> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { map, prefix: name })),
            Some(other) => Err(self.error(name, "an object", quote(other))),
        }
    }

    fn raw(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    pub(super) fn error(&self, name: &str, expected: &str, found: impl ToString) -> FieldError {
        let path = match self.prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        FieldError::new(path, expected, found)
    }

    /// The value under the first of `names` that is there; the others, if there, must agree.
    fn pick<T: PartialEq>(
        &self,
        names: &[&str],
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let mut first: Option<(&str, T)> = None;
        for name in names {
            let Some(value) = self.raw(name) else {
                continue;
            };
            let got = read(value).ok_or_else(|| self.error(name, expected, quote(value)))?;
            match &first {
                None => first = Some((name, got)),
                Some((_, same)) if *same == got => {}
                Some((earlier, _)) => {
                    let expected = format!("the value of `{earlier}`, its other name");
                    return Err(self.error(name, &expected, quote(value)));
                }
            }
        }
        Ok(first.map(|(_, value)| value))
    }

    fn required<T>(&self, names: &[&str], expected: &str, value: Option<T>) -> Result<T, FieldError> {
        value.ok_or_else(|| self.error(names[0], expected, "nothing"))
    }

    /// A count of at most `max`, if there.
    pub(super) fn count_opt(&self, names: &[&str], max: usize) -> Result<Option<usize>, FieldError> {
        self.pick(names, &range(max), |v| count(v, max))
    }

    /// A count of at most `max`.
    pub(super) fn count(&self, names: &[&str], max: usize) -> Result<usize, FieldError> {
        let value = self.count_opt(names, max)?;
        self.required(names, &range(max), value)
    }

    /// A list of counts of at most `max`, if there.
    pub(super) fn counts_opt(&self, name: &str, max: usize) -> Result<Option<Vec<usize>>, FieldError> {
        let expected = format!("a list of integers from 0 to {max}");
        self.pick(&[name], &expected, |v| v.as_array()?.iter().map(|v| count(v, max)).collect())
    }

    /// A finite number, if there.
    pub(super) fn number_opt(&self, names: &[&str]) -> Result<Option<f64>, FieldError> {
        self.pick(names, NUMBER, |v| v.as_f64().filter(|x| x.is_finite()))
    }

    /// A finite number.
    pub(super) fn number(&self, names: &[&str]) -> Result<f64, FieldError> {
        let value = self.number_opt(names)?;
        self.required(names, NUMBER, value)
    }

    /// A text, if there.
    pub(super) fn text_opt(&self, names: &[&str]) -> Result<Option<&'a str>, FieldError> {
        for name in names {
            match self.raw(name) {
                None => {}
                Some(Value::String(text)) => return Ok(Some(text)),
                Some(other) => return Err(self.error(name, "a text", quote(other))),
            }
        }
        Ok(None)
    }

    /// A list of texts, if there.
    pub(super) fn texts_opt(&self, name: &str) -> Result<Option<Vec<&'a str>>, FieldError> {
        let Some(value) = self.raw(name) else {
            return Ok(None);
        };
        value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect())
            .map(Some)
            .ok_or_else(|| self.error(name, "a list of texts", quote(value)))
    }

    /// Token ids: one, or a list.
    pub(super) fn ids(&self, name: &str, max: usize) -> Result<Vec<u32>, FieldError> {
        let id = |v: &Value| count(v, max).and_then(|id| u32::try_from(id).ok());
        let expected = format!("token ids from 0 to {max}");
        let list = self.pick(&[name], &expected, |v| match v {
            Value::Array(list) => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })?;
        Ok(list.unwrap_or_default())
    }

    /// Refuses a text or a switch other than the one value this model family has.
    pub(super) fn only(&self, names: &[&str], value: &Value) -> Result<(), FieldError> {
        for name in names {
            match self.raw(name) {
                Some(found) if found != value => {
                    return Err(self.error(name, &value.to_string(), quote(found)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

const NUMBER: &str = "a finite number";

fn range(max: usize) -> String {
    format!("an integer from 0 to {max}")
}

fn count(value: &Value, max: usize) -> Option<usize> {
    let n = usize::try_from(value.as_u64()?).ok()?;
    (n <= max).then_some(n)
}

/// The value as the file has it, cut short.
pub(super) fn quote(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
