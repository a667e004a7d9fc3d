// Kernel parameters. Made by `cargo run -p omnihal-cuda --example params` from the declarations in src/; do not edit.
#pragma once
