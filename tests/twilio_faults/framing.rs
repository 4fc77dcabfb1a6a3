//! Row 14: RFC 6455 as the media socket must keep it, case by case. Frames are written by hand, as no library would.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::host::Host;
use crate::twilio::{Stream, frame, raw_stream, read_close, read_frame};

const CONNECTED: &[u8] = br#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

/// Reads up to the pong with this payload; the bridge's own pings come between.
async fn pong(tcp: &mut TcpStream, expected: &[u8]) {
    loop {
        match read_frame(tcp).await {
            Some((0x8a, payload)) if payload == expected => return,
            Some((0x89, _)) => {}
            other => panic!("{other:?} for {expected:?}"),
        }
    }
}

async fn still_alive(tcp: &mut TcpStream) {
    tcp.write_all(&frame(0x89, b"alive?")).await.unwrap();
    pong(tcp, b"alive?").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_what_the_rfc_allows_is_taken() {
    let host = Host::new().await;
    let (mut stream, _far, _) = Stream::of_call(&host).await;
    let tcp = stream.ws.get_mut();
    // One byte a write.
    for byte in frame(0x81, br#"{"event":"x"}"#) {
        tcp.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    still_alive(tcp).await;

    // Fragments, empty ones too, cut inside a character, with a ping between them.
    let text = "{\"event\":\"x\",\"y\":\"é東🙂\"}".as_bytes();
    for cut in 1..text.len() {
        tcp.write_all(&frame(0x01, &text[..cut])).await.unwrap();
        tcp.write_all(&frame(0x00, b"")).await.unwrap();
        tcp.write_all(&frame(0x89, &[cut as u8])).await.unwrap();
        pong(tcp, &[cut as u8]).await;
        tcp.write_all(&frame(0x80, &text[cut..])).await.unwrap();
    }
    still_alive(tcp).await;

    // Pings with the most a control frame may hold, and pongs nobody asked for.
    tcp.write_all(&frame(0x89, &[7; 125])).await.unwrap();
    pong(tcp, &[7; 125]).await;
    tcp.write_all(&frame(0x8a, b"unasked")).await.unwrap();
    tcp.write_all(&frame(0x8a, b"")).await.unwrap();
    still_alive(tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_broken_framing_is_refused() {
    let host = Host::new().await;
    let mut unmasked = vec![0x81, CONNECTED.len() as u8];
    unmasked.extend(CONNECTED);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", unmasked, 1002),
        ("compressed bit", frame(0xc1, CONNECTED), 1002),
        ("second reserved bit", frame(0xa1, CONNECTED), 1002),
        ("third reserved bit", frame(0x91, CONNECTED), 1002),
        ("reserved bit of a control frame", frame(0xc9, b""), 1002),
        ("reserved data opcode", frame(0x83, b""), 1002),
        ("reserved control opcode", frame(0x8b, b""), 1002),
        ("fragmented ping", frame(0x09, b""), 1002),
        ("oversized ping", frame(0x89, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        ("text within text", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("close of one byte", frame(0x88, b"\x03"), 1002),
        ("binary", frame(0x82, CONNECTED), 1003),
        ("binary in fragments", [frame(0x02, b"x"), frame(0x80, b"y")].concat(), 1003),
    ];
    for (what, bytes, code) in cases {
        let mut tcp = raw_stream(&host).await;
        tcp.write_all(&bytes).await.unwrap();
        assert_eq!(read_close(&mut tcp).await, Some(code), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_close_is_answered_with_its_own_code() {
    let host = Host::new().await;
    for (payload, answer) in [
        (&b"\x03\xe8bye"[..], Some(1000)),
        (b"\x03\xe9", Some(1001)),
        (b"\x0f\xa0private", Some(4000)),
        (b"", None),
        // 1005 and 1006 never stand on the wire, 999 nowhere.
        (b"\x03\xed", Some(1002)),
        (b"\x03\xee", Some(1002)),
        (b"\x03\xe7", Some(1002)),
    ] {
        let mut tcp = raw_stream(&host).await;
        tcp.write_all(&frame(0x81, CONNECTED)).await.unwrap();
        tcp.write_all(&frame(0x88, payload)).await.unwrap();
        assert_eq!(read_close(&mut tcp).await, answer, "{payload:?}");
        assert_eq!(read_frame(&mut tcp).await, None, "closed behind it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_14_a_flood_of_pings_ends_the_stream_and_no_other() {
    let host = Host::new().await;
    let (mut other, mut far, _) = Stream::of_call(&host).await;
    let (mut stream, _far, _) = Stream::of_call(&host).await;
    let flood: Vec<u8> = std::iter::repeat_n(frame(0x89, b"x"), 5_000).flatten().collect();
    let _ = stream.ws.get_mut().write_all(&flood).await;
    assert_eq!(stream.close_code().await, Some(1008));
    other.sound(100, 160).await;
    assert_eq!(far.packets().await.len(), 1);
}
