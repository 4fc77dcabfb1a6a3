//! The settings in force. A reload puts others in their place, for calls that begin afterwards; a file that is wrong changes nothing.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use super::{ConfigError, Settings, Sources, load};

/// How often the file is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The settings in force.
#[derive(Debug)]
pub struct Live(RwLock<Arc<Settings>>);

impl Live {
    /// These, from the start.
    pub fn new(settings: Settings) -> Self {
        Self(RwLock::new(Arc::new(settings)))
    }

    /// Those in force now. Whoever holds them keeps them.
    pub fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(|e| e.into_inner()))
    }

    /// Reads everything anew and puts it in force. Returns the fields that are different and need a restart: their old values stay.
    ///
    /// # Errors
    /// Nothing has changed.
    pub fn reload(&self, sources: &Sources) -> Result<Vec<&'static str>, ConfigError> {
        let mut new = load(sources)?;
        let old = self.now();
        let url = |settings: &Settings| settings.dispatch.as_ref().map(|dispatch| dispatch.url.clone());
        let fixed = [
            ("listen", new.listen != old.listen),
            ("public_url", new.public_url != old.public_url),
            ("twilio.account_sid", new.twilio.account_sid != old.twilio.account_sid),
            ("twilio.api_url", new.twilio.api_url != old.twilio.api_url),
            ("limits.max_calls", new.limits.max_calls != old.limits.max_calls),
            ("limits.calls_per_second", new.limits.calls_per_second != old.limits.calls_per_second),
            ("audio.cores", new.audio.cores != old.audio.cores),
            ("audio.awake_from_calls", new.audio.awake_from_calls != old.audio.awake_from_calls),
            ("database_url", new.records.database_url.expose() != old.records.database_url.expose()),
            ("dispatch.url", url(&new) != url(&old)),
            ("tls", new.tls != old.tls),
            ("tools.private_hosts", new.tool_private_hosts != old.tool_private_hosts),
            ("tools.deny_prefixes", new.tool_denied_prefixes != old.tool_denied_prefixes),
        ];
        new.listen = old.listen;
        new.public_url = old.public_url.clone();
        new.admin_token = old.admin_token.clone();
        new.twilio = old.twilio.clone();
        new.openai = old.openai.clone();
        new.records = old.records.clone();
        new.dispatch = old.dispatch.clone();
        new.tls = old.tls.clone();
        new.audio.cores = old.audio.cores.clone();
        new.audio.awake_from_calls = old.audio.awake_from_calls;
        new.limits.max_calls = old.limits.max_calls;
        new.limits.calls_per_second = old.limits.calls_per_second;
        new.tool_private_hosts = old.tool_private_hosts.clone();
        new.tool_denied_prefixes = old.tool_denied_prefixes.clone();
        *self.0.write().unwrap_or_else(|e| e.into_inner()) = Arc::new(new);
        Ok(fixed.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect())
    }
}

/// Tells when the file has changed.
#[derive(Debug)]
pub struct Watch {
    path: Option<PathBuf>,
    seen: Option<SystemTime>,
}

impl Watch {
    /// Of the file that `sources` names, if it names one.
    pub fn new(sources: &Sources) -> Self {
        let path = sources.path();
        Self { seen: path.as_ref().and_then(modified), path }
    }

    /// Whether it has changed since the last look. A file that is away for a moment, as while an editor saves it, has not.
    pub fn changed(&mut self) -> bool {
        let Some(now) = self.path.as_ref().and_then(modified) else { return false };
        self.seen.replace(now) != Some(now)
    }
}

fn modified(path: &PathBuf) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        Sources { text: Some(text.into()), ..Sources::default() }
    }

    #[test]
    fn a_reload_is_for_those_who_come_later_and_a_wrong_file_for_nobody() {
        let live = Live::new(load(&sources("[agents.default]\nvoice = \"marin\"\n")).unwrap());
        let before = live.now();
        let changed =
            live.reload(&sources("listen = \"127.0.0.1:9\"\n[agents.default]\nvoice = \"cedar\"\n"));
        assert_eq!(changed.unwrap(), ["listen", "public_url"]);
        assert_eq!(before.agent_for("").voice, "marin");
        assert_eq!(live.now().agent_for("").voice, "cedar");
        assert_eq!(live.now().listen.port(), 8080, "a socket is not moved");
        assert!(live.reload(&sources("voice = 3")).is_err());
        assert_eq!(live.now().agent_for("").voice, "cedar");
    }

    #[test]
    fn a_file_that_is_written_anew_is_noticed_once() {
        let path = std::env::temp_dir().join(format!("aria-watch-{}.toml", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let mut watch = Watch::new(&Sources { file: Some(path.clone()), ..Sources::default() });
        assert!(!watch.changed());
        let later = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert!(watch.changed() && !watch.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.changed());
    }
}
