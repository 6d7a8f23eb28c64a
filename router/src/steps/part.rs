//! Single steps.

use super::{
    Run,
    feed::{Feed, Part},
    fixture,
};
use crate::{
    balance::{self, Picked, Rng, Wanted},
    peek::{Encoding, Limits, Peek},
    route::{self, Target},
    timers::Timers,
};
use std::hint::black_box;
use switchboard_http2::{
    Headers,
    frame::{FrameHeader, HEADER_LEN},
    hpack::{Decoder, Encoder},
};

/// Calls in flight.
const IN_FLIGHT: usize = 256;

pub(super) fn frame_parse() -> Run {
    let body = fixture::request(93);
    let mut feed = Feed::new(1, 32, |_| {
        let headers = fixture::request_headers(fixture::EXECUTE_TASK, None);
        vec![Part::Headers(headers, false), Part::Data(body.clone(), true)]
    });
    let bytes = std::mem::take(&mut feed.lot(1).bytes);
    let mut at = 0;
    Box::new(move |iterations| {
        for _ in 0..iterations {
            at = match black_box(FrameHeader::parse(&bytes[at..])) {
                Some(header) => at + HEADER_LEN + header.length,
                None => 0,
            };
        }
    })
}

/// Blocks that one client sends one after the other, the first ones once and the others for ever.
pub(super) fn hpack_decode(unique: bool) -> Run {
    let count = if unique { 512 } else { 1 };
    let mut feed = Feed::new(count, 1, |number| {
        let unique = unique.then_some(number as u64);
        vec![Part::Headers(fixture::request_headers(fixture::EXECUTE_TASK, unique), true)]
    });
    let mut blocks = |range: std::ops::Range<usize>| -> Vec<Vec<u8>> {
        range.map(|number| feed.lot(number).bytes[HEADER_LEN..].to_vec()).collect()
    };
    let (first, steady) = (blocks(0..count), blocks(count..2 * count));
    let mut decoder = Decoder::new(4096);
    let mut headers = Headers::new();
    let mut decode = move |block: &[u8]| {
        let decoded = decoder.decode(black_box(block), 64 << 10, &mut headers);
        assert!(decoded.is_ok_and(|decoded| !decoded.over_limit), "a block is not right");
        black_box(&headers);
    };
    first.iter().for_each(|block| decode(block));
    let mut next = 0;
    Box::new(move |iterations| {
        for _ in 0..iterations {
            decode(&steady[next]);
            next = if next + 1 == steady.len() { 0 } else { next + 1 };
        }
    })
}

pub(super) fn hpack_encode() -> Run {
    let ids =
        (0..64u64).map(|number| format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15_f39c_c060));
    let lists: Vec<Headers> = ids.map(|id| fixture::forwarded_headers(&id)).collect();
    let mut encoder = Encoder::new(4096);
    let mut block = Vec::with_capacity(1_024);
    let mut next = 0;
    let mut run = move |iterations| {
        for _ in 0..iterations {
            block.clear();
            encoder.begin(&mut block);
            for field in black_box(&lists[next]).iter() {
                encoder.encode(field, &mut block);
            }
            black_box(&block);
            next = (next + 1) % lists.len();
        }
    };
    run(100);
    Box::new(run)
}

pub(super) fn peek() -> Run {
    let limits = Limits { id_field: 2, affinity_field: 0, decide_bytes: 64 << 10 };
    let body = fixture::request(93);
    Box::new(move |iterations| {
        for _ in 0..iterations {
            let mut peek = Peek::new(limits, Encoding::Identity);
            assert!(peek.push(black_box(&body)).is_ok() && peek.is_done(), "the message is not right");
            black_box(peek.id());
        }
    })
}

pub(super) fn route() -> Run {
    let routes = fixture::routes();
    let directory = fixture::directory();
    let path = fixture::EXECUTE_TASK.as_bytes();
    // How many entries a map looks at depends on its seed: that of one ID alone would differ from run to run.
    let ids: Vec<String> = (1..fixture::SERVICES).map(|number| format!("other-{number}-agent")).collect();
    let mut next = 0;
    Box::new(move |iterations| {
        for _ in 0..iterations {
            let id = ids[next].as_bytes();
            next = (next + 1) % ids.len();
            let method = routes.get(black_box(path)).map(|method| &**method);
            assert!(matches!(route::decide(method, path, None), Ok(None)), "the message is not needed");
            let target = method.and_then(|it| route::decide_by_message(it, None, black_box(id), false).ok());
            let Some(Target::Id { service, .. }) = &target else { panic!("the ID is not right") };
            assert!(black_box(directory.services.get(service)).is_some(), "the service is not there");
        }
    })
}

pub(super) fn pick(instances: u8) -> Run {
    let service = fixture::service(fixture::SERVICE, instances);
    let mut rng = Rng::new(1);
    Box::new(move |iterations| {
        for _ in 0..iterations {
            let picked = balance::pick(black_box(&service), Wanted::default(), 1_000_000, &mut rng);
            assert!(matches!(black_box(picked), Picked::Endpoint { .. }), "no instance");
        }
    })
}

pub(super) fn timers() -> Run {
    let mut timers = Timers::default();
    (0..IN_FLIGHT).for_each(|owner| timers.set(owner, owner as u64));
    let (mut owner, mut now_ms) = (0, 1_000);
    Box::new(move |iterations| {
        for _ in 0..iterations {
            timers.clear(owner);
            timers.set(owner, now_ms + 300_000);
            black_box(timers.next());
            owner = (owner + 1) % IN_FLIGHT;
            now_ms += u64::from(owner == 0);
        }
    })
}
