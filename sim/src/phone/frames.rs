//! A look at the WebSocket framing of what the bridge sends, byte by byte, before the library has made messages of it.
//!
//! Twilio's client is strict about RFC 6455 (error 31924 ends the call) and our own library is forgiving: it joins fragments and answers pings without a word. This
//! scanner sees the headers only.

use super::validator::ViolationKind;

/// What the scanner has seen of one connection.
#[derive(Debug, Default)]
pub struct FrameScanner {
    header: Vec<u8>,
    /// Payload bytes of the current frame that are still to come.
    skip: u64,
    in_message: bool,
    /// Pings of the bridge.
    pub pings: u64,
    /// Frames of any kind.
    pub frames: u64,
    /// Payload bytes announced.
    pub bytes: u64,
}

/// A finding for the list of violations.
pub type Finding = (ViolationKind, String);

impl FrameScanner {
    /// Takes the next bytes from the socket, after the handshake's blank line, and returns what is wrong with the headers in them.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len() as u64);
                self.skip -= n;
                bytes = &bytes[n as usize..];
                continue;
            }
            self.header.push(bytes[0]);
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                self.judge(length, &mut findings);
                self.skip = length;
                self.header.clear();
            }
        }
        findings
    }

    /// The payload length, once the header is complete (RFC 6455 section 5.2). A mask, which a server may not use, is part of the header.
    fn length(&self) -> Option<u64> {
        let h = &self.header;
        let (&second, mask) = (h.get(1)?, if h[1] & 0x80 == 0 { 0 } else { 4 });
        let extended = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if h.len() < 2 + extended + mask {
            return None;
        }
        Some(match extended {
            0 => u64::from(second & 0x7F),
            n => h[2..2 + n].iter().fold(0, |sum, &b| (sum << 8) | u64::from(b)),
        })
    }

    fn judge(&mut self, length: u64, findings: &mut Vec<Finding>) {
        let (fin, rsv, opcode) = (self.header[0] & 0x80 != 0, self.header[0] & 0x70, self.header[0] & 0x0F);
        self.frames += 1;
        self.bytes += length;
        let mut bad = |kind, text: &str| findings.push((kind, text.to_owned()));
        if rsv != 0 {
            bad(ViolationKind::Framing, "a reserved bit is set; no extension was agreed");
        }
        if self.header[1] & 0x80 != 0 {
            bad(ViolationKind::Framing, "a server's frame is masked");
        }
        match opcode {
            0x0 if !self.in_message => bad(ViolationKind::Framing, "a continuation of nothing"),
            0x1 | 0x2 if self.in_message => bad(ViolationKind::Framing, "a message inside a message"),
            0x0 => {}
            0x1 | 0x2 => {
                if !fin {
                    bad(ViolationKind::Fragmented, "a message in several frames");
                }
            }
            0x8..=0xA => {
                if !fin {
                    bad(ViolationKind::Framing, "a fragmented control frame");
                }
                if length > 125 {
                    bad(ViolationKind::Framing, "a control frame above 125 bytes");
                }
            }
            _ => bad(ViolationKind::Framing, "an unknown opcode"),
        }
        if opcode < 0x8 {
            self.in_message = !fin;
        }
        self.pings += u64::from(opcode == 0x9);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(bytes: &[u8]) -> Vec<ViolationKind> {
        let mut whole = FrameScanner::default();
        let at_once = whole.feed(bytes);
        let mut single = FrameScanner::default();
        let one_by_one: Vec<_> = bytes.iter().flat_map(|b| single.feed(&[*b])).collect();
        assert_eq!(at_once, one_by_one, "where the reads are cut does not matter");
        at_once.into_iter().map(|f| f.0).collect()
    }

    #[test]
    fn whole_text_frames_of_every_length_form_pass() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c'];
        bytes.extend([0x81, 126, 0x01, 0x00]);
        bytes.extend([b'x'; 256]);
        bytes.extend([0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        bytes.extend(vec![b'y'; 65_536]);
        bytes.extend([0x89, 0]);
        assert!(kinds(&bytes).is_empty());
        let mut scanner = FrameScanner::default();
        scanner.feed(&bytes);
        assert_eq!((scanner.frames, scanner.pings, scanner.bytes), (4, 1, 3 + 256 + 65_536));
    }

    #[test]
    fn what_a_strict_client_refuses_is_found() {
        use ViolationKind::*;
        assert_eq!(kinds(&[0x01, 1, b'a', 0x80, 1, b'b']), [Fragmented]);
        assert_eq!(kinds(&[0x01, 1, b'a', 0x89, 0, 0x80, 1, b'b']), [Fragmented], "a ping may come between");
        assert_eq!(kinds(&[0xC1, 0]), [Framing]);
        assert_eq!(kinds(&[0x81, 0x81, 1, 2, 3, 4, b'a', 0x81, 0]), [Framing]);
        assert_eq!(kinds(&[0x09, 0]), [Framing]);
        assert_eq!(kinds(&[0x80, 0]), [Framing]);
        assert_eq!(kinds(&[0x83, 0]), [Framing]);
        let mut long_ping = vec![0x89, 126, 0, 200];
        long_ping.extend([0; 200]);
        assert_eq!(kinds(&long_ping), [Framing]);
    }
}
