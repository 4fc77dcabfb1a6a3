use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Country codes in use (ITU-T E.164 Annex, "List of assigned country codes"); +1 and +7 with their members under one entry.
const COUNTRY_CODES: &[&str] = &[
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
    "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66",
    "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98", "211", "212", "213", "216", "218",
    "220", "221", "222", "223", "224", "225", "226", "227", "228", "229", "230", "231", "232", "233", "234",
    "235", "236", "237", "238", "239", "240", "241", "242", "243", "244", "245", "246", "247", "248", "249",
    "250", "251", "252", "253", "254", "255", "256", "257", "258", "260", "261", "262", "263", "264", "265",
    "266", "267", "268", "269", "290", "291", "297", "298", "299", "350", "351", "352", "353", "354", "355",
    "356", "357", "358", "359", "370", "371", "372", "373", "374", "375", "376", "377", "378", "380", "381",
    "382", "383", "385", "386", "387", "389", "420", "421", "423", "500", "501", "502", "503", "504", "505",
    "506", "507", "508", "509", "590", "591", "592", "593", "594", "595", "596", "597", "598", "599", "670",
    "672", "673", "674", "675", "676", "677", "678", "679", "680", "681", "682", "683", "685", "686", "687",
    "688", "689", "690", "691", "692", "800", "808", "850", "852", "853", "855", "856", "870", "878", "880",
    "881", "882", "883", "886", "888", "960", "961", "962", "963", "964", "965", "966", "967", "968", "970",
    "971", "972", "973", "974", "975", "976", "977", "979", "992", "993", "994", "995", "996", "998",
];
/// Of these, the codes that belong to no country and cost what their owner likes.
const COSTLY: &[&str] = &["808", "870", "878", "881", "882", "883", "979"];

const SALES: &str = "+15551230001";
const CALLER: &str = "+15551000000";
const OWN: &str = "+15550000000";

fn parties() -> Parties {
    Parties::new(CALLER, OWN, &["+2521".into()])
}

fn transfer(targets: &[(&str, &str)]) -> Builtin {
    let targets = targets.iter().map(|(n, e)| (n.to_string(), e.parse().unwrap())).collect();
    Builtin::TransferCall { targets, warm: false }
}

fn message() -> Builtin {
    let allow: BTreeMap<String, E164> = [("office".to_owned(), SALES.parse().unwrap())].into();
    Builtin::SendMessage { allow, max_chars: 20 }
}

fn decide(builtin: &Builtin, arguments: Value) -> Result<Effect, ToolError> {
    plan(builtin, arguments.as_object().unwrap(), &parties()).map(|(effect, _)| effect)
}

#[test]
fn a_target_is_a_name_on_the_list() {
    let desk = transfer(&[("sales", SALES)]);
    let effect = decide(&desk, json!({ "target": "sales" })).unwrap();
    assert_eq!(
        effect,
        Effect::Transfer { target: SALES.parse().unwrap(), name: "sales".into(), warm_summary: None }
    );
    // Not even the number on the list, since it is not a name.
    for raw in [SALES, "Sales", "sales ", "sip:sales@example.com", "client:sales", "", "911", "caller"] {
        assert!(decide(&desk, json!({ "target": raw })).is_err(), "{raw:?}");
    }
}

#[test]
fn fault_43_no_number_of_any_country_is_reached_by_writing_it() {
    let (desk, text) = (transfer(&[("sales", SALES)]), message());
    for code in COUNTRY_CODES {
        let number = format!("+{code}{}", &"5551230001"[..(14 - code.len()).min(10)]);
        let raw: E164 = number.parse().unwrap();
        assert!(decide(&desk, json!({ "target": number })).is_err(), "{number}");
        assert!(decide(&text, json!({ "to": number, "body": "x" })).is_err(), "{number}");
        // Should a costly one get onto a list all the same, it is still not reached.
        let listed = decide(&transfer(&[("them", &number)]), json!({ "target": "them" }));
        assert_eq!(listed.is_err(), COSTLY.contains(code) || raw.is_denied(&[]), "{number}");
        assert_eq!(COSTLY.contains(code), raw.is_denied(&[]), "{number}");
    }
    assert!(
        decide(&transfer(&[("them", "+25212345678")]), json!({ "target": "them" })).is_err(),
        "denied by settings"
    );
}

#[test]
fn a_call_is_not_connected_with_itself() {
    for own in [OWN, CALLER] {
        let looped = decide(&transfer(&[("me", own)]), json!({ "target": "me" }));
        assert!(matches!(looped, Err(ToolError::Denied(_))), "{looped:?}");
    }
}

#[test]
fn messages_go_to_the_caller_or_the_list_and_are_short() {
    let to = |name: &str, body: &str| decide(&message(), json!({ "to": name, "body": body }));
    assert!(matches!(to("caller", "hi"), Ok(Effect::SendMessage { to, .. }) if to.expose() == CALLER));
    assert!(matches!(to("office", "hi"), Ok(Effect::SendMessage { to, .. }) if to.expose() == SALES));
    assert!(to("caller", "twenty characters...").is_ok());
    for (name, body) in [
        ("caller", "twenty-one characters"),
        ("caller", " "),
        ("caller", ""),
        (SALES, "hi"),
        ("Office", "hi"),
    ] {
        assert!(to(name, body).is_err(), "{name} {body}");
    }
    for withheld in
        WITHHELD.iter().chain(&["anonymous", "unknown", "", "sip:a@b.example", "client:x", "+8707739000"])
    {
        let parties = Parties::new(withheld, OWN, &[]);
        let arguments = json!({ "to": "caller", "body": "hi" });
        assert!(plan(&message(), arguments.as_object().unwrap(), &parties).is_err(), "{withheld}");
    }
}

#[test]
fn keys_are_keys() {
    let press = |digits: &str| decide(&Builtin::PressKeys, json!({ "digits": digits }));
    for good in ["1", "0123456789*#wW", &"w".repeat(32)] {
        assert!(press(good).is_ok(), "{good}");
    }
    for bad in ["", &"1".repeat(33), "1,2", "A", "١٢", "1\n", "+15551230000"] {
        assert!(press(bad).is_err(), "{bad}");
    }
}

#[test]
fn whatever_is_written_only_the_list_is_reached() {
    let mut random = StdRng::seed_from_u64(43);
    let alphabet: Vec<char> = "+0123456789 sip:@;=tel*#,salesofficecaller\n\u{202e}１".chars().collect();
    let (desk, text) = (transfer(&[("sales", SALES)]), message());
    for _ in 0..20_000 {
        let length = random.random_range(0..24);
        let word: String = (0..length).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect();
        match decide(&desk, json!({ "target": word })) {
            Ok(Effect::Transfer { target, .. }) => assert_eq!(target.expose(), SALES),
            other => assert!(other.is_err(), "{word:?} {other:?}"),
        }
        match decide(&text, json!({ "to": word, "body": word })) {
            Ok(Effect::SendMessage { to, .. }) => assert!([SALES, CALLER].contains(&to.expose()), "{word:?}"),
            other => assert!(other.is_err(), "{word:?} {other:?}"),
        }
        if let Ok(Effect::PressKeys { digits }) = decide(&Builtin::PressKeys, json!({ "digits": word })) {
            assert!(digits.bytes().all(|b| b"0123456789*#wW".contains(&b)), "{word:?}");
        }
    }
}
