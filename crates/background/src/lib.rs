//! The demo's offline background work: Lucas-Lehmer tests of Mersenne numbers, 2^p - 1 for primes p, as the Great Internet
//! Mersenne Prime Search does with far larger ones. The work is real and checkable: the exponents that it finds are known.
mod mersenne;
mod server;

pub use mersenne::{is_mersenne_prime, is_prime};
pub use server::{Config, Error};
