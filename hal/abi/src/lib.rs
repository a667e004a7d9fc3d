//! The C plug-in interface: tables, adapters both ways, loader.
