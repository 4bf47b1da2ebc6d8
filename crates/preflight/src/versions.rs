//! What goes with which Kubernetes. Dated: looked up on 2026-11-22.
//!
//! Sources: kubernetes.io's version skew policy; the release announcement of 1.35 (kubelet refuses cgroup v1 unless told
//! otherwise, `failCgroupV1`; last release with containerd 1.x) and of 1.24 (no more dockershim); MongoDB's production notes
//! (AVX from 5.0); kernel.org's documentation of the kernel's own features. The seed names Docker 1.12 with Kubernetes 1.4.

/// When the table was made.
pub const DATED: &str = "2026-11-22";
/// Newest minor version known.
pub const NEWEST: u32 = 36;
/// The first minor version whose kubelet does not speak to Docker by itself.
pub const WITHOUT_DOCKER: u32 = 24;
/// The first minor version whose kubelet does not start on cgroup v1 by default.
pub const WITHOUT_CGROUP_V1: u32 = 35;
/// The first minor version that needs containerd 2.
pub const WITHOUT_CONTAINERD_1: u32 = 36;
/// Docker versions that were in question for Kubernetes 1.4, the seed's: 1.12 came too late for it.
pub const DOCKER_TOO_NEW: (u32, (u32, u32)) = (4, (1, 12));
/// Oldest kernel on which cgroup v2 does all that Kubernetes asks.
pub const KERNEL_CGROUP_V2: (u32, u32) = (5, 8);
/// Oldest kernel that Kubernetes' own checks accept (system validators of kubeadm).
pub const KERNEL_OLDEST: (u32, u32) = (4, 19);
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
