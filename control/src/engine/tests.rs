//! The engine's stories, one area a file.

mod activation;
