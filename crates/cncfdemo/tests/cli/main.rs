//! What a person sees of the command line, without root and without a network.
mod arguments;
mod create;
mod no_root;
mod output;
mod reference;
