//! The answer, in the form of the captures of January to August 2026.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::model::codec::{Codec, Payload};
use crate::model::config::{AnswerForm, MaxMessageSize};
use crate::model::faults::AnswerFault;

/// User fragment and password of the ICE agent. The real fragment contains `/` and routing data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IceCredentials {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
}

/// Everything an answer says.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) session_number: u64,
    pub(crate) unix_seconds: u64,
    /// `sha-256 AB:CD:…`.
    pub(crate) fingerprint: String,
    pub(crate) ice: IceCredentials,
    pub(crate) audio_mid: String,
    pub(crate) channel_mid: Option<String>,
    /// Empty: the audio line is refused.
    pub(crate) payloads: Vec<Payload>,
    pub(crate) setup: &'static str,
    pub(crate) ssrc: u32,
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) extmap_allow_mixed: bool,
}

/// Priority of a UDP host candidate in the captures.
const UDP_PRIORITY: u32 = 2_130_706_431;
/// Priority of a TCP host candidate in the captures.
const TCP_PRIORITY: u32 = 1_671_430_143;

impl Answer {
    /// The SDP text, every line ended by CRLF.
    pub(crate) fn text(&self, form: &AnswerForm) -> String {
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {} {} IN IP4 0.0.0.0", self.session_number, self.unix_seconds),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            "a=msid-semantic:WMS *".to_owned(),
            format!("a=fingerprint:{}", self.fingerprint),
        ];
        if form.ice_lite {
            lines.push("a=ice-lite".to_owned());
        }
        if self.extmap_allow_mixed {
            lines.push("a=extmap-allow-mixed".to_owned());
        }
        let bundled = if self.payloads.is_empty() { None } else { Some(&self.audio_mid) };
        let mids: Vec<&str> = bundled.into_iter().chain(&self.channel_mid).map(String::as_str).collect();
        lines.push(format!("a=group:BUNDLE {}", mids.join(" ")));
        self.audio(form, &mut lines);
        self.channel(form, &mut lines);
        lines.join("\r\n") + "\r\n"
    }

    fn audio(&self, form: &AnswerForm, lines: &mut Vec<String>) {
        let mut line = format!("m=audio {} UDP/TLS/RTP/SAVPF", if self.payloads.is_empty() { 0 } else { 9 });
        if self.payloads.is_empty() {
            line.push_str(" 0");
        }
        for payload in &self.payloads {
            let _ = write!(line, " {}", payload.payload_type);
        }
        lines.extend([line, "c=IN IP4 0.0.0.0".to_owned()]);
        lines.push(format!("a=setup:{}", self.setup));
        lines.push(format!("a=mid:{}", self.audio_mid));
        self.ice(lines);
        lines.push("a=rtcp-mux".to_owned());
        if self.payloads.is_empty() {
            return lines.push("a=inactive".to_owned());
        }
        lines.push("a=rtcp-rsize".to_owned());
        for payload in &self.payloads {
            let number = payload.payload_type;
            if form.bare && Codec::of_static(number).is_some() {
                continue;
            }
            lines.push(format!("a=rtpmap:{number} {}", payload.codec.rtpmap()));
            if payload.codec == Codec::Opus && !form.bare {
                lines.push(format!("a=fmtp:{number} minptime=10;useinbandfec=1"));
            }
        }
        if !form.bare {
            let ssrc = self.ssrc;
            lines.push(format!("a=ssrc:{ssrc} cname:realtimeapi"));
            lines.push(format!("a=ssrc:{ssrc} msid:realtimeapi audio"));
            lines.push(format!("a=ssrc:{ssrc} mslabel:realtimeapi"));
            lines.push(format!("a=ssrc:{ssrc} label:audio"));
            lines.push("a=msid:realtimeapi audio".to_owned());
            lines.push("a=sendrecv".to_owned());
        }
        for (i, address) in self.candidates.iter().enumerate() {
            let (ip, port, ufrag, number) = (address.ip(), address.port(), &self.ice.ufrag, i as u32 + 1);
            let foundation = 657_706_698u32.wrapping_mul(number);
            lines.push(format!(
                "a=candidate:{foundation} 1 udp {UDP_PRIORITY} {ip} {port} typ host ufrag {ufrag}"
            ));
            if form.tcp_candidates {
                let foundation = 156_187_732u32.wrapping_mul(number);
                lines.push(format!(
                    "a=candidate:{foundation} 1 tcp {TCP_PRIORITY} {ip} 443 typ host tcptype passive ufrag {ufrag}"
                ));
            }
        }
    }

    fn channel(&self, form: &AnswerForm, lines: &mut Vec<String>) {
        let Some(mid) = &self.channel_mid else { return };
        lines.push("m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned());
        lines.push("c=IN IP4 0.0.0.0".to_owned());
        lines.push(format!("a=setup:{}", self.setup));
        lines.push(format!("a=mid:{mid}"));
        lines.push("a=sendrecv".to_owned());
        lines.push("a=sctp-port:5000".to_owned());
        match form.max_message_size {
            MaxMessageSize::Large => lines.push("a=max-message-size:1073741823".to_owned()),
            MaxMessageSize::Bytes(bytes) => lines.push(format!("a=max-message-size:{bytes}")),
            MaxMessageSize::Absent => {}
        }
        self.ice(lines);
    }

    fn ice(&self, lines: &mut Vec<String>) {
        lines.push(format!("a=ice-ufrag:{}", self.ice.ufrag));
        lines.push(format!("a=ice-pwd:{}", self.ice.pwd));
    }

    /// The text with a fault in it.
    pub(crate) fn faulty_text(&self, form: &AnswerForm, fault: &AnswerFault) -> String {
        let mut bad = self.clone();
        let without = |text: String, prefix: &str| -> String {
            text.split_inclusive("\r\n").filter(|line| !line.starts_with(prefix)).collect()
        };
        match fault {
            AnswerFault::NoFingerprint => without(self.text(form), "a=fingerprint:"),
            AnswerFault::Sha1Fingerprint => {
                bad.fingerprint = format!("sha-1 {}", ["A0"; 20].join(":"));
                bad.text(form)
            }
            AnswerFault::WrongFingerprint => {
                bad.fingerprint = format!("sha-256 {}", ["A0"; 32].join(":"));
                bad.text(form)
            }
            AnswerFault::Candidates(addresses) => {
                bad.candidates.clone_from(addresses);
                bad.text(form)
            }
            AnswerFault::ManyCandidates(count) => {
                let far = (0..*count).map(|i| {
                    // 198.18.0.0/15 is set aside for benchmarks (RFC 2544): nobody is there.
                    SocketAddr::from(([198, 18, (i / 250) as u8, (i % 250) as u8 + 1], 3478))
                });
                bad.candidates = far.chain(self.candidates.iter().copied()).collect();
                bad.text(form)
            }
            AnswerFault::NoAudio => {
                bad.payloads.clear();
                bad.text(form)
            }
            AnswerFault::MissingAudio => {
                let text = self.text(form);
                let (head, rest) = text.split_once("m=audio").expect("an answer has an audio line");
                let channel = rest.find("m=application").map_or("", |at| &rest[at..]);
                format!("{head}{channel}")
            }
            AnswerFault::SetupActpass => {
                bad.setup = "actpass";
                bad.text(form)
            }
            AnswerFault::SetupPassive => {
                bad.setup = "passive";
                bad.text(form)
            }
            AnswerFault::PayloadReuse => {
                let number = self.payloads.first().map_or(111, |p| p.payload_type);
                let line = "a=rtcp-rsize\r\n";
                self.text(form).replacen(line, &format!("{line}a=rtpmap:{number} PCMU/8000\r\n"), 1)
            }
            AnswerFault::Nonsense => "<!doctype html><title>502 Bad Gateway</title>\r\n".to_owned(),
            AnswerFault::Trimmed => self.text(form).trim_end().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            session_number: 7_075_162_086_859_809_594,
            unix_seconds: 1_777_287_993,
            fingerprint: "sha-256 AE:7A:F2".to_owned(),
            ice: IceCredentials {
                ufrag: "hcFtUn/u7/3oNQFw".to_owned(),
                pwd: "00m4X2bznsintgaj6Zfs82tdXXJN5EhP".to_owned(),
            },
            audio_mid: "0".to_owned(),
            channel_mid: Some("1".to_owned()),
            payloads: vec![
                Payload { payload_type: 96, codec: Codec::Opus },
                Payload { payload_type: 0, codec: Codec::Pcmu },
                Payload { payload_type: 8, codec: Codec::Pcma },
            ],
            setup: "active",
            ssrc: 4_176_682_926,
            candidates: vec![SocketAddr::from(([20, 184, 36, 134], 3478))],
            extmap_allow_mixed: false,
        }
    }

    /// The capture of April 2026, with one of its three addresses.
    const CAPTURE: &str = "v=0
o=- 7075162086859809594 1777287993 IN IP4 0.0.0.0
s=-
t=0 0
a=msid-semantic:WMS *
a=fingerprint:sha-256 AE:7A:F2
a=ice-lite
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 96 0 8
c=IN IP4 0.0.0.0
a=setup:active
a=mid:0
a=ice-ufrag:hcFtUn/u7/3oNQFw
a=ice-pwd:00m4X2bznsintgaj6Zfs82tdXXJN5EhP
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 opus/48000/2
a=fmtp:96 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=ssrc:4176682926 cname:realtimeapi
a=ssrc:4176682926 msid:realtimeapi audio
a=ssrc:4176682926 mslabel:realtimeapi
a=ssrc:4176682926 label:audio
a=msid:realtimeapi audio
a=sendrecv
a=candidate:657706698 1 udp 2130706431 20.184.36.134 3478 typ host ufrag hcFtUn/u7/3oNQFw
a=candidate:156187732 1 tcp 1671430143 20.184.36.134 443 typ host tcptype passive ufrag hcFtUn/u7/3oNQFw
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=setup:active
a=mid:1
a=sendrecv
a=sctp-port:5000
a=max-message-size:1073741823
a=ice-ufrag:hcFtUn/u7/3oNQFw
a=ice-pwd:00m4X2bznsintgaj6Zfs82tdXXJN5EhP
";

    #[test]
    fn the_answer_is_the_captured_one_line_by_line() {
        assert_eq!(answer().text(&AnswerForm::default()), CAPTURE.replace('\n', "\r\n"));
    }

    #[test]
    fn the_variants_differ_where_they_should() {
        let form = AnswerForm {
            ice_lite: false,
            bare: true,
            max_message_size: MaxMessageSize::Absent,
            ..AnswerForm::default()
        };
        let text = answer().text(&form);
        for absent in ["ice-lite", "a=rtpmap:0 ", "a=rtpmap:8 ", "fmtp", "a=ssrc", "max-message-size"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
        assert!(text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 96 0 8\r\n") && text.contains("a=rtpmap:96 opus"));
    }

    #[test]
    fn faults_break_exactly_what_they_say() {
        let form = AnswerForm::default();
        let faulty = |fault: AnswerFault| answer().faulty_text(&form, &fault);
        assert!(!faulty(AnswerFault::NoFingerprint).contains("fingerprint"));
        assert!(faulty(AnswerFault::Sha1Fingerprint).contains("a=fingerprint:sha-1 A0:A0"));
        assert_eq!(faulty(AnswerFault::ManyCandidates(1_000)).matches(" udp ").count(), 1_001);
        assert!(faulty(AnswerFault::NoAudio).contains("m=audio 0 "));
        let missing = faulty(AnswerFault::MissingAudio);
        assert!(!missing.contains("m=audio") && missing.contains("m=application"));
        assert!(faulty(AnswerFault::SetupPassive).contains("a=setup:passive"));
        assert_eq!(faulty(AnswerFault::PayloadReuse).matches("a=rtpmap:96 ").count(), 2);
        assert!(!faulty(AnswerFault::Trimmed).ends_with('\n'));
        let inner = vec![SocketAddr::from(([169, 254, 169, 254], 80))];
        assert!(faulty(AnswerFault::Candidates(inner)).contains(" 169.254.169.254 80 "));
    }
}
