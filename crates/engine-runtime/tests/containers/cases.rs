//! The list of the tests.

use std::pin::Pin;

use crate::death::{
    dies_while_it_creates, ends_what_an_older_version_left, ends_with_its_code_and_log, out_of_memory,
    signals_and_kill_all, starts_are_limited, survives_the_daemon, the_engine_is_kept,
};
use crate::filters::system_calls_are_filtered;
use crate::inside::{failures_are_worded, is_isolated, mounts_and_users};
use crate::namespaces::{
    is_made_of_many_layers, privileges_and_devices, scores_and_propagation, shares_what_is_asked,
};
use crate::speed::{fifty_at_once, one_after_another};
use crate::streams::{
    attach_to_stdin, exec_with_pipes, exec_with_terminal, logs_rotate_and_floods_are_fair,
    terminal_of_a_container,
};
use crate::world::Case;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// By name.
        pub const ALL: &[(&str, Case)] = &[$((
            stringify!($name),
            |world| Box::pin($name(world)) as Pin<Box<dyn Future<Output = ()> + '_>>,
        )),*];
    };
}

cases![
    ends_with_its_code_and_log,
    failures_are_worded,
    is_isolated,
    system_calls_are_filtered,
    mounts_and_users,
    shares_what_is_asked,
    privileges_and_devices,
    is_made_of_many_layers,
    scores_and_propagation,
    signals_and_kill_all,
    out_of_memory,
    exec_with_pipes,
    exec_with_terminal,
    attach_to_stdin,
    terminal_of_a_container,
    logs_rotate_and_floods_are_fair,
    starts_are_limited,
    survives_the_daemon,
    ends_what_an_older_version_left,
    dies_while_it_creates,
    the_engine_is_kept,
    fifty_at_once,
    one_after_another,
];
