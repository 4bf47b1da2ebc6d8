//! Docking of a list of molecules to one protein, over and over, each time with another seed.
//!
//! A molecule is a SMILES, from which Open Babel makes atoms with places; Vina then searches how it lies best in the protein's pocket, and
//! says with what energy it is held there. Both are programs of Debian, run as processes of their own at the least CPU that there is.
mod ligand;
mod metrics;
mod programs;
mod work;

pub use work::Config;
