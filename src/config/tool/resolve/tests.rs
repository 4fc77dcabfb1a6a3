use crate::config::{Agent, Builtin, ConfigError, McpLink, Sources, ToolAction, load};
use std::sync::Arc;

const LOOKUP: &str = r#"
    type = "http"
    name = "lookup"
    url = "https://crm.example.com/lookup"
"#;

/// An agent with one tool, or what is wrong with it.
fn agent(table: &str) -> Result<Arc<Agent>, ConfigError> {
    let environment = [("CRM_TOKEN".to_owned(), "canary".to_owned())].into();
    let text = Some(format!("[[agents.default.tools]]\n{table}"));
    Ok(load(&Sources { text, environment, ..Sources::default() })?.agent_for("+15551230000"))
}

fn refused(table: &str) -> String {
    agent(table).map(|a| format!("{:?}", a.tools)).expect_err(table).to_string()
}

#[test]
fn an_http_tool_has_all_it_may_have() {
    let agent = agent(
        r#"
        type = "http"
        name = "contact"
        description = "Finds a contact."
        method = "GET"
        url = "https://crm.example.com/v3/contacts/{phone}?properties=name"
        headers = { Authorization = "Bearer ${CRM_TOKEN}", X-Tenant = "42" }
        timeout_ms = 1500
        retries = 2
        max_answer_bytes = 20000
        confirm = true
        max_per_call = 3
        filler = "One moment, please."
        parameters = { type = "object", properties = { phone = { type = "string" } }, required = ["phone"] }
        "#,
    )
    .unwrap();
    let tool = &agent.tools[0];
    let ToolAction::Http(http) = &tool.action else { panic!("{tool:?}") };
    assert_eq!(http.headers["authorization"].expose(), "Bearer canary");
    assert_eq!((http.retries, http.max_answer_bytes, tool.max_per_call, tool.confirm), (2, 20_000, 3, true));
    assert_eq!(http.endpoint.places().collect::<Vec<_>>(), ["phone"]);
    assert!(!format!("{agent:?}").contains("canary"));
}

#[test]
fn what_is_wrong_with_an_http_tool_is_named() {
    for (more, named) in [
        ("retries = 1", "retries"),
        ("method = \"GET\"\nretries = 9", "retries"),
        ("timeout_ms = 0", "timeout_ms"),
        ("timeout_ms = 60001", "timeout_ms"),
        ("max_per_call = 0", "max_per_call"),
        ("max_answer_bytes = 262145", "max_answer_bytes"),
        ("filler = \"\"", "filler"),
        ("headers = { Authorization = \"Bearer abc\" }", "headers"),
        ("headers = { X-Key = \"${NOBODY}\" }", "NOBODY"),
        ("parameters = { type = \"string\" }", "parameters"),
        ("parameters = { type = \"object\", properties = { a = { type = \"strnig\" } } }", "parameters"),
        ("confirm = true\nparameters = { type = \"object\", properties = { confirmed = {} } }", "confirmed"),
        ("allow = [\"x\"]", "allow"),
    ] {
        let error = refused(&format!("{LOOKUP}{more}"));
        assert!(error.contains(named), "{more}: {error}");
    }
    let place = LOOKUP.replace("lookup\"\n", "{city}\"\n").replacen("{city}", "lookup", 1);
    assert!(refused(&place).contains("{city}"), "{place}");
    assert!(refused(&LOOKUP.replace("\"lookup\"", "\"look up\"")).contains("letters"));
    // A key in the query of a bad address is not repeated.
    assert!(
        !refused(&LOOKUP.replace("https://crm.example.com/lookup", "ftp://a.example/?key=canary"))
            .contains("canary")
    );
    let twice = format!("{LOOKUP}\n[[agents.default.tools]]\n{LOOKUP}");
    assert!(refused(&twice).contains("once"));
}

#[test]
fn an_mcp_server_is_a_program_or_an_address() {
    let stdio = agent(
        r#"
        type = "mcp"
        name = "desk"
        command = ["desk-mcp", "--stdio"]
        env = { DESK_TOKEN = "${CRM_TOKEN}" }
        allow = ["calendar.book", "find"]
        "#,
    )
    .unwrap();
    let ToolAction::Mcp(server) = &stdio.tools[0].action else { panic!() };
    let McpLink::Command { program, arguments, environment } = &server.link else { panic!() };
    assert_eq!((program.as_str(), &arguments[..]), ("desk-mcp", &["--stdio".to_owned()][..]));
    assert_eq!(environment["DESK_TOKEN"].expose(), "canary");
    let head = "type = \"mcp\"\nname = \"desk\"\n";
    let url = "url = \"https://mcp.example.com/\"\n";
    assert!(agent(&format!("{head}{url}allow = [\"a\"]\nhosted = true")).is_ok());
    for (table, named) in [
        (format!("{head}allow = [\"a\"]"), "one of the two"),
        (format!("{head}{url}command = [\"x\"]\nallow = [\"a\"]"), "one of the two"),
        (format!("{head}{url}allow = []"), "allow"),
        (format!("{head}{url}"), "allow"),
        (format!("{head}command = []\nallow = [\"a\"]"), "program"),
        (format!("{head}command = [\"x\"]\nhosted = true\nallow = [\"a\"]"), "hosted"),
        (format!("{head}{url}hosted = true\nconfirm = true\nallow = [\"a\"]"), "confirm"),
        (format!("{head}{url}allow = [\"a.b\", \"a_b\"]"), "once"),
        (format!("{head}url = \"https://mcp.example.com/{{x}}\"\nallow = [\"a\"]"), "places"),
    ] {
        let error = refused(&table);
        assert!(error.contains(named), "{table}: {error}");
    }
}

#[test]
fn built_in_tools_have_their_own_settings() {
    let transfer = "type = \"builtin\"\nname = \"transfer_call\"\n";
    let agent_ = agent(&format!("{transfer}targets = {{ sales = \"+15551230001\" }}\nwarm = true")).unwrap();
    assert_eq!(agent_.tools[0].max_per_call, 1);
    let ToolAction::Builtin(Builtin::TransferCall { targets, warm: true }) = &agent_.tools[0].action else {
        panic!()
    };
    assert_eq!(targets["sales"].expose(), "+15551230001");
    assert_eq!(agent_.tools[0].parameters.source()["properties"]["target"]["enum"][0], "sales");
    for (table, named) in [
        (transfer.to_owned(), "targets"),
        (format!("{transfer}targets = {{ sales = \"sip:a@b.example\" }}"), "targets"),
        (format!("{transfer}targets = {{ sales = \"+88216000000\" }}"), "satellite"),
        (format!("{transfer}targets = {{ sales = \"+15551230001\" }}\nmax_per_call = 2"), "once"),
        ("type = \"builtin\"\nname = \"end_call\"\nwarm = true".into(), "transfer_call"),
        ("type = \"builtin\"\nname = \"press_keys\"\nmax_chars = 3".into(), "take_note"),
        ("type = \"builtin\"\nname = \"send_message\"\nmax_chars = 1601".into(), "1600"),
        (
            "type = \"builtin\"\nname = \"send_message\"\nallow = { caller = \"+15551230001\" }".into(),
            "caller",
        ),
        ("type = \"builtin\"\nname = \"format_disk\"".into(), "end_call"),
    ] {
        let error = refused(&table);
        assert!(error.contains(named), "{table}: {error}");
    }
    let denied =
        format!("{transfer}targets = {{ sales = \"+15551230001\" }}\n[tools]\ndeny_prefixes = [\"+1555\"]");
    assert!(refused(&denied).contains("targets"));
    assert!(refused(&format!("{LOOKUP}[tools]\ndeny_prefixes = [\"1900\"]")).contains("deny_prefixes"));
}
