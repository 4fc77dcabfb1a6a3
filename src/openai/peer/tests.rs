use super::*;
use crate::openai::sdp::{self, Reach};

const LOCAL: &str = "192.0.2.7:40000";
const REAL_ANSWERS: [&str; 4] = [
    include_str!("../../../tests/data/openai-answer-a1.sdp"),
    include_str!("../../../tests/data/openai-answer-a2.sdp"),
    include_str!("../../../tests/data/openai-answer-a3.sdp"),
    include_str!("../../../tests/data/openai-answer-a4.sdp"),
];

fn peer(codecs: &[ModelCodec]) -> (Peer, String) {
    Peer::new(Instant::now(), &[LOCAL.parse().unwrap()], codecs).unwrap()
}

#[test]
fn the_offer_is_what_openai_takes() {
    let (_, offer) = peer(&[ModelCodec::Opus]);
    assert!(offer.ends_with("\r\n"), "a trimmed offer is refused");
    let audio = offer.find("m=audio").unwrap();
    assert!(audio < offer.find("m=application").unwrap(), "audio comes first");
    for line in
        ["a=setup:actpass", "a=rtcp-mux", "a=sendrecv", "a=group:BUNDLE 0 1", "a=fingerprint:sha-256 "]
    {
        assert!(offer.contains(line), "{line} is missing:\n{offer}");
    }
    assert!(offer.contains("a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1"), "{offer}");
    assert!(offer.lines().any(|l| l.starts_with("m=audio") && l.ends_with("SAVPF 111")), "{offer}");
    assert!(offer.contains("192.0.2.7 40000 typ host") && !offer.contains("srflx"), "{offer}");
}

#[test]
fn g711_is_offered_first_when_asked_for() {
    let (_, offer) = peer(&[ModelCodec::Pcmu, ModelCodec::Opus]);
    assert!(offer.lines().any(|l| l.starts_with("m=audio") && l.ends_with("SAVPF 0 111")), "{offer}");
}

#[test]
fn the_four_real_answers_are_applied_and_checked() {
    for (i, text) in REAL_ANSWERS.iter().enumerate() {
        // An answer reuses the payload type of its offer; these answered offers with 96.
        let text = text.replace("SAVPF 96", "SAVPF 111").replace(":96 ", ":111 ");
        let answer = sdp::read(&text, Reach::Public).unwrap();
        let (mut peer, _) = peer(&[ModelCodec::Opus, ModelCodec::Pcmu, ModelCodec::Pcma]);
        let mut now = Instant::now();
        peer.accept(now, &answer).unwrap_or_else(|e| panic!("A{}: {e}", i + 1));
        let mut checked = Vec::new();
        for _ in 0..20 {
            while let Some((to, datagram)) = peer.poll_datagram(now) {
                assert!(datagram[0] < 4, "nothing but STUN before a pair is valid");
                checked.push(to);
            }
            now += Duration::from_millis(10);
            peer.handle_timeout(now);
        }
        for candidate in &answer.candidates {
            assert!(checked.contains(candidate), "A{}: no check to {candidate}", i + 1);
        }
    }
}

#[test]
fn checks_slow_down_after_the_first_moments() {
    let (mut peer, _) = peer(&[ModelCodec::Opus]);
    let began = Instant::now();
    peer.accept(began, &sdp::read(REAL_ANSWERS[2], Reach::Public).unwrap()).unwrap();
    let (mut early, mut late) = (0, 0);
    for ms in 0..1100 {
        let now = began + Duration::from_millis(ms);
        peer.handle_timeout(now);
        while let Some((_, _)) = peer.poll_datagram(now) {
            if ms < 100 { early += 1 } else { late += 1 }
        }
    }
    assert!(early >= 10, "{early} checks in the first 100 ms");
    // Three addresses, one check each 50 ms, for one second.
    assert!(late <= 63, "{late} checks in the following second");
}

#[test]
fn dtls_and_media_of_strangers_are_dropped() {
    let (mut peer, _) = peer(&[ModelCodec::Opus]);
    let now = Instant::now();
    peer.accept(now, &sdp::read(REAL_ANSWERS[2], Reach::Public).unwrap()).unwrap();
    // A DTLS ClientHello record and an RTP header.
    for datagram in [
        [22u8, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].as_slice(),
        &[0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        peer.handle_datagram(now, pipeline::Nanos(0), "203.0.113.9:5000".parse().unwrap(), datagram);
    }
    assert_eq!(peer.strangers(), 2);
}

#[test]
fn junk_is_survived() {
    let (mut peer, _) = peer(&[ModelCodec::Opus]);
    let now = Instant::now();
    peer.accept(now, &sdp::read(REAL_ANSWERS[2], Reach::Public).unwrap()).unwrap();
    let from = "51.4.112.173:3478".parse().unwrap();
    for length in 0..64u8 {
        for first in [0u8, 1, 3, 20, 63, 128, 191, 255] {
            let datagram = vec![first; length.into()];
            peer.handle_datagram(now, pipeline::Nanos(0), from, &datagram);
        }
    }
    peer.handle_timeout(now + Duration::from_secs(1));
    assert!(peer.poll_event().is_none_or(|e| !matches!(e, PeerEvent::Connected)));
}

#[test]
fn media_is_told_by_its_first_byte() {
    // RFC 7983: STUN 0 to 3, DTLS 20 to 63, TURN channels 64 to 79, RTP and RTCP 128 to 191.
    for (first, media) in [
        (0, false),
        (3, false),
        (22, false),
        (64, false),
        (127, false),
        (128, true),
        (191, true),
        (192, false),
    ] {
        assert_eq!(is_media(&[first, 0]), media, "{first}");
    }
    assert!(!is_media(&[]));
}
