//! Addresses that lead into the bridge's own network: none is connected to (row 41).

use std::net::TcpListener;
use std::time::Duration;

use super::runner;

/// `PORT` stands for a port that something listens on, on both loopback addresses.
const ADDRESSES: &[&str] = &[
    // Loopback, spelt in every way.
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.255.255.254:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.0.0x0.1:PORT/",
    "http://127.0.0.1%2f@127.0.0.1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "HTTP://127.0.0.1:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://000.0.0.0:PORT/",
    "http://[::]:PORT/",
    // Names that lead there.
    "http://localhost:PORT/",
    "http://localhost.:PORT/",
    "http://LOCALHOST:PORT/",
    "http://ｌocalhost:PORT/",
    "http://local%68ost:PORT/",
    "http://ip6-localhost:PORT/",
    "http://a.localhost:PORT/",
    // Users, passwords and other schemes.
    "http://user@127.0.0.1:PORT/",
    "http://user:pass@127.0.0.1:PORT/",
    "http://example.com@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@127.0.0.1:PORT/",
    "http://example.com:80@localhost:PORT/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_",
    "dict://127.0.0.1:PORT/",
    "ldap://127.0.0.1:PORT/",
    "unix:/var/run/docker.sock",
    "data:text/plain,x",
    "jar:http://127.0.0.1:PORT/!/",
    "ws://127.0.0.1:PORT/",
    "javascript:fetch('http://127.0.0.1:PORT/')",
    // Clouds' metadata, private networks, carriers, documentation, multicast.
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://198.18.0.1/",
    "http://192.0.0.192/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[fe80::1]/",
    "http://[3fff::1]/",
];

#[tokio::test]
async fn fault_41_none_of_these_addresses_is_connected_to() {
    let four = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = four.local_addr().expect("it is bound").port();
    let six = TcpListener::bind(("::1", port)).ok();
    let mut listeners = vec![four];
    listeners.extend(six);
    assert!(ADDRESSES.len() >= 60, "{}", ADDRESSES.len());
    let mut ran = 0;
    for address in ADDRESSES {
        let url = address.replace("PORT", &port.to_string()).replace('\\', "\\\\");
        let table = format!("[[tools]]\ntype = \"http\"\nname = \"t\"\nurl = \"{url}\"\ntimeout_ms = 3000");
        // What the configuration refuses is never run; what it takes is refused here.
        let Ok((runner, desk)) = runner(&table) else { continue };
        ran += 1;
        let outcome = runner.run(&desk, "t", "{}".into()).await;
        assert!(!outcome.ok, "{url}: {outcome:?}");
        assert!(outcome.took < Duration::from_secs(1), "{url}: it was tried: {outcome:?}");
        let told = &outcome.output_for_model;
        assert!(told.contains("may not be reached") || told.contains("cannot be reached"), "{url}: {told}");
        assert!(!told.contains("127") && !told.contains("localhost"), "{url}: {told}");
    }
    assert!(ran > 40, "most of them pass the configuration: {ran}");
    for listener in listeners {
        listener.set_nonblocking(true).expect("a socket can be set so");
        assert!(listener.accept().is_err(), "somebody connected");
    }
}

#[tokio::test]
async fn fault_41_mcp_servers_inside_are_not_connected_to_either() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let table = format!(
            "[[tools]]\ntype = \"mcp\"\nname = \"s\"\nurl = \"http://{host}:{port}/mcp\"\nallow = [\"t\"]"
        );
        let (runner, desk) = runner(&table).expect("this is a table");
        runner.settled().await;
        assert!(!runner.run(&desk, "t", "{}".into()).await.ok, "{host}");
    }
    listener.set_nonblocking(true).expect("a socket can be set so");
    assert!(listener.accept().is_err(), "somebody connected");
}

#[tokio::test]
async fn fault_41_a_host_that_may_be_reached_leads_nowhere_else() {
    let target = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let to = format!("http://{}/", target.local_addr().expect("it is bound"));
    let desk = sim::desk::DeskConfig { then: sim::desk::DeskFault::Redirect(to), ..Default::default() };
    let service = sim::desk::Desk::start(desk).expect("a simulated desk");
    let table = format!(
        "[[tools]]\ntype = \"http\"\nname = \"t\"\nurl = \"{}\"\n[tools]\nprivate_hosts = [\"127.0.0.1\"]",
        service.url()
    );
    let (runner, desk) = runner(&table).expect("this is a table");
    let outcome = runner.run(&desk, "t", r#"{"city":"Lima"}"#.into()).await;
    assert!(outcome.output_for_model.contains("HTTP 307"), "{outcome:?}");
    assert_eq!(service.requests(), 1);
    target.set_nonblocking(true).expect("a socket can be set so");
    assert!(target.accept().is_err(), "the redirect was followed");
}
