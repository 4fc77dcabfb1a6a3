//! The form parameters of Twilio's requests about a call.
//!
//! Source: <https://www.twilio.com/docs/voice/twiml#request-parameters> and captures: absent geography arrives empty and is signed, `CallToken` arrives escaped
//! already, so that it is escaped twice on the wire.

use std::time::{Duration, SystemTime};

/// The unchanging part of a call.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) account: String,
    pub(crate) call: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// `inbound` or `outbound-api`.
    pub(crate) direction: &'static str,
    pub(crate) extra: Vec<(String, String)>,
}

pub(crate) type Params = Vec<(String, String)>;

impl Identity {
    /// The parameters of a request for a document.
    pub(crate) fn params(&self, status: &str) -> Params {
        let mut params: Params = [
            ("AccountSid", self.account.as_str()),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &self.call),
            ("CallStatus", status),
            ("Called", &self.to),
            ("CalledCity", ""),
            ("CalledCountry", "US"),
            ("CalledState", "CA"),
            ("CalledZip", ""),
            ("Caller", &self.from),
            ("CallerCity", ""),
            ("CallerCountry", "US"),
            ("CallerState", ""),
            ("CallerZip", ""),
            ("Direction", self.direction),
            ("From", &self.from),
            ("FromCity", ""),
            ("FromCountry", "US"),
            ("FromState", ""),
            ("FromZip", ""),
            ("To", &self.to),
            ("ToCity", ""),
            ("ToCountry", "US"),
            ("ToState", "CA"),
            ("ToZip", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if self.direction == "inbound" {
            let token = "%7B%22parentCallInfoToken%22%3A%22eyJhbGciOiJFUzI1NiJ9.e30.c2lt%22%7D";
            params.push(("CallToken".into(), token.into()));
            params.push(("StirVerstat".into(), "TN-Validation-Passed-A".into()));
        }
        for (name, value) in &self.extra {
            params.retain(|(n, _)| n != name);
            params.push((name.clone(), value.clone()));
        }
        params.sort();
        params
    }

    /// A status callback before the end.
    pub(crate) fn progress(&self, status: &str, sequence: u32) -> Params {
        let mut params = self.params(status);
        // It comes with the request for a document only.
        params.retain(|(name, _)| name != "CallToken");
        params.push(("CallbackSource".into(), "call-progress-events".into()));
        params.push(("SequenceNumber".into(), sequence.to_string()));
        params.push(("Timestamp".into(), rfc2822(SystemTime::now())));
        params
    }

    /// The verdict of the answering-machine detection, `after` so long.
    pub(crate) fn verdict(&self, answered_by: &str, after: Duration) -> Params {
        [
            ("AccountSid", self.account.clone()),
            ("AnsweredBy", answered_by.to_owned()),
            ("CallSid", self.call.clone()),
            ("MachineDetectionDuration", after.as_millis().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The status callback at the end of the call. `seconds` is how long it was answered.
    pub(crate) fn ended(&self, status: &str, seconds: u64, sequence: u32) -> Params {
        let mut params = self.progress(status, sequence);
        params.push(("CallDuration".into(), seconds.to_string()));
        if status == "completed" {
            params.push(("Duration".into(), seconds.div_ceil(60).to_string()));
        }
        params
    }

    /// A status callback of a stream.
    pub(crate) fn stream(&self, sid: &str, name: Option<&str>, event: &str, error: Option<&str>) -> Params {
        let mut params: Params = [
            ("AccountSid", self.account.as_str()),
            ("CallSid", &self.call),
            ("StreamEvent", event),
            ("StreamName", name.unwrap_or(sid)),
            ("StreamSid", sid),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        params.push(("Timestamp".into(), iso8601(SystemTime::now())));
        params.extend(error.map(|text| ("StreamError".to_owned(), text.to_owned())));
        params
    }
}

/// The body of a form POST.
pub(crate) fn encode(params: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

fn civil(time: SystemTime) -> (u64, u64, u64, u64, u64, u64, u64) {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let days = seconds / 86_400;
    // Days since 1 March of the year 0, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day, days, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// `Tue, 29 Sep 2026 10:00:00 +0000`.
pub(crate) fn rfc2822(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, days, h, m, s) = civil(time);
    let (weekday, month) = (DAYS[days as usize % 7], MONTHS[month as usize - 1]);
    format!("{weekday}, {day:02} {month} {year} {h:02}:{m:02}:{s:02} +0000")
}

fn iso8601(time: SystemTime) -> String {
    let (year, month, day, _, h, m, s) = civil(time);
    format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            account: "AC1".into(),
            call: "CA1".into(),
            from: "+15550001111".into(),
            to: "+15550002222".into(),
            direction: "inbound",
            extra: vec![("CallerName".into(), "José".into()), ("CallerState".into(), "NY".into())],
        }
    }

    #[test]
    fn a_call_looks_like_a_capture() {
        let params = identity().params("ringing");
        let get = |name: &str| {
            params.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(get("CallerZip"), [""]);
        assert_eq!((get("From"), get("Caller")), (vec!["+15550001111"], vec!["+15550001111"]));
        assert_eq!((get("CallerState"), get("CallerName")), (vec!["NY"], vec!["José"]));
        let body = encode(&params);
        assert!(body.contains("From=%2B15550001111&"), "{body}");
        assert!(body.contains("CallToken=%257B%2522parent"), "escaped twice: {body}");
    }

    #[test]
    fn dates_are_right() {
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        assert_eq!(rfc2822(at(1_790_676_000)), "Tue, 29 Sep 2026 10:00:00 +0000");
        assert_eq!(iso8601(at(1_709_208_000)), "2024-02-29T12:00:00Z");
        assert_eq!(rfc2822(at(0)), "Thu, 01 Jan 1970 00:00:00 +0000");
    }
}
