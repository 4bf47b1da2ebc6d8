//! Lucas-Lehmer tests of Mersenne numbers, 2^p - 1 for primes p, as the Great Internet Mersenne Prime Search does with far larger ones.
//!
//! Work that needs no package, no file and no network, and can be checked, as the exponents that it finds are known. The demo docks
//! molecules instead; the tests of the engine, whose image holds only this program, keep a CPU busy with it.
mod mersenne;
mod work;

pub use mersenne::{is_mersenne_prime, is_prime};
pub use work::Config;
