//! Simulator, reference model and peers for the tests of yrelay.

pub mod node;
