//! Files, processes and facts of this machine.
