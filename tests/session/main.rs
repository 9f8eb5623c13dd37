//! Training, evaluation and the commands around them, end to end on a very small network.

mod commands;
mod evaluation;
mod lab;
mod live;
mod support;
mod training;
