//! Prints what decisions cost: `cargo run --release -p switchboard-policy --example cost`.
//!
//! One thread, warm caches, the best of five runs, as a bound from below. A router asks `authenticate` once per token and
//! connection and keeps the answer; `decide` and `admit` stand on the path of every call.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example for people")]

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};
use switchboard_policy::{
    Authenticator, Credentials, JwtSettings, KeySource, Keys, Limits, Mode, Policy, Principal, Proof,
    Settings,
};

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const PATH: &str = "/agentplatform.ToolService/ExecuteTool";

fn main() {
    tokens();
    decisions();
    limits();
}

fn tokens() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let static_tokens = "[[tokens]]\ntoken = \"0123456789abcdef0123456789abcdef\"\nname = \"ci\"\n";
    let tokens = Some(file("tokens.toml", static_tokens.as_bytes()));
    let settings = Settings { mode: Mode::Any, tokens, ..Settings::default() };
    let server = Authenticator::load(&settings, None).unwrap();
    measure("authenticate, static token", 100_000, || {
        ask(&server, "Bearer 0123456789abcdef0123456789abcdef")
    });

    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let hs = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let sign_rsa = |message: &[u8]| {
        let mut bytes = vec![0; rsa.public_modulus_len()];
        rsa.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut bytes).unwrap();
        bytes
    };
    let pem = |der: &[u8]| {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(der, b"+/"))
    };
    let rsa_pem = pem(rsa.public_key().as_der().unwrap().as_ref());
    let ec_pem = pem(ec.public_key().as_der().unwrap().as_ref());
    type Sign<'a> = Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>;
    let cases: [(&str, _, Sign<'_>); 3] = [
        ("HS256", file("jwt.secret", SECRET), Box::new(|message| hmac::sign(&hs, message).as_ref().to_vec())),
        (
            "ES256",
            file("ec.pem", ec_pem.as_bytes()),
            Box::new(|message| ec.sign(&random, message).unwrap().as_ref().to_vec()),
        ),
        ("RS256", file("rsa.pem", rsa_pem.as_bytes()), Box::new(sign_rsa)),
    ];
    for (alg, path, sign) in cases {
        let jwt = JwtSettings {
            keys: KeySource::File(path),
            issuer: Some("https://issuer".to_owned()),
            audience: vec!["switchboard".to_owned()],
            leeway: Duration::from_secs(30),
            roles_claim: "roles".to_owned(),
        };
        let settings = Settings { mode: Mode::Any, jwt: Some(jwt), ..Settings::default() };
        let server = Authenticator::load(&settings, None).unwrap();
        let header = base64(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"a"}}"#).as_bytes(), b"-_");
        let exp = NOW + 300;
        let claims = format!(
            r#"{{"iss":"https://issuer","aud":"switchboard","sub":"ann","exp":{exp},"roles":["caller","dev"]}}"#
        );
        let message = format!("{header}.{}", base64(claims.as_bytes(), b"-_"));
        let bearer = format!("Bearer {message}.{}", base64(&sign(message.as_bytes()), b"-_"));
        measure(&format!("authenticate, {alg}"), 10_000, || ask(&server, &bearer));
    }
}

fn ask(server: &Authenticator, bearer: &str) {
    let credentials = Credentials { peer: None, authorization: Some(bearer.as_bytes()) };
    black_box(server.authenticate(black_box(&credentials), NOW).unwrap());
}

fn decisions() {
    let ann = Principal::new("ann", ["planner"], Proof::Jwt).unwrap();
    let none = Policy::parse("", Mode::Any).unwrap();
    let one = "[[rules]]\nallow = [\"role:planner\"]\nids = [\"*-tool\"]\nmethods = [\"agentplatform.ToolService\"]\n";
    let ten =
        format!("{}{one}", "[[rules]]\ndeny = [\"*\"]\nids = [\"billing-*\", \"*-secret-*\"]\n".repeat(9));
    let others = format!("{}{one}", "[[rules]]\nallow = [\"role:other\"]\n".repeat(999));
    for (name, policy) in [
        ("decide, no rules", none),
        ("decide, one rule", Policy::parse(one, Mode::Any).unwrap()),
        ("decide, ten rules that speak of the caller", Policy::parse(&ten, Mode::Any).unwrap()),
        ("decide, a thousand rules, one of which does", Policy::parse(&others, Mode::Any).unwrap()),
    ] {
        let grants = policy.grants(Some(&ann), None);
        measure(name, 1_000_000, || {
            assert!(grants.decide(black_box("weather-tool"), black_box(PATH)).allowed);
        });
        if name.contains("thousand") {
            measure("grants, a thousand rules", 1_000, || {
                black_box(policy.grants(Some(black_box(&ann)), None));
            });
        }
    }
}

fn limits() {
    let one = "[limits.principal]\nrate = \"1000000000/s\"\n";
    let all = "[limits.DIM]\nrate = \"1000000000/s\"\nconcurrency = 1000\n";
    let all: String =
        ["principal", "source", "id", "method"].iter().map(|dim| all.replace("DIM", dim)).collect();
    for (name, text) in
        [("admit, no limits", ""), ("admit, one rate", one), ("admit, all eight limits", &all)]
    {
        let limits = Limits::new(Policy::parse(text, Mode::Any).unwrap().limits());
        let source = Ipv4Addr::LOCALHOST.into();
        let keys = Keys { principal: Some("ann"), source, id: "weather-tool", method: PATH };
        measure(name, 1_000_000, || {
            let _permit = black_box(limits.admit(black_box(&keys)).unwrap());
        });
    }
}

fn measure(name: &str, times: u32, act: impl Fn()) {
    let run = || {
        let start = Instant::now();
        (0..times).for_each(|_| act());
        start.elapsed() / times
    };
    let best = (0..5).map(|_| run()).min().unwrap_or_default();
    println!("{:>9} ns  {name}", best.as_nanos());
}

fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let alphabet =
        [b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".as_slice(), last].concat();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all =
            chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(alphabet[usize::try_from(all >> (18 - 6 * at) & 63).unwrap()]));
        }
        if last == b"+/" {
            text.push_str(&"="[..].repeat(3 - chunk.len()));
        }
    }
    text
}
