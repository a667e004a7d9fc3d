//! The backends of a program, by name.

use omnihal::{Backend, Device, Error, ErrorKind, Probe, Result};
use std::fmt;
use std::sync::Arc;

/// The backends that a program can open devices from, in the order in which they were added.
#[derive(Default)]
pub struct Registry {
    backends: Vec<Box<dyn Backend>>,
}

impl Registry {
    /// A registry without backends.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend. One of the same name is replaced.
    #[must_use]
    pub fn with(mut self, backend: Box<dyn Backend>) -> Self {
        match self.backends.iter_mut().find(|known| known.name() == backend.name()) {
            Some(known) => *known = backend,
            None => self.backends.push(backend),
        }
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.backends.iter().map(|backend| backend.name())
    }

    /// The backend of that name.
    pub fn get(&self, name: &str) -> Result<&dyn Backend> {
        self.backends.iter().find(|backend| backend.name() == name).map(Box::as_ref).ok_or_else(|| {
            let names: Vec<_> = self.names().collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Error::new(ErrorKind::NotFound, format!("no backend named `{name}`: this program has {known}"))
        })
    }

    /// Opens a device by `name` or `name:index`; without an index, the first.
    pub fn open(&self, device: &str) -> Result<Arc<dyn Device>> {
        let (name, index) = match device.split_once(':') {
            None => (device, 0),
            Some((name, index)) => (name, parse_index(device, index)?),
        };
        self.get(name)?.open(index)
    }

    /// What each backend finds. A search that fails is a result of its own and hides no other.
    pub fn probe_all(&self) -> Vec<(&'static str, Result<Probe>)> {
        self.backends.iter().map(|backend| (backend.name(), backend.probe())).collect()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

fn parse_index(device: &str, index: &str) -> Result<usize> {
    index.parse().map_err(|_| {
        Error::argument(format!("device `{device}` has index `{index}`, expected a number, as in `cpu:0`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(&'static str, usize);

    impl Backend for Fake {
        fn name(&self) -> &'static str {
            self.0
        }
        fn probe(&self) -> Result<Probe> {
            match self.1 {
                0 => Err(Error::unsupported("broken driver")),
                _ => Ok(Probe::default()),
            }
        }
        fn open(&self, index: usize) -> Result<Arc<dyn Device>> {
            Err(Error::new(ErrorKind::NotFound, format!("{} {} of {}", self.0, index, self.1)))
        }
    }

    fn registry() -> Registry {
        Registry::new().with(Box::new(Fake("alpha", 0))).with(Box::new(Fake("beta", 7)))
    }

    fn error(device: &str) -> String {
        registry().open(device).err().unwrap().to_string()
    }

    #[test]
    fn a_device_is_named_with_or_without_its_index() {
        assert_eq!(error("beta"), "beta 0 of 7");
        assert_eq!(error("beta:3"), "beta 3 of 7");
    }

    #[test]
    fn an_unknown_backend_is_answered_with_the_known_ones() {
        assert_eq!(error("gamma:1"), "no backend named `gamma`: this program has alpha, beta");
        assert!(Registry::new().open("cpu").err().unwrap().message().ends_with("has none"));
    }

    #[test]
    fn an_index_that_is_no_number_is_refused() {
        for device in ["beta:", "beta:x", "beta:-1", "beta:0:1"] {
            assert_eq!(registry().open(device).err().unwrap().kind(), ErrorKind::InvalidArgument, "{device}");
        }
    }

    #[test]
    fn a_backend_of_the_same_name_replaces_the_first() {
        let registry = registry().with(Box::new(Fake("alpha", 9)));
        assert_eq!(registry.names().collect::<Vec<_>>(), ["alpha", "beta"]);
        assert_eq!(registry.open("alpha").err().unwrap().message(), "alpha 0 of 9");
    }

    #[test]
    fn one_failing_search_hides_no_other() {
        let found = registry().probe_all();
        assert!(found[0].1.is_err() && found[1].1.is_ok());
    }
}
