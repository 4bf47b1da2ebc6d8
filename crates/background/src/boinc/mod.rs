//! What a BOINC client (World Community Grid and others) does, told to Prometheus.
//!
//! The client is Debian's; it is asked over its GUI RPC each time that Prometheus asks. How the protocol goes is in BOINC's own
//! `lib/gui_rpc_client.cpp` and <https://github.com/BOINC/boinc/wiki/Gui-RPC-Protocol>.
mod exporter;
mod rpc;
mod state;

pub use exporter::Config;
