mod accepted;
mod hostile;
mod hostile_files;
mod support;
