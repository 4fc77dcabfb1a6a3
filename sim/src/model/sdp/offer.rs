//! What a simulated OpenAI wants to know of an offer.

use crate::model::codec::{Codec, Payload};
use crate::model::refusal::Refusal;

/// Longest offer that is read. Real ones have 2 to 6 KB.
const MAX_BYTES: usize = 64 * 1024;

/// The parts of an offer that the answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    text: String,
    pub(crate) audio_mid: String,
    pub(crate) channel_mid: Option<String>,
    /// Payload types that this server could speak, in the offer's order.
    pub(crate) payloads: Vec<Payload>,
    /// RTP comes with header extensions of one and two bytes.
    pub(crate) extmap_allow_mixed: bool,
    /// `a=setup` of the offer; `actpass` as a rule.
    pub(crate) setup: String,
}

impl Offer {
    /// Reads an offer, or refuses it in the service's words.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        if !text.ends_with('\n') {
            return Err(invalid("Failed to parse offer: failed to unmarshal SDP: EOF"));
        }
        let whip = || invalid("Invalid SDP offer. Please try again with a WHIP-compliant offer.");
        if text.len() > MAX_BYTES || !text.starts_with("v=0") {
            return Err(whip());
        }
        let mut sections: Vec<Vec<&str>> = vec![Vec::new()];
        for line in text.lines() {
            if line.starts_with("m=") {
                sections.push(Vec::new());
            }
            sections.last_mut().expect("starts with one section").push(line);
        }
        let session = sections.remove(0);
        let attribute = |section: &[&str], name: &str| {
            let inner = section.iter().find_map(|line| line.strip_prefix(&format!("a={name}:")));
            let outer = session.iter().find_map(|line| line.strip_prefix(&format!("a={name}:")));
            inner.or(outer).map(str::to_owned)
        };
        let audio = sections.iter().find(|s| s[0].starts_with("m=audio ")).ok_or_else(whip)?;
        let channel = sections.iter().find(|s| s[0].starts_with("m=application "));
        for needed in ["ice-ufrag", "ice-pwd", "fingerprint"] {
            attribute(audio, needed).ok_or_else(whip)?;
        }
        Ok(Self {
            audio_mid: attribute(audio, "mid").ok_or_else(whip)?,
            channel_mid: channel.and_then(|section| attribute(section, "mid")),
            payloads: payloads(audio),
            extmap_allow_mixed: text.contains("a=extmap-allow-mixed"),
            setup: attribute(audio, "setup").unwrap_or_else(|| "actpass".to_owned()),
            text: text.to_owned(),
        })
    }

    /// The offer as the peer connection should read it: it then takes the DTLS client's role, as OpenAI does; static payload types have
    /// names; the data channel's line is written as RFC 8841 has it. `message_size` replaces what the client said it can receive.
    pub(crate) fn for_peer(&self, message_size: Option<u32>) -> String {
        let mut out = String::with_capacity(self.text.len() + 64);
        let mut in_audio = false;
        for line in self.text.lines() {
            let line = line.trim_end();
            if let Some(media) = line.strip_prefix("m=") {
                in_audio = media.starts_with("audio ");
                if media.starts_with("application ") && media.contains(" DTLS/SCTP ") {
                    out.push_str("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n");
                    continue;
                }
            }
            match line {
                "a=setup:actpass" => out.push_str("a=setup:passive"),
                _ if line.starts_with("a=sctpmap:") => continue,
                _ if line.starts_with("a=max-message-size:") && message_size.is_some() => continue,
                _ => out.push_str(line),
            }
            out.push_str("\r\n");
            if line.starts_with("m=audio ") {
                for payload in self.payloads.iter().filter(|p| Codec::of_static(p.payload_type).is_some()) {
                    let name = format!("a=rtpmap:{} ", payload.payload_type);
                    if !self.text.contains(&name) {
                        out.push_str(&format!("{name}{}\r\n", payload.codec.rtpmap()));
                    }
                }
            }
        }
        if let Some(bytes) = message_size.filter(|_| !in_audio) {
            out.push_str(&format!("a=max-message-size:{bytes}\r\n"));
        }
        out
    }
}

fn payloads(audio: &[&str]) -> Vec<Payload> {
    let maps: Vec<(u8, &str)> = audio
        .iter()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '))
        .filter_map(|(number, encoding)| Some((number.parse().ok()?, encoding.trim())))
        .collect();
    let mut found: Vec<Payload> = Vec::new();
    for payload_type in audio[0].split_whitespace().skip(3).filter_map(|number| number.parse::<u8>().ok()) {
        let named = maps.iter().find(|(number, _)| *number == payload_type);
        let codec = match named {
            Some((_, encoding)) => Codec::of_rtpmap(encoding),
            None => Codec::of_static(payload_type),
        };
        if let Some(codec) = codec.filter(|codec| !found.iter().any(|p| p.codec == *codec)) {
            found.push(Payload { payload_type, codec });
        }
    }
    found
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("invalid_offer", message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The captured aiortc offer of April 2026, shortened to the lines that matter.
    const CAPTURED: &str = "v=0\r\no=- 3986276793 3986276793 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=audio 49243 UDP/TLS/RTP/SAVPF 96 0 8\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:8 PCMA/8000\r\na=ice-ufrag:Cc1G\r\na=ice-pwd:v5CTKe8rReZlFE0J6RKo6N\r\na=fingerprint:sha-256 2E:96\r\n\
        a=setup:actpass\r\nm=application 56097 DTLS/SCTP 5000\r\na=mid:1\r\na=sctpmap:5000 webrtc-datachannel 65535\r\n\
        a=max-message-size:65536\r\na=setup:actpass\r\n";

    #[test]
    fn a_captured_offer_is_understood() {
        let offer = Offer::read(CAPTURED).expect("a good offer");
        assert_eq!((offer.audio_mid.as_str(), offer.channel_mid.as_deref()), ("0", Some("1")));
        let list: Vec<_> = offer.payloads.iter().map(|p| (p.payload_type, p.codec)).collect();
        assert_eq!(list, [(96, Codec::Opus), (0, Codec::Pcmu), (8, Codec::Pcma)]);
        let modern = offer.for_peer(Some(1_000_000));
        assert!(modern.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n"));
        assert!(!modern.contains("actpass") && !modern.contains("sctpmap"));
        assert!(modern.ends_with("a=max-message-size:1000000\r\n") && !modern.contains(":65536"));
    }

    #[test]
    fn static_payload_types_need_no_names() {
        let bare = CAPTURED.replace("a=rtpmap:0 PCMU/8000\r\n", "").replace("a=rtpmap:8 PCMA/8000\r\n", "");
        let offer = Offer::read(&bare).expect("a good offer");
        assert_eq!(offer.payloads.len(), 3);
        assert!(offer.for_peer(None).contains("a=rtpmap:0 PCMU/8000\r\n"));
    }

    #[test]
    fn a_trimmed_offer_and_nonsense_are_refused() {
        let message = |text: &str| Offer::read(text).expect_err("refused").message;
        assert!(message(CAPTURED.trim_end()).ends_with("EOF"));
        assert!(message("hello\r\n").contains("WHIP"));
        assert!(message(&CAPTURED.replace("m=audio", "m=video")).contains("WHIP"));
        assert!(message(&CAPTURED.replace("a=fingerprint", "a=thumbprint")).contains("WHIP"));
    }
}
