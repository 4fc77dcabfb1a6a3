//! The answer to our offer: checked, and brought into the form that the peer connection accepts.
//!
//! What real answers look like, and how they differ, is in `tests/data/openai-answer-*.sdp`. Three oddities matter: TCP candidates
//! and `ufrag` suffixes on candidates, fingerprints at session level, and static payload types without an `rtpmap` (RFC 3551
//! names them; the stack wants it written). An answer can come from a stranger if the endpoint is misconfigured, so
//! candidates in private ranges are dropped unless the endpoint itself is one.

use std::net::{IpAddr, SocketAddr};

use pipeline::ModelCodec;

use crate::address::is_public;

/// Larger answers are refused. Real ones are below 3 KiB.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Candidates kept; real answers have three of use.
pub const MAX_CANDIDATES: usize = 8;

/// Why an answer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP at all: an error body, a truncated body.
    #[error("the answer is not SDP")]
    NotSdp,
    /// Above [`MAX_ANSWER_BYTES`].
    #[error("the answer is too large")]
    TooLarge,
    /// No SHA-256 certificate fingerprint: nothing would tie the media to this answer.
    #[error("the answer has no sha-256 fingerprint")]
    NoFingerprint,
    /// Audio refused or missing.
    #[error("the answer has no audio")]
    NoAudio,
    /// Data channel refused or missing.
    #[error("the answer has no data channel")]
    NoDataChannel,
    /// `setup` is neither `active` nor `passive`.
    #[error("the answer has no usable DTLS role")]
    WrongRole,
    /// No candidate that we may and can reach.
    #[error("the answer has no reachable candidate")]
    NoCandidate,
    /// No codec that we offered, or one payload type for two.
    #[error("the answer has no usable codec")]
    NoCodec,
}

/// Which addresses a candidate may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Only what the public internet routes.
    Public,
    /// Private and loopback ranges too: the endpoint is in one itself.
    Private,
}

/// An answer that may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text to apply: LF-clean, completed, TCP and unreachable candidates removed.
    pub sdp: String,
    /// Payload types of the audio section, in the server's order.
    pub codecs: Vec<(u8, ModelCodec)>,
    /// Where the server may be reached.
    pub candidates: Vec<SocketAddr>,
}

impl Answer {
    /// The codec to send: the first that the server listed.
    pub fn codec(&self) -> ModelCodec {
        self.codecs[0].1
    }
}

/// Checks an answer and completes it.
pub fn read(text: &str, reach: Reach) -> Result<Answer, SdpError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(SdpError::TooLarge);
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    if lines.first() != Some(&"v=0") || !lines.iter().all(|l| l.as_bytes().get(1) == Some(&b'=')) {
        return Err(SdpError::NotSdp);
    }
    if !lines.iter().any(|l| is_sha256_fingerprint(l)) {
        return Err(SdpError::NoFingerprint);
    }
    let section = |media: &str| lines.iter().position(|l| l.starts_with(media));
    let audio = section("m=audio ").ok_or(SdpError::NoAudio)?;
    let data = section("m=application ").ok_or(SdpError::NoDataChannel)?;
    if port(lines[audio]) == Some(0) {
        return Err(SdpError::NoAudio);
    }
    if port(lines[data]) == Some(0) {
        return Err(SdpError::NoDataChannel);
    }
    let mut roles = lines.iter().filter_map(|l| l.strip_prefix("a=setup:"));
    if roles.clone().next().is_none() || !roles.all(|r| r == "active" || r == "passive") {
        return Err(SdpError::WrongRole);
    }

    let audio_end =
        lines[audio + 1..].iter().position(|l| l.starts_with("m=")).map_or(lines.len(), |i| audio + 1 + i);
    let audio_lines = &lines[audio..audio_end];
    let codecs = codecs(audio_lines)?;

    let mut candidates = Vec::new();
    let mut kept = Vec::with_capacity(lines.len() + 2);
    for (i, line) in lines.iter().enumerate() {
        // One fingerprint of a weak hash beside a good one is dropped: the stack would take either.
        if line.starts_with("a=fingerprint:") && !is_sha256_fingerprint(line) {
            continue;
        }
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            match udp_candidate(candidate).filter(|a| reachable(*a, reach)) {
                Some(address) if candidates.contains(&address) => kept.push((*line).to_owned()),
                Some(address) if candidates.len() < MAX_CANDIDATES => {
                    candidates.push(address);
                    kept.push((*line).to_owned());
                }
                _ => {}
            }
            continue;
        }
        kept.push((*line).to_owned());
        if i == audio {
            kept.extend(missing_rtpmaps(audio_lines));
        }
    }
    if candidates.is_empty() {
        return Err(SdpError::NoCandidate);
    }
    Ok(Answer { sdp: kept.join("\r\n") + "\r\n", codecs, candidates })
}

fn is_sha256_fingerprint(line: &str) -> bool {
    line.strip_prefix("a=fingerprint:").and_then(|f| f.split_once(' ')).is_some_and(|(hash, hex)| {
        hash.eq_ignore_ascii_case("sha-256")
            && hex.split(':').count() == 32
            && hex.split(':').all(|b| b.len() == 2 && b.bytes().all(|c| c.is_ascii_hexdigit()))
    })
}

fn port(media: &str) -> Option<u16> {
    media.split(' ').nth(1)?.parse().ok()
}

fn payload_types(media: &str) -> impl Iterator<Item = u8> {
    media.split(' ').skip(3).filter_map(|p| p.parse().ok())
}

/// RFC 3551 table 4.
fn static_codec(payload_type: u8) -> Option<(&'static str, ModelCodec)> {
    match payload_type {
        0 => Some(("PCMU/8000", ModelCodec::Pcmu)),
        8 => Some(("PCMA/8000", ModelCodec::Pcma)),
        _ => None,
    }
}

fn rtpmap(lines: &[&str], payload_type: u8) -> Option<String> {
    let prefix = format!("a=rtpmap:{payload_type} ");
    lines.iter().find_map(|l| l.strip_prefix(&prefix)).map(|m| m.to_ascii_lowercase())
}

fn missing_rtpmaps<'a>(audio: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    payload_types(audio[0])
        .filter(|pt| rtpmap(audio, *pt).is_none())
        .filter_map(|pt| static_codec(pt).map(|(name, _)| format!("a=rtpmap:{pt} {name}")))
}

fn codecs(audio: &[&str]) -> Result<Vec<(u8, ModelCodec)>, SdpError> {
    let mut found: Vec<(u8, ModelCodec)> = Vec::new();
    for pt in payload_types(audio[0]) {
        let maps = audio.iter().filter(|l| l.starts_with(&format!("a=rtpmap:{pt} "))).count();
        if maps > 1 || found.iter().any(|(known, _)| *known == pt) {
            return Err(SdpError::NoCodec);
        }
        let codec = match rtpmap(audio, pt).as_deref() {
            Some("opus/48000/2") => Some(ModelCodec::Opus),
            Some("pcmu/8000" | "pcmu/8000/1") => Some(ModelCodec::Pcmu),
            Some("pcma/8000" | "pcma/8000/1") => Some(ModelCodec::Pcma),
            Some(_) => None,
            None => static_codec(pt).map(|(_, codec)| codec),
        };
        found.extend(codec.map(|c| (pt, c)));
    }
    if found.is_empty() { Err(SdpError::NoCodec) } else { Ok(found) }
}

/// RFC 8839 section 5.1: `foundation component transport priority address port typ …`. What follows is of no use here.
fn udp_candidate(candidate: &str) -> Option<SocketAddr> {
    let mut words = candidate.split_ascii_whitespace();
    let (_, component, transport) = (words.next()?, words.next()?, words.next()?);
    let (_, address, port) = (words.next()?, words.next()?, words.next()?);
    if component != "1" || !transport.eq_ignore_ascii_case("udp") {
        return None;
    }
    let port: u16 = port.parse().ok().filter(|p| *p != 0)?;
    Some(SocketAddr::new(address.parse().ok()?, port))
}

fn reachable(address: SocketAddr, reach: Reach) -> bool {
    // The socket of a call is IPv4: no answer has carried an IPv6 candidate.
    let IpAddr::V4(ip) = address.ip() else { return false };
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return false;
    }
    reach == Reach::Private || is_public(ip.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: [(&str, &[(u8, ModelCodec)]); 4] = [
        (
            include_str!("../../tests/data/openai-answer-a1.sdp"),
            &[(96, ModelCodec::Opus), (0, ModelCodec::Pcmu), (8, ModelCodec::Pcma)],
        ),
        (
            include_str!("../../tests/data/openai-answer-a2.sdp"),
            &[(96, ModelCodec::Opus), (0, ModelCodec::Pcmu), (8, ModelCodec::Pcma)],
        ),
        (include_str!("../../tests/data/openai-answer-a3.sdp"), &[(111, ModelCodec::Opus)]),
        (
            include_str!("../../tests/data/openai-answer-a4.sdp"),
            &[(111, ModelCodec::Opus), (0, ModelCodec::Pcmu), (8, ModelCodec::Pcma)],
        ),
    ];

    #[test]
    fn the_four_real_answers_are_accepted() {
        for (text, codecs) in REAL {
            let answer = read(text, Reach::Public).unwrap();
            assert_eq!(answer.codecs, codecs);
            assert!(!answer.candidates.is_empty() && answer.candidates.iter().all(|c| c.port() == 3478));
            assert!(!answer.sdp.contains(" tcp ") && answer.sdp.ends_with("\r\n"));
        }
    }

    #[test]
    fn static_payload_types_are_completed() {
        let answer = read(REAL[3].0, Reach::Public).unwrap();
        assert!(
            answer.sdp.contains("a=rtpmap:0 PCMU/8000\r\n")
                && answer.sdp.contains("a=rtpmap:8 PCMA/8000\r\n")
        );
    }

    #[test]
    fn hostile_answers_are_refused() {
        let good = REAL[2].0;
        let cases: [(&str, String, SdpError); 9] = [
            ("empty", String::new(), SdpError::NotSdp),
            ("error body", "{\"error\":{}}".into(), SdpError::NotSdp),
            (
                "no fingerprint",
                good.replace("a=fingerprint:sha-256", "a=x-finger:sha-256"),
                SdpError::NoFingerprint,
            ),
            ("sha-1", good.replace("sha-256", "sha-1"), SdpError::NoFingerprint),
            ("no audio", good.replace("m=audio 9", "m=audio 0"), SdpError::NoAudio),
            ("no data", good.replace("m=application 9", "m=application 0"), SdpError::NoDataChannel),
            ("wrong role", good.replace("setup:active", "setup:actpass"), SdpError::WrongRole),
            ("payload type twice", good.replace("SAVPF 111", "SAVPF 111 111"), SdpError::NoCodec),
            ("unknown codec", good.replace("opus/48000/2", "speex/8000"), SdpError::NoCodec),
        ];
        for (name, text, error) in cases {
            assert_eq!(read(&text, Reach::Public), Err(error), "{name}");
        }
        assert_eq!(read(&"v=0\r\n".repeat(20_000), Reach::Public), Err(SdpError::TooLarge));
    }

    #[test]
    fn only_public_candidates_are_tried_outside_a_private_network() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "0.0.0.0",
            "192.168.1.1",
            "host.local",
        ] {
            let text = REAL[2]
                .0
                .replace("51.4.112.173", ip)
                .replace("20.74.221.21", ip)
                .replace("72.146.20.246", ip);
            assert_eq!(read(&text, Reach::Public), Err(SdpError::NoCandidate), "{ip}");
        }
        let text = REAL[2].0.replace("51.4.112.173", "127.0.0.1");
        assert_eq!(read(&text, Reach::Private).unwrap().candidates.len(), 3);
        assert_eq!(read(&text, Reach::Public).unwrap().candidates.len(), 2);
    }

    #[test]
    fn a_thousand_candidates_are_cut_to_eight() {
        let many: String = (0..1000)
            .map(|i| format!("a=candidate:{i} 1 udp 1 8.8.{}.{} 3478 typ host\r\n", i / 250, i % 250))
            .collect();
        let text =
            REAL[2].0.replace("a=sendrecv\r\na=candidate", &format!("a=sendrecv\r\n{many}a=candidate"));
        assert_eq!(read(&text, Reach::Public).unwrap().candidates.len(), MAX_CANDIDATES);
    }
}
