//! What the REST API knows: the account's calls and numbers, the requests it got, the faults it is to show.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::answer::{Answer, ApiError};
use crate::phone::call::Command;
use crate::phone::config::{CallPlan, PhoneConfig};
use crate::phone::form::{Params, rfc2822};
use crate::phone::sid::Dice;

/// Calls remembered; the oldest is forgotten first. More than any test looks back on.
const CALLS: usize = 10_000;
/// Requests remembered.
const REQUESTS: usize = 10_000;

/// One request to the REST API.
#[derive(Clone, PartialEq, Eq)]
pub struct RestRequest {
    /// GET or POST.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The form, or the query of a GET.
    pub params: Vec<(String, String)>,
    /// The status it was answered with.
    pub status: u16,
}

impl std::fmt::Debug for RestRequest {
    /// Without the values: there are numbers among them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.params.iter().map(|(n, _)| n.as_str()).collect();
        write!(f, "{} {} {names:?} -> {}", self.method, self.path, self.status)
    }
}

/// What one request is to meet.
#[derive(Debug, Clone, Default)]
pub struct RestFault {
    /// How long it waits before anything is done.
    pub latency: Duration,
    /// The status it fails with; none if it is only late.
    pub status: Option<u16>,
    /// `Retry-After`, seconds.
    pub retry_after: Option<u32>,
}

/// The account's state.
#[derive(Clone, Default)]
pub struct Registry {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: HashMap<String, Entry>,
    order: VecDeque<String>,
    requests: VecDeque<RestRequest>,
    faults: VecDeque<RestFault>,
    voice_urls: HashMap<String, Params>,
}

struct Entry {
    from: String,
    to: String,
    direction: &'static str,
    created: String,
    /// None while the call is only queued.
    orders: Option<mpsc::Sender<Command>>,
    status: Option<watch::Receiver<&'static str>>,
}

impl Entry {
    fn status(&self) -> &'static str {
        self.status.as_ref().map_or("queued", |s| *s.borrow())
    }
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the account")
    }

    pub(in crate::phone) fn enter(
        &self,
        sid: &str,
        direction: &'static str,
        plan: &CallPlan,
        orders: mpsc::Sender<Command>,
        status: watch::Receiver<&'static str>,
    ) {
        self.insert(sid, direction, plan, Some(orders), Some(status));
    }

    fn insert(
        &self,
        sid: &str,
        direction: &'static str,
        plan: &CallPlan,
        orders: Option<mpsc::Sender<Command>>,
        status: Option<watch::Receiver<&'static str>>,
    ) {
        let created = rfc2822(SystemTime::now());
        let entry =
            Entry { from: plan.from.clone(), to: plan.to.clone(), direction, created, orders, status };
        let mut state = self.state();
        if state.calls.insert(sid.to_owned(), entry).is_none() {
            state.order.push_back(sid.to_owned());
            if state.order.len() > CALLS
                && let Some(oldest) = state.order.pop_front()
            {
                state.calls.remove(&oldest);
            }
        }
    }

    pub(super) fn queued(&self, config: &PhoneConfig, sid: &str, plan: &CallPlan) -> Answer {
        self.insert(sid, "outbound-api", plan, None, None);
        let mut answer = self.describe(config, sid).expect("it was entered just now");
        answer.status = 201;
        answer
    }

    /// Passes a command to a call.
    pub(super) fn order(&self, sid: &str, command: Command) -> Result<(), ApiError> {
        let state = self.state();
        let not_found =
            || ApiError::new(404, 20_404, &format!("The requested resource Calls/{sid} was not found"));
        let entry = state.calls.get(sid).ok_or_else(not_found)?;
        let over = || ApiError::new(400, 21_220, "Call is not in-progress. Cannot redirect.");
        if !["queued", "ringing", "in-progress"].contains(&entry.status()) {
            return Err(over());
        }
        entry.orders.as_ref().ok_or_else(over)?.try_send(command).map_err(|_| over())
    }

    /// The call resource.
    pub(super) fn describe(&self, config: &PhoneConfig, sid: &str) -> Option<Answer> {
        let state = self.state();
        let call = state.calls.get(sid)?;
        let account = &config.account_sid;
        let body = json!({
            "sid": sid, "account_sid": account, "parent_call_sid": null, "phone_number_sid": null,
            "from": call.from, "from_formatted": call.from, "to": call.to, "to_formatted": call.to,
            "status": call.status(), "direction": call.direction, "api_version": "2010-04-01",
            "date_created": call.created, "date_updated": call.created, "start_time": call.created, "end_time": null,
            "duration": null, "price": null, "price_unit": "USD", "answered_by": null, "forwarded_from": null,
            "caller_name": null, "group_sid": null, "trunk_sid": "", "queue_time": "0", "annotation": null,
            "uri": format!("/2010-04-01/Accounts/{account}/Calls/{sid}.json"),
            "subresource_uris": {},
        });
        Some(Answer { status: 200, body })
    }

    /// The account resource.
    pub(super) fn account(&self, config: &PhoneConfig) -> Answer {
        let body = json!({
            "sid": config.account_sid, "friendly_name": "simulated", "status": "active", "type": "Full",
            "uri": format!("/2010-04-01/Accounts/{}.json", config.account_sid),
        });
        Answer { status: 200, body }
    }

    /// A message resource.
    pub(super) fn message(&self, config: &PhoneConfig, from: &str, to: &str, text: &str) -> Answer {
        let sid = Dice::new(rand::random()).sid("SM");
        let body = json!({
            "sid": sid, "account_sid": config.account_sid, "from": from, "to": to, "body": text, "status": "queued",
            "num_segments": "1", "direction": "outbound-api", "error_code": null, "error_message": null,
        });
        Answer { status: 201, body }
    }

    /// The list of numbers, or the one that is asked for.
    pub(super) fn numbers(&self, config: &PhoneConfig, only: Option<&str>) -> Answer {
        let list: Vec<Value> = config
            .numbers
            .iter()
            .enumerate()
            .filter(|(_, n)| only.is_none_or(|o| o == n.as_str()))
            .map(|(index, _)| self.number(config, index))
            .collect();
        let uri = format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers.json", config.account_sid);
        let body = json!({ "incoming_phone_numbers": list, "page": 0, "page_size": 50, "uri": uri, "next_page_uri": null });
        Answer { status: 200, body }
    }

    /// Changes a number's settings.
    pub(super) fn set_number(&self, config: &PhoneConfig, sid: &str, params: &Params) -> Option<Answer> {
        let index = (0..config.numbers.len()).find(|n| number_sid(*n) == sid)?;
        let mut state = self.state();
        let settings = state.voice_urls.entry(sid.to_owned()).or_default();
        for (name, value) in params {
            settings.retain(|(n, _)| n != name);
            settings.push((name.clone(), value.clone()));
        }
        drop(state);
        Some(Answer { status: 200, body: self.number(config, index) })
    }

    fn number(&self, config: &PhoneConfig, index: usize) -> Value {
        let sid = number_sid(index);
        let state = self.state();
        let setting = |name: &str, default: &str| {
            let found = state.voice_urls.get(&sid).and_then(|s| s.iter().find(|(n, _)| n == name));
            found.map_or_else(|| default.to_owned(), |(_, v)| v.clone())
        };
        json!({
            "sid": sid, "account_sid": config.account_sid, "phone_number": config.numbers[index],
            "friendly_name": config.numbers[index], "voice_url": setting("VoiceUrl", ""),
            "voice_method": setting("VoiceMethod", "POST"), "voice_fallback_url": setting("VoiceFallbackUrl", ""),
            "voice_fallback_method": setting("VoiceFallbackMethod", "POST"),
            "status_callback": setting("StatusCallback", ""), "status_callback_method": setting("StatusCallbackMethod", "POST"),
            "voice_application_sid": "", "trunk_sid": null, "capabilities": { "voice": true, "sms": true, "mms": false },
            "uri": format!("/2010-04-01/Accounts/{}/IncomingPhoneNumbers/{sid}.json", config.account_sid),
        })
    }

    /// Keeps a request and gives it Twilio's name for it.
    pub(super) fn note(&self, request: RestRequest) -> String {
        let mut state = self.state();
        if state.requests.len() == REQUESTS {
            state.requests.pop_front();
        }
        state.requests.push_back(request);
        Dice::new(rand::random()).sid("RQ")
    }

    pub(in crate::phone) fn requests(&self) -> Vec<RestRequest> {
        self.state().requests.iter().cloned().collect()
    }

    pub(in crate::phone) fn fail(&self, faults: impl IntoIterator<Item = RestFault>) {
        self.state().faults.extend(faults);
    }

    pub(super) fn next_fault(&self) -> Option<RestFault> {
        self.state().faults.pop_front()
    }
}

fn number_sid(index: usize) -> String {
    format!("PN{index:032x}")
}
