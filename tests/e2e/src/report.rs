//! What a comparison found.

use serde::Serialize;
use std::fmt;

/// Result of one golden tensor.
#[derive(Clone, Debug, Serialize)]
pub struct TensorResult {
    /// Golden name.
    pub name: String,
    /// Largest absolute difference; for sets, the number of rows that differ.
    pub max_abs: f64,
    /// Largest difference allowed.
    pub limit: f64,
    /// Within the limit.
    pub pass: bool,
}

/// Result of a golden file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Every tensor was compared and is within its limit.
    pub pass: bool,
    /// Tensors compared.
    pub compared: usize,
    /// Tensors that the file has, inputs not counted.
    pub total: usize,
    /// First tensor in graph order beyond its limit.
    pub first_divergence: Option<String>,
    /// Every compared tensor, in graph order.
    pub tensors: Vec<TensorResult>,
}

impl Report {
    /// A report of results in graph order. `total` counts those that should be there.
    pub fn new(tensors: Vec<TensorResult>, total: usize) -> Self {
        let first_divergence = tensors.iter().find(|t| !t.pass).map(|t| t.name.clone());
        let pass = first_divergence.is_none() && tensors.len() == total && total > 0;
        Report { pass, compared: tensors.len(), total, first_divergence, tensors }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut worst: Vec<(String, &TensorResult)> = Vec::new();
        for tensor in &self.tensors {
            let kind = kind(&tensor.name);
            match worst.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, w)) if tensor.max_abs / tensor.limit > w.max_abs / w.limit => *w = tensor,
                Some(_) => {}
                None => worst.push((kind, tensor)),
            }
        }
        for (kind, tensor) in worst {
            let verdict = if tensor.pass { "ok  " } else { "FAIL" };
            writeln!(
                f,
                "{verdict} {kind:<32} worst {:.2e} of {:.0e}  ({})",
                tensor.max_abs, tensor.limit, tensor.name
            )?;
        }
        writeln!(f, "{} of {} golden tensors compared", self.compared, self.total)?;
        match &self.first_divergence {
            Some(name) => writeln!(f, "first divergence: {name}"),
            None if self.pass => writeln!(f, "parity holds"),
            None => writeln!(f, "no divergence, but not every tensor was compared"),
        }
    }
}

/// A name without its layer number.
fn kind(name: &str) -> String {
    name.split('.').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part }).collect::<Vec<_>>().join(".")
}
