//! Where tools may connect to: never into the network of the bridge, unless a host is named.
//!
//! The check sits in name resolution, so that the address that was checked is the one that is connected to: a name that changes
//! its address between check and use changes nothing.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address::is_public;

/// Which hosts tools may reach.
#[derive(Debug, Clone)]
pub struct Guard {
    private_hosts: Arc<HashSet<String>>,
}

impl Guard {
    /// Public hosts, and those named.
    pub fn new(private_hosts: &[String]) -> Self {
        Self { private_hosts: Arc::new(private_hosts.iter().map(|h| h.to_ascii_lowercase()).collect()) }
    }

    /// Addresses written as such do not pass through name resolution, so they are checked here.
    pub fn allows(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.named(&ip.to_string()) || is_public(ip.into()),
            Some(Host::Ipv6(ip)) => self.named(&ip.to_string()) || is_public(ip.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }

    fn named(&self, host: &str) -> bool {
        self.private_hosts.contains(&host.to_ascii_lowercase())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = guard.named(name.as_str());
            let addresses: Vec<SocketAddr> = found.filter(|a| allowed || is_public(a.ip())).collect();
            if addresses.is_empty() {
                return Err("no address that tools may reach".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spellings_of_loopback_are_seen_through() {
        let guard = Guard::new(&[]);
        for url in ["http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/", "http://0/"] {
            assert!(!guard.allows(&Url::parse(url).unwrap()), "{url}");
        }
        assert!(Guard::new(&["127.0.0.1".into()]).allows(&Url::parse("http://127.0.0.1:99/").unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_named() {
        let name = |n: &str| n.parse::<Name>().unwrap();
        assert!(Guard::new(&[]).resolve(name("localhost")).await.is_err());
        assert!(Guard::new(&["localhost".into()]).resolve(name("localhost")).await.is_ok());
    }
}
