//! Where tools may connect to: never into the network of the bridge, unless a host is named.
//!
//! The check sits in name resolution, so that the address that was checked is the one that is connected to: a name that changes
//! its address between check and use changes nothing.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address::is_public;

type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Lookup = dyn Fn(String) -> Found + Send + Sync;

/// Which hosts tools may reach.
#[derive(Clone)]
pub struct Guard {
    private_hosts: Arc<HashSet<String>>,
    lookup: Arc<Lookup>,
}

impl Guard {
    /// Public hosts, and those named.
    pub fn new(private_hosts: &[String]) -> Self {
        Self::looking_up(private_hosts, |name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
        })
    }

    fn looking_up(
        private_hosts: &[String],
        lookup: impl Fn(String) -> Found + Send + Sync + 'static,
    ) -> Self {
        let private_hosts = Arc::new(private_hosts.iter().map(|h| h.to_ascii_lowercase()).collect());
        Self { private_hosts, lookup: Arc::new(lookup) }
    }

    /// An HTTP client that obeys.
    pub fn client(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            // A redirect could lead where the guard would not let us.
            .redirect(reqwest::redirect::Policy::none())
            // A proxy of the environment would resolve the names in our place.
            .no_proxy()
            .dns_resolver(self.clone())
    }

    /// Addresses written as such do not pass through name resolution, so they are checked here.
    pub fn allows(&self, url: &Url) -> bool {
        if !matches!(url.scheme(), "http" | "https") {
            return false;
        }
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

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("private_hosts", &self.private_hosts).finish_non_exhaustive()
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = (guard.lookup)(name.as_str().to_owned()).await?;
            let allowed = guard.named(name.as_str());
            let addresses: Vec<SocketAddr> =
                found.into_iter().filter(|a| allowed || is_public(a.ip())).collect();
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
    use std::sync::Mutex;

    /// Names that resolve to each of these in turn.
    fn resolving_to(answers: &[&[&str]]) -> Guard {
        let parse = |a: &&str| SocketAddr::new(a.parse().unwrap(), 0);
        let answers: Vec<Vec<SocketAddr>> =
            answers.iter().rev().map(|all| all.iter().map(parse).collect()).collect();
        let answers = Mutex::new(answers);
        Guard::looking_up(&[], move |_| {
            let answer = answers.lock().unwrap().pop().expect("one more look-up than expected");
            Box::pin(std::future::ready(Ok(answer)))
        })
    }

    async fn addresses(guard: &Guard) -> Option<Vec<String>> {
        let found = guard.resolve("rebind.example".parse().unwrap()).await.ok()?;
        Some(found.map(|a| a.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_unless_named() {
        let name = |n: &str| n.parse::<Name>().unwrap();
        assert!(Guard::new(&[]).resolve(name("localhost")).await.is_err());
        assert!(Guard::new(&["localhost".into()]).resolve(name("localhost")).await.is_ok());
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_is_judged_by_what_is_connected_to() {
        let guard = resolving_to(&[&["8.8.8.8", "127.0.0.1", "::1"], &["169.254.169.254"], &[]]);
        assert_eq!(addresses(&guard).await, Some(vec!["8.8.8.8".to_owned()]), "only what may be reached");
        assert_eq!(addresses(&guard).await, None, "the second answer leads inside");
        assert_eq!(addresses(&guard).await, None);
    }

    #[tokio::test]
    async fn a_client_connects_to_what_was_checked_and_asks_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let guard = resolving_to(&[&["127.0.0.1"]]);
        let client = guard.client().build().unwrap();
        assert!(client.get(format!("http://rebind.example:{port}/")).send().await.is_err());
        let waited = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept()).await;
        assert!(waited.is_err(), "nothing connected");
    }
}
