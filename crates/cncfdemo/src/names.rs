//! Under which name a person finds the application.
use std::net::IpAddr;

use crate::exit::Hinted;

/// Who makes names point at addresses.
pub trait Names {
    /// Whether a name can be had from here; asked before anything is changed.
    fn check(&self, name: &str) -> Result<(), Hinted>;

    /// Makes a name point at what a load balancer was given, an address or another name. Safe to do again.
    fn point(&self, name: &str, to: &str) -> impl Future<Output = Result<(), Hinted>> + Send;
}

/// This machine: by RFC 6761 every name below `localhost` is the loopback address, without anybody's doing.
pub struct Localhost;

impl Names for Localhost {
    fn check(&self, name: &str) -> Result<(), Hinted> {
        if name.ends_with(".localhost") {
            return Ok(());
        }
        Err(Hinted {
            message: format!("{name} cannot be had on this machine"),
            hint: "a local cluster's application is found under a name below .localhost, such as tally.localhost"
                .to_owned(),
        })
    }

    async fn point(&self, name: &str, to: &str) -> Result<(), Hinted> {
        if to.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
            return Ok(());
        }
        Err(Hinted {
            message: format!("{name} is this machine's loopback, and the application is at {to}"),
            hint: format!("open it at {to}"),
        })
    }
}

/// A zone of the domain name system. No provider of one is built.
pub struct Zone;

impl Names for Zone {
    fn check(&self, name: &str) -> Result<(), Hinted> {
        Err(Hinted {
            message: format!("no DNS provider is built yet, so {name} cannot be made"),
            hint: "start without --dns-name, and make the record by hand for the address that it shows"
                .to_owned(),
        })
    }

    async fn point(&self, name: &str, _: &str) -> Result<(), Hinted> {
        self.check(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_had_is_said() {
        assert!(Localhost.check("shop.localhost").is_ok());
        assert!(Localhost.point("shop.localhost", "127.0.0.1").await.is_ok());
        let told = |done: Result<(), Hinted>| done.unwrap_err().message;
        assert_eq!(
            told(Localhost.check("shop.example.org")),
            "shop.example.org cannot be had on this machine"
        );
        assert_eq!(
            told(Localhost.point("shop.localhost", "192.0.2.1").await),
            "shop.localhost is this machine's loopback, and the application is at 192.0.2.1"
        );
        assert!(told(Zone.check("shop.example.org")).starts_with("no DNS provider is built yet"));
    }
}
