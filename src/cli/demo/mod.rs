//! `aria demo`: one call in front of the user, from the webhook to the hang-up, on loopback and real protocols.

mod live;
mod report;
mod story;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use aria_bridge::bridge::{Bridge, listen};
use aria_bridge::config::{Secret, Settings, Sources};
use aria_bridge::telemetry;
use clap::ValueEnum;
use sim::desk::{Desk, DeskConfig};
use sim::model::{ModelConfig, ModelServer};
use sim::phone::{CallPlan, Phone, PhoneConfig, Script};
use tokio::sync::oneshot;

use super::Failure;

/// What the simulated Twilio signs with. It protects nothing: everything stays on this machine.
const DEMO_TOKEN: &str = "demo-auth-token";
/// What the desk asks for.
const DESK_TOKEN: &str = "demo-desk-token";
const ACCOUNT_SID: &str = "AC00000000000000000000000000000001";
/// A call that takes longer has gone wrong.
const CALL_LIMIT: Duration = Duration::from_secs(90);
/// How often the model's record is looked at while it ends.
const RECORD_POLL: Duration = Duration::from_millis(20);
/// How long the bridge, and then the model, may take to let go of an ended call.
const RELEASE_LIMIT: Duration = Duration::from_secs(6);

#[derive(clap::Args)]
pub struct Arguments {
    /// What the model's leg speaks.
    #[arg(long, value_enum, default_value_t = Codec::Opus)]
    codec: Codec,
    /// Where the stereo recording goes: the caller left, ARIA right.
    #[arg(long, default_value = "aria-demo.wav")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Codec {
    Opus,
    Pcmu,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    telemetry::log("warn");
    let desk = DeskConfig { token: Some(DESK_TOKEN.into()), ..DeskConfig::default() };
    let desk = Desk::start(desk).context("the simulated desk")?;
    let model = ModelConfig { script: story::model(), ..ModelConfig::default() };
    let model = ModelServer::start(model).context("the simulated model")?;
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(anyhow::Error::from)?;
    let bridge_url = format!("http://{}", listener.local_addr().context("listening socket")?);
    let phone = Phone::start(PhoneConfig {
        auth_token: Some(DEMO_TOKEN.into()),
        account_sid: ACCOUNT_SID.into(),
        ..PhoneConfig::new(bridge_url.parse().context("the bridge's address")?)
    })
    .await
    .context("the simulated phone")?;

    let records = std::env::temp_dir().join(format!("aria-demo-{}", std::process::id()));
    std::fs::create_dir_all(&records).context("a folder for the records")?;
    let database = format!("sqlite:{}", records.join("aria.db").display());
    let settings = settings(
        arguments.codec,
        &bridge_url,
        &model.base_url(),
        phone.api_url().as_str(),
        &desk.base_url(),
        &database,
    )?;
    let bridge = Bridge::start(settings, listener, None).map_err(anyhow::Error::from)?;
    println!("ARIA demo: a simulated caller, a simulated model, everything between them real.");
    println!("audio threads: {}\n", bridge.audio_threads());

    let registry = bridge.registry().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(bridge.serve(stopped, std::future::pending::<()>()));

    let watching = tokio::spawn(live::watch(registry.clone()));
    let script: Script = story::CALLER.parse().context("the caller's script")?;
    let call = phone.call(CallPlan { script, limit: CALL_LIMIT, ..CallPlan::default() }).await;
    // The record is complete once the call has let go of everything.
    let released = tokio::time::timeout(RELEASE_LIMIT, registry.empty()).await.is_ok();
    // The model's record ends once its goodbye is out, which may be after ours.
    let closed = async {
        while model.active() > 0 {
            tokio::time::sleep(RECORD_POLL).await;
        }
    };
    // A session that stays open is a finding of the report.
    let _ = tokio::time::timeout(RELEASE_LIMIT, closed).await;
    let observed = watching.await.context("the display")?;

    let evidence = report::Evidence {
        snapshot: registry.snapshot(&call.call_sid),
        sessions: model.sessions(),
        appointments: desk.appointments().await.context("the desk's database")?,
        interruptions: observed.interruptions,
        released,
        call,
    };
    evidence.call.write_wav(&arguments.out).context("cannot write the recording")?;
    report::print(&evidence);
    println!("\nrecording: {} (caller left, ARIA right)", arguments.out.display());
    let _ = stop.send(());
    let _ = serving.await;
    // A demonstration leaves nothing behind but the recording.
    let _ = std::fs::remove_dir_all(&records);
    if report::verdict(&evidence) { Ok(()) } else { Err(Failure::Shown) }
}

fn settings(
    codec: Codec,
    bridge: &str,
    model: &str,
    twilio: &str,
    desk: &str,
    database: &str,
) -> Result<Settings, Failure> {
    let codec = match codec {
        Codec::Opus => "opus",
        Codec::Pcmu => "pcmu",
    };
    let file = format!(
        r#"
        [agents.default]
        instructions = "You are ARIA, the receptionist. Be brief."
        greeting = "Greet the caller and ask how you can help."
        codec = "{codec}"
        [[agents.default.tools]]
        type = "http"
        name = "find_contact"
        description = "Finds who has a telephone number."
        method = "GET"
        url = "{desk}/contacts/{{phone}}"
        headers = {{ Authorization = "Bearer ${{DESK_TOKEN}}" }}
        parameters = {{ type = "object", properties = {{ phone = {{ type = "string" }} }}, required = ["phone"] }}
        [[agents.default.tools]]
        type = "mcp"
        name = "calendar"
        url = "{desk}/mcp"
        headers = {{ Authorization = "Bearer ${{DESK_TOKEN}}" }}
        allow = ["calendar.free", "calendar.book"]
        [tools]
        private_hosts = ["127.0.0.1"]
        "#
    );
    let environment = [
        ("ARIA_PUBLIC_URL", bridge),
        ("OPENAI_BASE_URL", model),
        ("OPENAI_API_KEY", aria_bridge::bridge::SIMULATED_KEY),
        ("TWILIO_API_URL", twilio),
        ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
        ("DESK_TOKEN", DESK_TOKEN),
        ("DATABASE_URL", database),
    ];
    let environment = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut settings =
        aria_bridge::config::load(&Sources { text: Some(file), environment, ..Sources::default() })?;
    settings.twilio.auth_token = Some(Secret::new(DEMO_TOKEN));
    Ok(settings)
}
