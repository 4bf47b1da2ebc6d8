//! What goes with which Kubernetes. Dated: looked up on 2026-11-26.
//!
//! Sources, each read on that day:
//! - kubelet 1.36.2, `pkg/kubelet/apis/config/v1beta1/defaults.go`: `failCgroupV1` is true unless said otherwise; kubeadm's
//!   `CgroupsValidator` (system-validators 1.12.1) makes that an error from 1.35 on.
//! - The announcement of Kubernetes 1.35: the last release that supports containerd 1.x. kubeadm 1.36.2,
//!   `cmd/kubeadm/app/preflight/checks.go`: a runtime without the CRI method `RuntimeConfig`, which containerd has from 2.0 on,
//!   is warned of, and kubelet's fallback ends with 1.37.
//! - system-validators, `types_unix.go` and kubernetes pull requests 131881 and 131919: kernels before 4.19 are an error from
//!   1.32 on; from 1.34 on the long-term kernels 5.4, 5.10, 5.15 and everything from 6.0 are asked for, and others are warned of.
//! - kubeadm 1.36.2, `checks_linux.go`: `conntrack` has to be in the path before 1.32 only (kubernetes pull request 126952).
//! - kubeadm 1.36.2, `constants.go`: a kubelet may be three minor versions older (the version skew policy says the same).
//! - Kubernetes 1.24's announcement (no more dockershim); MongoDB's production notes (AVX from 5.0).
//!
//! The seed names Docker 1.12 with Kubernetes 1.4.

/// When the table was made.
pub const DATED: &str = "2026-11-26";
/// Newest minor version known.
pub const NEWEST: u32 = 36;
/// The first minor version whose kubelet does not speak to Docker by itself.
pub const WITHOUT_DOCKER: u32 = 24;
/// The first minor version whose kubelet does not start on cgroup v1 by default.
pub const WITHOUT_CGROUP_V1: u32 = 35;
/// The first minor version that does not support containerd 1.x.
pub const WITHOUT_CONTAINERD_1: u32 = 36;
/// The first minor version whose kube-proxy does without the program `conntrack`.
pub const WITHOUT_CONNTRACK: u32 = 32;
/// Docker versions that were in question for Kubernetes 1.4, the seed's: 1.12 came too late for it.
pub const DOCKER_TOO_NEW: (u32, (u32, u32)) = (4, (1, 12));
/// Oldest kernel on which cgroup v2 does all that Kubernetes asks (its documentation of cgroups).
pub const KERNEL_CGROUP_V2: (u32, u32) = (5, 8);
/// Oldest long-term kernel that Kubernetes' validators still name, from [`WITH_KERNEL_LTS`] on.
pub const KERNEL_LTS: (u32, u32) = (5, 4);
/// The first minor version whose validators ask for [`KERNEL_LTS`].
pub const WITH_KERNEL_LTS: u32 = 34;

/// Oldest kernel with which kubeadm goes on: 3.10 in the seed's day, when CentOS 7 was officially supported.
pub fn oldest_kernel(kubernetes: u32) -> (u32, u32) {
    if kubernetes >= 32 { (4, 19) } else { (3, 10) }
}

/// How many minor versions a kubelet may be behind its API server.
pub const KUBELET_BEHIND: u32 = 3;

/// The first two numbers of a version, whatever stands around them: `v1.36.2`, `containerd … v2.1.4 …`, `5.14.0-70.el9`.
pub fn numbers(text: &str) -> Option<(u32, u32)> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut parts = word.split('.');
            let major = parts.next()?.parse().ok()?;
            let minor = parts.next()?.parse().ok()?;
            Some((major, minor))
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(
            super::numbers("containerd github.com/containerd/containerd/v2 2.1.4 75cb2b7"),
            Some((2, 1))
        );
        assert_eq!(super::numbers("Kubernetes v1.36.0"), Some((1, 36)));
        assert_eq!(super::numbers("3.10.0-327.el7.x86_64"), Some((3, 10)));
        assert_eq!(super::numbers("none"), None);
    }
}
