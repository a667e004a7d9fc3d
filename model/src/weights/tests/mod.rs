mod accepted;
mod corpus;
mod hostile;
mod hostile_files;
mod support;
