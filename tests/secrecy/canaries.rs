//! What is planted, and the search for it.

/// Who calls.
pub const CALLER: &str = "+15557654321";
/// Whom the bridge calls.
pub const CALLEE: &str = "+15556543217";
/// Whose calls nobody may place.
pub const FORBIDDEN: &str = "+495432176543";
/// What the caller types: a card's number.
pub const CARD: &str = "4929123456781234";
/// Words of the caller, of the model, of a tool's question, of a note and of a text message; and whom a call is for.
pub const WORDS: [&str; 6] = ["xylophone", "zeppelin", "marzipan", "wheelbarrow", "periwinkle", "Persephone"];

/// Keys and passwords, by what holds them.
pub const SECRETS: [(&str, &str); 9] = [
    ("TWILIO_AUTH_TOKEN", "canarytwilioprimary0000000000001"),
    ("TWILIO_AUTH_TOKEN_SECONDARY", "canarytwiliosecondary00000000002"),
    ("OPENAI_API_KEY", "sk-canary-openai-0000000003"),
    ("ARIA_ADMIN_TOKEN", "canary-admin-0000000004"),
    ("ARIA_WEBHOOKS_SECRET", "canary-webhook-0000000005"),
    ("ARIA_DISPATCH_SECRET", "canary-dispatch-0000000006"),
    ("CRM_TOKEN", "canary-crm-0000000007"),
    // In URLs that the configuration holds: of a tool, and of the webhooks' receiver.
    ("a tool's query", "canary-query-0000000008"),
    ("a receiver's password", "canary-receiver-0000000009"),
];

/// A database's password.
pub const DATABASE_PASSWORD: &str = "canary-database-0000000010";

/// One of [`SECRETS`].
pub fn secret(holder: &str) -> &'static str {
    SECRETS.iter().find(|(name, _)| *name == holder).map(|(_, value)| *value).expect("it is planted")
}

/// Everything that can be seen of a program, sink by sink.
#[derive(Default)]
pub struct Sinks(Vec<(String, String)>);

impl Sinks {
    /// One more.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.0.push((name.into(), text.into()));
    }

    /// Where any of `canaries` is shown, with the line. Whole or, of a number, but for its beginning.
    pub fn hits(&self, canaries: &[String]) -> Vec<String> {
        let mut hits = Vec::new();
        for (name, text) in &self.0 {
            for line in text.lines() {
                let found = canaries.iter().filter(|canary| line.contains(canary.as_str()));
                hits.extend(found.map(|canary| format!("{name}: {canary}: {line}")));
            }
        }
        hits
    }

    /// How much was searched.
    pub fn size(&self) -> String {
        let sink = |(name, text): &(String, String)| format!("{name} {} lines", text.lines().count());
        self.0.iter().map(sink).collect::<Vec<_>>().join(", ")
    }

    /// Fails if any of `canaries` is shown.
    #[track_caller]
    pub fn assert_clean(&self, canaries: &[String]) {
        let hits = self.hits(canaries);
        let shown: Vec<String> = hits.iter().take(20).map(|hit| hit.chars().take(400).collect()).collect();
        println!("{} canaries in {}: {} hits", canaries.len(), self.size(), hits.len());
        assert!(hits.is_empty(), "{} hits, of which:\n{}", hits.len(), shown.join("\n"));
    }
}

/// The secrets, and what a peer's session was protected by.
pub fn secrets(offers_and_answers: &[String]) -> Vec<String> {
    let mut canaries: Vec<String> = SECRETS.iter().map(|(_, value)| (*value).to_owned()).collect();
    canaries.push(DATABASE_PASSWORD.to_owned());
    // Credentials in any other form: authorisation headers, ICE passwords.
    canaries.extend(["Bearer ", "Basic ", "ice-pwd"].map(str::to_owned));
    let passwords =
        offers_and_answers.iter().flat_map(|sdp| sdp.lines()).filter_map(|l| l.strip_prefix("a=ice-pwd:"));
    canaries.extend(passwords.map(str::to_owned));
    canaries
}

/// What people said and typed, and the ends of their numbers: seven digits, so that no clock's fraction is taken for one.
pub fn personal() -> Vec<String> {
    let ends = [CALLER, CALLEE, FORBIDDEN].map(|number| number[number.len() - 7..].to_owned());
    let words = WORDS.iter().flat_map(|word| [(*word).to_owned(), word.to_uppercase()]);
    // One key at a time is told as Twilio tells it, or as a field of a log line.
    let keys = ["\"digit\"", "digit=", "digit:"].map(str::to_owned);
    words.chain(ends).chain(keys).chain([CARD.to_owned(), CARD[CARD.len() - 7..].to_owned()]).collect()
}

#[test]
fn a_canary_is_found_in_every_sink() {
    let mut sinks = Sinks::default();
    sinks.add("log", format!("all is well\nfrom …{}\n", &CALLER[CALLER.len() - 7..]));
    sinks.add("metrics", format!("x{{token=\"{}\"}} 1", secret("CRM_TOKEN")));
    assert_eq!(sinks.hits(&personal()).len(), 1);
    assert_eq!(sinks.hits(&secrets(&["a=ice-pwd:abc".into()])).len(), 1);
    sinks.add("error", "a=ice-pwd:abc");
    assert_eq!(sinks.hits(&secrets(&["a=ice-pwd:abc".into()])).len(), 3);
}
