//! Rows 11–13: payloads and JSON of every odd shape.

use aria_bridge::call::{MediaClosed, MediaEvent};
use base64_simd::STANDARD;

use crate::host::Host;
use crate::twilio::{Stream, frame, raw_stream, read_close};

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_any_length_of_sound_is_taken_and_framed() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    let lengths = [160, 1, 159, 161, 319, 480, 80, 80, 7200];
    let (mut stamp, mut packets) = (100, Vec::new());
    for length in lengths {
        stream.sound(stamp, length).await;
        stamp += length as u64 / 8;
        // More than a second at once would be a backlog, of which the oldest is dropped.
        packets.extend(far.packets().await);
    }
    let bytes: usize = packets.iter().map(|packet| packet.1).sum();
    let sent: usize = lengths.iter().sum();
    assert!(packets.iter().all(|packet| packet.1 == 160), "20 ms framing is kept: {packets:?}");
    assert!(sent - bytes < 160, "{sent} bytes in, {bytes} out");
    // What stays behind is the last, unfinished frame.
    stream.stop().await;
    assert_eq!(far.event().await, Some(MediaEvent::Stop));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_11_fifty_bad_payloads_are_dropped_and_one_more_is_refused() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    let long = STANDARD.encode_to_string(vec![0; 8001]);
    let bad = ["", "f39", "!!!!", "f3 9/f39", "f39/\n", "=", "f===", long.as_str(), "\u{0}"];
    for i in 0..50 {
        stream.media(100 + 20 * i as u64, bad[i % bad.len()]).await;
    }
    stream.sound(2000, 160).await;
    assert_eq!(far.packets().await.len(), 1, "good ones are still taken");
    stream.media(2020, "*").await;
    assert_eq!(stream.close_code().await, Some(1008));
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Refused, played: None }));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_12_odd_json_is_ignored_or_refused() {
    let host = Host::new().await;
    // Ignored, and the stream goes on.
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    for text in [
        r#"{"event":"spotlight","more":[1,2,{"x":null}]}"#,
        r#"{"event":"future","media":7,"start":"x"}"#,
        r#"{"event":"media","streamSid":"MZ_of_another_stream","media":{"payload":"AAAA"}}"#,
        r#"{"\u0065vent":"dtmf","extra":1e400,"dtmf":{"digit":"\u0035"}}"#,
    ] {
        stream.send_text(text.replace("1e400", "1e40")).await;
    }
    assert_eq!(far.event().await, Some(MediaEvent::Dtmf { digit: '5' }));
    stream.sound(100, 160).await;
    assert_eq!(far.packets().await.len(), 1);

    let deep = format!(r#"{{"event":"x","y":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    for text in [
        "",
        "{",
        "[]",
        "7",
        "\u{feff}{\"event\":\"stop\"}",
        "{\"event\":\"st\u{0}op\"}",
        r#"{"event":"mark","event":"mark","mark":{"name":"a"}}"#,
        r#"{"event":"media","media":{"payload":{"a":1}}}"#,
        r#"{"event":"mark","mark":{}}"#,
        &deep,
    ] {
        let (mut stream, mut far, _) = Stream::of_call(&host).await;
        stream.send_text(text.to_owned()).await;
        assert_eq!(stream.close_code().await, Some(1008), "{:?}", &text[..text.len().min(60)]);
        assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Refused, played: None }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_12_text_that_is_not_utf8_is_refused() {
    let host = Host::new().await;
    for bad in [&b"{\"event\":\"\xff\"}"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3"] {
        let mut tcp = raw_stream(&host).await;
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &frame(0x81, bad)).await.unwrap();
        assert_eq!(read_close(&mut tcp).await, Some(1007), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_13_messages_above_64_kib_are_refused() {
    let host = Host::new().await;
    let (mut stream, mut far, _) = Stream::of_call(&host).await;
    let padded = |len: usize| format!(r#"{{"event":"x","pad":"{}"}}"#, "x".repeat(len - 22));
    assert_eq!(padded(64 * 1024).len(), 64 * 1024);
    stream.send_text(padded(64 * 1024)).await;
    stream.sound(100, 160).await;
    assert_eq!(far.packets().await.len(), 1, "64 KiB is allowed");
    stream.send_text(padded(64 * 1024 + 1)).await;
    assert_eq!(stream.close_code().await, Some(1009));
    assert_eq!(far.event().await, Some(MediaEvent::Closed { why: MediaClosed::Refused, played: None }));

    // In fragments, each of which is small enough.
    let mut tcp = raw_stream(&host).await;
    for i in 0..5u8 {
        let first = if i == 0 { 0x01 } else { 0x00 };
        let piece = frame(first, &[b' '; 16 * 1024]);
        if tokio::io::AsyncWriteExt::write_all(&mut tcp, &piece).await.is_err() {
            break;
        }
    }
    assert_eq!(read_close(&mut tcp).await, Some(1009));
}

/// The declared length alone must cost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fault_13_a_declared_gigabyte_is_refused_before_it_is_stored() {
    let host = Host::new().await;
    for length in [1u64 << 30, 1 << 40, u64::MAX >> 1] {
        let mut tcp = raw_stream(&host).await;
        let mut head = vec![0x81, 0xff];
        head.extend(length.to_be_bytes());
        head.extend([1, 2, 3, 4, b'{']);
        tokio::io::AsyncWriteExt::write_all(&mut tcp, &head).await.unwrap();
        assert_eq!(read_close(&mut tcp).await, Some(1009), "{length}");
    }
}
