//! Whether a certificate is good, and for how long.

use std::time::{SystemTime, UNIX_EPOCH};

use aria_bridge::config::Settings;
use aria_bridge::http::Tls;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::pem::Pem;

use super::finding::Findings;

/// From so many days before its end on a certificate is worth a word: who renews by itself does it a month before.
const SOON_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 24 * 3600;

/// The listener's own files.
pub fn files(settings: &Settings, findings: &mut Findings) {
    let Some(files) = &settings.tls else { return };
    if let Err(error) = Tls::new(files.clone()) {
        findings.problem("certificate", error, "name a chain and its key, both PEM, in [tls]");
        return;
    }
    let host = settings.public_url.host_str().unwrap_or_default().to_owned();
    let first = std::fs::read(&files.certificate)
        .ok()
        .and_then(|text| Pem::iter_from_buffer(&text).next().and_then(Result::ok).map(|pem| pem.contents));
    match first.map(|der| judge(&der, Some(&host))) {
        Some(verdict) => tell("certificate", verdict, findings),
        None => {
            findings.problem("certificate", "no certificate in the file", "name a chain in tls.certificate")
        }
    }
}

/// What there is to say about a certificate.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds for so many days.
    Good(i64),
    /// It ends in so many days.
    EndsSoon(i64),
    /// It ended so many days ago.
    Ended(i64),
    /// It has not begun.
    NotYet,
    /// It names others.
    OtherName(Vec<String>),
    /// It is none.
    Unreadable,
}

/// Looks at a certificate in DER. `host`: whom it must name.
pub fn judge(der: &[u8], host: Option<&str>) -> Verdict {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs() as i64);
    let Ok((_, certificate)) = parse_x509_certificate(der) else { return Verdict::Unreadable };
    let validity = certificate.validity();
    if validity.not_before.timestamp() > now {
        return Verdict::NotYet;
    }
    let days = (validity.not_after.timestamp() - now).div_euclid(DAY_SECONDS);
    if days < 0 {
        return Verdict::Ended(-days);
    }
    let named = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = named
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    if let Some(host) = host
        && host.parse::<std::net::IpAddr>().is_err()
        && !names.iter().any(|name| covers(name, host))
    {
        return Verdict::OtherName(names);
    }
    if days < SOON_DAYS { Verdict::EndsSoon(days) } else { Verdict::Good(days) }
}

/// Whether a name of a certificate is the host's: a star stands for one label (RFC 6125, 6.4.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// Says it.
pub fn tell(what: &str, verdict: Verdict, findings: &mut Findings) {
    match verdict {
        Verdict::Good(days) => findings.good(what, format!("good for {days} days")),
        Verdict::EndsSoon(days) => {
            findings.note(
                what,
                format!("ends in {days} days"),
                "renew it; the bridge reads new files by itself",
            );
        }
        Verdict::Ended(days) => {
            findings.problem(
                what,
                format!("ended {days} days ago"),
                "renew it: Twilio calls nobody without a valid one",
            );
        }
        Verdict::NotYet => findings.problem(what, "not valid yet", "look at this machine's clock"),
        Verdict::OtherName(names) => {
            let how =
                format!("it is for {}", if names.is_empty() { "no name".into() } else { names.join(", ") });
            findings.problem(what, how, "get one for the host of ARIA_PUBLIC_URL");
        }
        Verdict::Unreadable => findings.problem(what, "cannot be read", "name a chain in PEM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_stars() {
        assert!(
            covers("voice.example.com", "Voice.example.com") && covers("*.example.com", "voice.example.com")
        );
        assert!(!covers("*.example.com", "a.voice.example.com") && !covers("*.example.com", "example.com"));
    }

    #[test]
    fn names_and_days_of_a_certificate() {
        let made = |years: std::ops::RangeInclusive<i32>| {
            let mut parameters = rcgen::CertificateParams::new(["voice.example.com".to_owned()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(*years.start(), 1, 1);
            parameters.not_after = rcgen::date_time_ymd(*years.end(), 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            parameters.self_signed(&key).unwrap().der().to_vec()
        };
        assert!(
            matches!(judge(&made(2020..=2999), Some("voice.example.com")), Verdict::Good(days) if days > 300_000)
        );
        assert_eq!(
            judge(&made(2020..=2999), Some("other.example.com")),
            Verdict::OtherName(vec!["voice.example.com".into()])
        );
        assert!(matches!(judge(&made(2020..=2021), None), Verdict::Ended(days) if days > 1000));
        assert_eq!(judge(&made(2998..=2999), None), Verdict::NotYet);
        assert_eq!(judge(b"nonsense", None), Verdict::Unreadable);
    }
}
