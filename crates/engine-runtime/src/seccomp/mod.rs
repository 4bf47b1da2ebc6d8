//! System call filters. libcontainer would load them by libseccomp, a C library; here the profile is compiled by the crate `seccompiler`
//! and loaded in the container's first process, right before it becomes the container's program.

mod default;

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use serde_json::Value;
use syscalls::Sysno;

use crate::proto::Seccomp;
use crate::{Error, Result, sys};

/// Rules by number of the system call; without any rule it matches whatever its arguments are.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The profile for `linux.seccomp` of a `config.json`; `None` when everything is allowed.
pub fn profile(wanted: &Seccomp, capabilities: &[String]) -> Result<Option<Value>> {
    let profile = match wanted {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::RuntimeDefault => default::profile(capabilities),
        Seccomp::Localhost(path) => read(path)?,
    };
    // Whoever wrote it is to be told before the container exists.
    let parsed = serde_json::from_value(profile.clone())
        .map_err(|e| Error::Invalid(format!("seccomp profile is not one: {e}")))?;
    compile(&parsed)?;
    Ok(Some(profile))
}

fn read(path: &Path) -> Result<Value> {
    let failed = |reason: String| {
        let path = path.display();
        Error::Invalid(format!("cannot load seccomp profile \"{path}\": {reason}"))
    };
    let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| failed(e.to_string()))
}

/// Loads a profile for this process and all that it becomes. Without `no_new_privs` that takes CAP_SYS_ADMIN.
pub fn load(profile: &LinuxSeccomp) -> Result<()> {
    for program in compile(profile)? {
        sys::load_filter(&program).map_err(|e| Error::io("load a seccomp filter", e))?;
    }
    Ok(())
}

/// The filters that together are the profile: the first decides between the default and everything else, each further one stands for an
/// action other than letting through. The kernel asks all of them and takes the strictest answer, of equal ones the newest.
fn compile(profile: &LinuxSeccomp) -> Result<Vec<BpfProgram>> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut listed = Rules::new();
    let mut others: BTreeMap<u32, (SeccompAction, Rules)> = BTreeMap::new();
    for entry in profile.syscalls().iter().flatten() {
        let wanted = action(entry.action(), entry.errno_ret())?;
        if wanted == default {
            continue;
        }
        add(&mut listed, entry)?;
        if wanted != SeccompAction::Allow {
            let (_, rules) = others
                .entry(wanted.clone().into())
                .or_insert_with(|| (wanted, Rules::new()));
            add(rules, entry)?;
        }
    }
    let mut programs = Vec::new();
    if default != SeccompAction::Allow {
        programs.push(filter(listed, default, SeccompAction::Allow)?);
    }
    for (action, rules) in others.into_values() {
        programs.push(filter(rules, SeccompAction::Allow, action)?);
    }
    Ok(programs)
}

fn filter(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    let failed = |e| Error::Invalid(format!("seccomp profile cannot be compiled: {e}"));
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(failed)?;
    BpfProgram::try_from(filter).map_err(failed)
}

/// Adds the rules of one entry. Names that this machine's architecture lacks are skipped, as libseccomp does.
fn add(rules: &mut Rules, entry: &LinuxSyscall) -> Result<()> {
    let alternatives = alternatives(entry.args().as_deref().unwrap_or_default())?;
    for number in entry.names().iter().filter_map(|name| name.parse::<Sysno>().ok()) {
        let number = i64::from(number.id());
        match rules.get_mut(&number) {
            // Matches always already.
            Some(known) if known.is_empty() => {}
            Some(known) if alternatives.is_empty() => known.clear(),
            Some(known) => known.extend(alternatives.iter().cloned()),
            None => drop(rules.insert(number, alternatives.clone())),
        }
    }
    Ok(())
}

/// All arguments of an entry have to match; but of several conditions on one argument, one does (runc, libcontainer/seccomp).
fn alternatives(arguments: &[LinuxSeccompArg]) -> Result<Vec<SeccompRule>> {
    let failed = |e| Error::Invalid(format!("seccomp profile cannot be compiled: {e}"));
    let conditions = arguments
        .iter()
        .map(condition)
        .collect::<Result<Vec<SeccompCondition>>>()?;
    let repeated = (0..arguments.len()).any(|n| {
        arguments[..n]
            .iter()
            .any(|before| before.index() == arguments[n].index())
    });
    let groups: Vec<Vec<SeccompCondition>> = match (conditions.is_empty(), repeated) {
        (true, _) => Vec::new(),
        (false, true) => conditions.into_iter().map(|one| vec![one]).collect(),
        (false, false) => vec![conditions],
    };
    groups
        .into_iter()
        .map(|group| SeccompRule::new(group).map_err(failed))
        .collect()
}

fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition> {
    let (value, second) = (argument.value(), argument.value_two().unwrap_or_default());
    let (operator, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, value),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, value),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, value),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, value),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, value),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => (SeccompCmpOp::MaskedEq(value), second),
    };
    let index = u8::try_from(argument.index()).unwrap_or(u8::MAX);
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, operator, value)
        .map_err(|e| Error::Invalid(format!("seccomp profile cannot be compiled: {e}")))
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<SeccompAction> {
    let errno = errno.unwrap_or(libc::EPERM as u32);
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => SeccompAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => SeccompAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => SeccompAction::Trap,
        LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno(errno),
        LinuxSeccompAction::ScmpActTrace => SeccompAction::Trace(errno),
        LinuxSeccompAction::ScmpActLog => SeccompAction::Log,
        LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(Error::Unsupported(
                "the seccomp action SCMP_ACT_NOTIFY is not supported by this runtime".into(),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(profile: Value) -> LinuxSeccomp {
        serde_json::from_value(profile).unwrap()
    }

    #[test]
    fn the_default_profile_is_two_filters_and_one_for_an_administrator() {
        let plain = profile(&Seccomp::RuntimeDefault, &["CAP_CHOWN".into()])
            .unwrap()
            .unwrap();
        assert_eq!(compile(&parse(plain)).unwrap().len(), 2);
        let admin = profile(&Seccomp::RuntimeDefault, &["CAP_SYS_ADMIN".into()])
            .unwrap()
            .unwrap();
        assert_eq!(compile(&parse(admin)).unwrap().len(), 1);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_name_of_the_data_is_a_system_call() {
        let profile = default::profile(&[]);
        let names = profile["syscalls"][0]["names"].as_array().unwrap();
        let of_others = ["getsid", "sync_file_range2"];
        let unknown: Vec<&str> = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| name.parse::<Sysno>().is_err() && !of_others.contains(name))
            .collect();
        assert_eq!(unknown, [""; 0]);
        assert!(names.len() > 300);
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives() {
        let arguments = |second: usize| -> Vec<LinuxSeccompArg> {
            serde_json::from_value(json!([
                {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": second, "value": 2, "op": "SCMP_CMP_EQ"}
            ]))
            .unwrap()
        };
        assert_eq!(alternatives(&arguments(0)).unwrap().len(), 2);
        assert_eq!(alternatives(&arguments(1)).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let missing = profile(&Seccomp::Localhost("/nonexistent/p.json".into()), &[]);
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("cannot load seccomp profile")
        );
        let notify = parse(json!({"defaultAction": "SCMP_ACT_NOTIFY"}));
        assert!(matches!(compile(&notify), Err(Error::Unsupported(_))));
    }
}
