//! What Consul refuses, with its status.

use switchboard_registry::{Error, Registration};

use crate::Target;

pub(crate) async fn every_case(target: &Target) {
    bodies_are_decoded_strictly(target).await;
    parameters_are_checked(target).await;
    the_client_says_what_was_refused(target).await;
}

async fn bodies_are_decoded_strictly(target: &Target) {
    let long_value = format!(r#"{{"Name":"x","Meta":{{"a":"{}"}}}}"#, "x".repeat(513));
    let wide_value = format!(r#"{{"Name":"x","Meta":{{"a":"{}"}}}}"#, "é".repeat(257));
    let long_key = format!(r#"{{"Name":"x","Meta":{{"{}":""}}}}"#, "x".repeat(129));
    let pairs: Vec<_> = (0..65).map(|n| format!(r#""k{n}":"v""#)).collect();
    let many_pairs = format!(r#"{{"Name":"x","Meta":{{{}}}}}"#, pairs.join(","));
    let cases = [
        (r#"{"Name":"x","Bogus":1}"#, "unknown field"),
        (r#"{"Name":"x","Check":{"GRPC":"h:1","Interval":"1s","H2PING":"h"}}"#, "unknown field"),
        (r#"{"Name":"x","Locality":null}"#, "unknown field"),
        (r#"{"Name":""}"#, "Missing service name"),
        ("", "Request decode failed"),
        ("{", "Request decode failed"),
        ("[]", "Request decode failed"),
        (r#"{"Name":"x","Port":"a"}"#, "Request decode failed"),
        (r#"{"Name":"x","Check":{"TCP":"h:1","Interval":"abc"}}"#, "Request decode failed"),
        (r#"{"Name":"x","Meta":{"a.b":"c"}}"#, "Key contains invalid characters"),
        (r#"{"Name":"x","Meta":{"":"c"}}"#, "Key cannot be blank"),
        (r#"{"Name":"x","Meta":{"consul-x":"c"}}"#, "reserved"),
        (&long_value, "Value is too long (limit: 512 characters)"),
        (&wide_value, "Value is too long (limit: 512 characters)"),
        (&long_key, "Key is too long (limit: 128 characters)"),
        (&many_pairs, "more than 64"),
        (r#"{"Name":"x","Check":{"GRPC":"h:1"}}"#, "Interval must be > 0"),
        (r#"{"Name":"x","Check":{"TCP":"h:1"}}"#, "Interval must be > 0"),
        (r#"{"Name":"x","Check":{"Interval":"1s"}}"#, "TTL must be > 0"),
        (r#"{"Name":"x","Check":{"TTL":"10s","Status":"bogus"}}"#, "Status for checks must"),
        (r#"{"Name":"x","Weights":{"Passing":0,"Warning":1}}"#, "Passing must be greater than 0"),
        (r#"{"Name":"x","Weights":{"Passing":70000,"Warning":1}}"#, "between 0 and 65535"),
    ];
    for (body, reason) in cases {
        let (status, text) = target.put("/v1/agent/service/register", body).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(text.contains(reason), "{body}: {text}");
    }
    let exact = format!(r#"{{"Name":"exact","Meta":{{"{}":"{}"}}}}"#, "k".repeat(128), "x".repeat(512));
    assert_eq!(target.put("/v1/agent/service/register", &exact).await.0, 200);
    target.deregister("exact", &["exact"]).await;
    let no_probe = r#"{"Name":"no-probe","Check":{}}"#;
    assert_eq!(target.put("/v1/agent/service/register", no_probe).await.0, 200);
    target.deregister("no-probe", &["no-probe"]).await;
}

async fn parameters_are_checked(target: &Target) {
    let cases = [
        ("/v1/health/service/x?passing=abc", 400),
        ("/v1/health/service/x?passing=false", 200),
        ("/v1/health/service/x?passing", 200),
        ("/v1/health/service/x?index=-1", 400),
        ("/v1/health/service/x?index=abc", 400),
        ("/v1/health/service/x?wait=abc", 400),
        ("/v1/health/service/x?wait=1", 400),
        ("/v1/health/service/x?wait=1m0.5s", 200),
        ("/v1/health/service/x?wait=-1s&index=0", 200),
        ("/v1/health/service/x?stale&consistent", 400),
        ("/v1/health/service/x?bogus=1", 200),
        ("/v1/catalog/services?index=abc", 400),
        ("/v1/agent/service/no-such-id", 404),
        ("/v1/agent/service/register", 405),
        ("/v1/no-such-path", 404),
    ];
    for (path, status) in cases {
        assert_eq!(target.get(path).await.0, status, "{path}");
    }
    for path in ["/v1/agent/check/pass/no-such-check", "/v1/agent/check/fail/no-such-check"] {
        let (status, text) = target.put(path, "").await;
        assert_eq!(status, 500, "{path}");
        assert!(text.contains("does not have associated TTL"), "{text}");
    }
}

async fn the_client_says_what_was_refused(target: &Target) {
    let mut registration = Registration::new("agent-refused", "10.0.0.1", 1);
    registration.meta = [("a.b".to_owned(), String::new())].into();
    let error = target.client.register(&registration).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 400, .. }), "{error:?}");
    let text = error.to_string();
    for part in [target.url.as_str(), "/v1/agent/service/register", "400", "Key contains invalid characters"]
    {
        assert!(text.contains(part), "{text}");
    }
    for bad in ["", "..", "a/b"] {
        registration.service = bad.to_owned();
        let error = target.client.register(&registration).await.unwrap_err();
        assert!(matches!(error, Error::Name { what: "service", .. }), "{error:?}");
    }
}
