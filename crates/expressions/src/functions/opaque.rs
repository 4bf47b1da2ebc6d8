//! Values of libraries.
use std::{cmp::Ordering, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use kube_types::Quantity;
use url::Url;

use super::{formats::Format, versions::Version};
use crate::{
    evaluate::{Decision, Question},
    value::Value,
};

/// A value that only its library knows.
#[derive(Debug, Clone)]
pub enum Opaque {
    Url(Arc<Url>, Arc<str>),
    Quantity(Arc<Quantity>),
    Ip(IpAddr),
    /// As it was written: the address need not be masked.
    Cidr(IpNet),
    Format(&'static Format),
    Semver(Arc<Version>),
    Authorizer(Arc<Question>),
    PathCheck(Arc<Question>),
    GroupCheck(Arc<Question>),
    ResourceCheck(Arc<Question>),
    Decision(Arc<Decision>),
}

/// The value of `authorizer`.
pub fn authorizer<'a>() -> Value<'a> {
    Value::Opaque(Opaque::Authorizer(Arc::default()))
}

/// The value of `authorizer.requestResource`.
pub fn resource_check<'a>(question: Question) -> Value<'a> {
    Value::Opaque(Opaque::ResourceCheck(Arc::new(question)))
}

impl Opaque {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Url(..) => "kubernetes.URL",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Authorizer(_) => crate::declarations::AUTHORIZER,
            Self::PathCheck(_) => "kubernetes.authorization.PathCheck",
            Self::GroupCheck(_) => "kubernetes.authorization.GroupCheck",
            Self::ResourceCheck(_) => crate::declarations::RESOURCE_CHECK,
            Self::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::Ip(IpAddr::V4(_)) | Self::Cidr(IpNet::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) | Self::Cidr(IpNet::V6(_)) => 16,
            _ => 1,
        }
    }

    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Quantity(a), Self::Quantity(b)) => Some(a.cmp(b)),
            (Self::Semver(a), Self::Semver(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(a, _), Self::Url(b, _)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a.name == b.name,
            (Self::Semver(a), Self::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Self::Authorizer(a), Self::Authorizer(b))
            | (Self::PathCheck(a), Self::PathCheck(b))
            | (Self::GroupCheck(a), Self::GroupCheck(b))
            | (Self::ResourceCheck(a), Self::ResourceCheck(b)) => a == b,
            (Self::Decision(a), Self::Decision(b)) => a == b,
            _ => false,
        }
    }
}
