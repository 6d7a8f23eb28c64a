//! Round trips of descriptions, at random and at Consul's limits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use std::time::Duration;

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

fn meta(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Fails unless Consul would accept the meta.
fn check_limits(meta: &BTreeMap<String, String>) {
    assert!(meta.len() <= 60, "{} pairs", meta.len());
    for (key, value) in meta {
        assert!(
            key.len() <= 128
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(!value.is_empty() && value.len() <= 512, "{key} has {} bytes", value.len());
        assert!(!value.chars().any(char::is_control), "{key}: {value:?}");
    }
}

fn weather() -> Description {
    Description {
        kind: Some(Kind::Tool),
        name: "Weather".to_owned(),
        description: "Tells the weather, for any city".to_owned(),
        use_cases: vec!["When it rains, or may".to_owned(), "a|b\\c".to_owned()],
        version: "v2".to_owned(),
        capabilities: vec!["forecast".to_owned(), "a,b".to_owned()],
        parameters: vec![Parameter {
            name: "city".to_owned(),
            type_: "string".to_owned(),
            required: true,
            description: "Its name: \"Paris\" | \"Rome\"".to_owned(),
        }],
        grpc_services: vec!["ToolService".to_owned(), "grpc.health.v1.Health".to_owned()],
        max_concurrency: Some(20),
        ..Description::default()
    }
}

#[test]
fn the_keys_are_as_documented() {
    let encoded = weather().encode();
    let expected = meta(&[
        ("kind", "tool"),
        ("name", "Weather"),
        ("description", "Tells the weather, for any city"),
        ("use_cases", r"When it rains, or may|a\|b\\c"),
        ("version", "v2"),
        ("capabilities", r"forecast,a\,b"),
        ("parameters", r#"city:string:required:Its name: "Paris" \| "Rome""#),
        ("grpc_services", "ToolService,grpc.health.v1.Health"),
        ("max_concurrency", "20"),
    ]);
    assert_eq!(encoded, expected);
    assert_eq!(Description::decode("tool-weather", &encoded, &[]), weather());
}

#[test]
fn what_a_person_writes_by_hand_is_read() {
    let by_hand = meta(&[
        ("capabilities", " echo , text-processing,,"),
        ("parameters", "city | days:int | units:string:required"),
        ("grpc_services", "a.B, c.D"),
        ("max_concurrency", " 4 "),
        ("description", "line one\nline two\u{7}"),
    ]);
    let found = Description::decode("agent-echo", &by_hand, &[]);
    assert_eq!(found.capabilities, ["echo", "text-processing"]);
    assert_eq!(found.grpc_services, ["a.B", "c.D"]);
    assert_eq!(found.max_concurrency, Some(4));
    assert_eq!(found.description, "line one line two");
    let parameters: Vec<_> =
        found.parameters.iter().map(|p| (p.name.as_str(), p.type_.as_str(), p.required)).collect();
    assert_eq!(parameters, [("city", "", false), ("days", "int", false), ("units", "string", true)]);
}

#[test]
fn a_foreign_registration_is_described_by_its_name_and_tags() {
    let none = BTreeMap::new();
    let echo = Description::decode("agent-echo", &none, &tags(&["agent", "echo", "instance:abc", "a=b"]));
    assert_eq!((echo.kind, echo.name.as_str()), (Some(Kind::Agent), "echo"));
    assert_eq!(echo.capabilities, ["echo"]);
    let tagged = Description::decode("payments", &none, &tags(&["tool"]));
    assert_eq!((tagged.kind, tagged.name.as_str()), (Some(Kind::Tool), "payments"));
    let foreign =
        Description::decode("postgres", &meta(&[("kind", "robot"), ("max_concurrency", "-1")]), &[]);
    assert_eq!((foreign.kind, foreign.name.as_str(), foreign.max_concurrency), (None, "postgres", None));
}

#[test]
fn a_long_text_is_split_and_a_longer_one_is_cut() {
    let at = |length: usize| Description {
        detailed_description: "é".repeat(length / 2),
        ..Description::default()
    };
    let split = at(3_000).encode();
    check_limits(&split);
    assert_eq!(split.len(), 6);
    assert!(split.contains_key("detailed_description_1") && !split.contains_key("detailed_description"));
    assert_eq!(Description::decode("s", &split, &[]).detailed_description, at(3_000).detailed_description);
    let cut = at(100_000).encode();
    check_limits(&cut);
    let read = Description::decode("s", &cut, &[]).detailed_description;
    assert!(read.ends_with("é…") && read.len() > 6_000, "{} bytes", read.len());
}

#[test]
fn the_largest_description_fits_consul() {
    let long = "€".repeat(40_000);
    let many = vec!["𝄞,|:\\ ".repeat(30); 500];
    let parameter =
        Parameter { name: "n".repeat(90), type_: "t".to_owned(), required: true, description: long.clone() };
    let all = Description {
        kind: Some(Kind::Worker),
        name: long.clone(),
        description: long.clone(),
        detailed_description: long.clone(),
        how_it_works: long.clone(),
        return_format: long.clone(),
        use_cases: many.clone(),
        version: long,
        capabilities: many.clone(),
        parameters: vec![parameter; 100],
        grpc_services: many,
        max_concurrency: Some(u32::MAX),
        idempotent: true,
        hedge: Some(Hedge::After(Duration::from_millis(86_399_999))),
        limits: Limits {
            timeout: Some(Duration::from_millis(86_399_999)),
            timeout_max: Some(Duration::from_millis(86_399_999)),
            stream_idle: Some(Duration::ZERO),
            drain_streams_after: Some(Duration::ZERO),
            max_message_bytes: Some(u32::MAX),
            max_queue: Some(u32::MAX),
            max_calls: Some(u32::MAX),
        },
    };
    let encoded = all.encode();
    assert_eq!(encoded.len(), 60);
    check_limits(&encoded);
    let read = Description::decode("worker-x", &encoded, &[]);
    assert!(read.use_cases.len() > 5 && read.capabilities.len() > 2 && read.parameters.len() == 1);
    assert_eq!(read.capabilities[0], all.capabilities[0].trim());
}

fn text() -> impl Strategy<Value = String> {
    // Separators, escapes, wide and control characters more often than by chance.
    let characters = prop_oneof![
        4 => any::<char>(),
        3 => proptest::sample::select(vec![',', '|', ':', '\\', '\n', ' ', '…', '\0']),
        3 => proptest::char::range('a', 'z'),
    ];
    vec(characters, 0..700).prop_map(String::from_iter)
}

prop_compose! {
    fn parameter()(name in text(), type_ in text(), required: bool, description in text()) -> Parameter {
        Parameter { name, type_, required, description }
    }
}

prop_compose! {
    fn description()(
        texts in vec(text(), 6),
        lists in (vec(text(), 0..6), vec(text(), 0..6), vec(text(), 0..6)),
        parameters in vec(parameter(), 0..4),
        max_concurrency: Option<u32>,
        idempotent: bool,
        timeout_us: Option<u64>,
        numbers: [Option<u32>; 3],
    ) -> Description {
        let [name, description, detailed_description, how_it_works, return_format, version] =
            <[String; 6]>::try_from(texts).unwrap();
        let (use_cases, capabilities, grpc_services) = lists;
        Description {
            kind: Some(Kind::Agent), name, description, detailed_description, how_it_works, return_format, use_cases,
            version, capabilities, parameters, grpc_services, max_concurrency, idempotent,
            hedge: timeout_us.map(|us| Hedge::After(Duration::from_micros(us))),
            limits: Limits {
                timeout: timeout_us.map(Duration::from_micros),
                max_message_bytes: numbers[0],
                max_queue: numbers[1],
                max_calls: numbers[2],
                ..Limits::default()
            },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn any_description_fits_consul_and_is_stable_once_read(original in description()) {
        let encoded = original.encode();
        check_limits(&encoded);
        let read = Description::decode("agent-x", &encoded, &[]);
        prop_assert_eq!(Description::decode("agent-x", &read.encode(), &[]), read);
    }

    #[test]
    fn what_fits_comes_back_as_it_was(
        items in vec("[a-zA-Z0-9,|:\\\\…é][a-zA-Z0-9,|:\\\\ …é]{0,40}[a-z]", 0..8),
        note in "[a-z,|:\\\\]{1,200}",
        required: bool,
    ) {
        let parameters = items.iter().map(|item| Parameter {
            name: item.clone(), type_: item.clone(), required, description: item.clone(),
        });
        let original = Description {
            kind: Some(Kind::Tool),
            name: "x".to_owned(),
            description: note.clone(),
            use_cases: items.clone(),
            capabilities: items.clone(),
            grpc_services: items.clone(),
            parameters: parameters.collect(),
            ..Description::default()
        };
        prop_assert_eq!(Description::decode("tool-x", &original.encode(), &[]), original);
    }

    #[test]
    fn any_meta_can_be_read(pairs in proptest::collection::btree_map("[a-z_0-9]{1,20}", text(), 0..20)) {
        let read = Description::decode("agent-x", &pairs, &[]);
        prop_assert!(!read.name.is_empty());
    }
}
