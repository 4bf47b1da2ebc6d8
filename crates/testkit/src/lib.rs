//! A fluent harness for the tests of the binary.
