//! The report of a small run, as it is kept in `testdata`.

use super::*;
use crate::results::Growth;

fn sample() -> Results {
    serde_json::from_str(include_str!("testdata/results.json")).unwrap()
}

/// The line of a page that begins so.
fn line<'p>(page: &'p str, begin: &str) -> &'p str {
    page.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no line {begin}"))
}

/// Panics unless every element ends in its place, every attribute is quoted and every `&` is an entity.
fn check_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some((text, tail)) = rest.split_once('<') {
        check_text(text);
        let (tag, tail) = tail.split_once('>').expect("a tag ends");
        rest = tail;
        assert!(!tag.contains('<'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let quoted: Vec<&str> = attributes.split('"').collect();
        assert!(quoted.len() % 2 == 1 && quoted.last() == Some(&""), "{tag}");
        for pair in quoted.chunks_exact(2) {
            assert!(pair[0].trim_start().ends_with('=') && !pair[0].trim_start().starts_with('='), "{tag}");
            check_text(pair[1]);
        }
        if !empty {
            open.push(name);
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "left open: {open:?} {rest}");
}

fn check_text(text: &str) {
    for entity in text.split('&').skip(1) {
        assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "{text}");
    }
}

#[test]
fn the_headline_has_the_router_first_and_a_ratio_beside_every_peer() {
    let page = markdown::page(&sample());
    let table: Vec<&str> =
        page.lines().skip_while(|line| !line.starts_with("| CPU | 8 x 32")).take(9).collect();
    assert_eq!(table[0], "| CPU | 8 x 32, us/call | 1 x 1, us/call |");
    assert_eq!(table[2], "| **Switchboard router** | **2.50** | **71.0** |");
    assert_eq!(table[3], "| HAProxy tcp | 2.20 (0.88x) | 74.0 (1.04x) |");
    assert_eq!(table[8], "| Envoy | 93.0 (37.2x) | 318 (4.48x) |");
    assert!(page.contains("\nWith TLS 1.3 on both sides:\n"));
}

#[test]
fn a_load_shows_spread_latency_and_memory_and_says_why_somebody_failed() {
    let page = markdown::page(&sample());
    let load = &page[page.find("`burst`").unwrap()..];
    assert_eq!(
        line(load, "| Envoy"),
        "| Envoy | 3.00 | 2.88 - 3.21 | 8.33x | 50,000 | 900 | 2,700 | 17.0 | 18.5 |"
    );
    assert_eq!(line(load, "| no proxy"), "| no proxy | - | - | - | 61,000 | 900 | 2,700 | - | - |");
    assert_eq!(line(load, "| tonic"), "| tonic, typed | failed | - | - | - | - | - | - | - |");
    assert_eq!(
        line(load, "tonic, typed failed"),
        "tonic, typed failed: 3 of 100 calls: grpc-status 13 \\| &lt;internal>"
    );
}

#[test]
fn the_page_says_where_when_and_how_it_was_measured() {
    let page = markdown::page(&sample());
    assert!(page.contains(
        "Measured on 2026-11-21 on Example CPU @ 2.00GHz, 2 cores, Linux 6.1.0, by `make bench`.\n"
    ));
    assert!(page.contains("| rounds | 5 of 1.5 s for each contender and load |\n"));
    assert!(page.contains("| Envoy | envoy 1.40.0 |\n"));
    assert!(page.contains("| commit | 1234567 |\n") && page.contains("| warm-up | 0.3 s before each |\n"));
    let mut other = sample();
    (other.meta.quick, other.meta.load) = (true, Some(3.21));
    let page = markdown::page(&other);
    assert!(page.contains("It was a quick run") && page.contains("Something else was running (load 3.2)"));
}

#[test]
fn targets_are_judged_by_the_figures() {
    let verdicts = targets::verdicts(&sample());
    let judged = |load: &str, target: &str| {
        let of = |v: &&targets::Verdict| v.load.starts_with(load) && v.target.contains(target);
        let verdict = verdicts.iter().find(of).unwrap_or_else(|| panic!("no target {load}: {target}"));
        (verdict.measured.as_str(), verdict.reached)
    };
    assert_eq!(judged("saturated unary, 8 x 32", "Envoy"), ("37.2x under", Some(true)));
    assert_eq!(judged("saturated unary, 8 x 32", "HAProxy tcp"), ("1.14x", Some(true)));
    assert_eq!(judged("saturated unary, 64 x 8", "Envoy"), ("-", None));
    assert_eq!(judged("one call", "p50"), ("1.70x (85.0 us against 50.0 us)", Some(false)));
    assert_eq!(judged("streamed message", "0.35"), ("0.36 us", Some(false)));
    assert_eq!(judged("streamed message", "HAProxy http"), ("1.89x under", Some(false)));
    assert_eq!(judged("1 MB up", "HAProxy tcp"), ("0.64x", Some(true)));
    assert_eq!(judged("cost per call, 1 to 100,000 services", "20 %"), ("8 % (2.50 to 2.70 us)", Some(true)));
    assert_eq!(
        judged("cost per call, 1 to 10,000 connections that call", "beside"),
        ("0 % (0.96x to 0.96x)", Some(true))
    );
    assert_eq!(judged("memory of an idle connection", "20 KiB"), ("24.5 KiB", Some(false)));

    let page = markdown::page(&sample());
    assert!(
        page.contains("\n14 of 36 reached, 4 missed ([NOTES.md](NOTES.md) says why), 18 not measured.\n")
    );
    assert!(page.contains("| streamed message | at most 0.35 us per message | 0.36 us | **missed** |\n"));
}

#[test]
fn a_target_whose_peer_failed_is_not_reached_but_unknown() {
    let mut results = sample();
    let burst = results.scenarios.get_mut("burst").unwrap();
    burst.contenders.get_mut("envoy").unwrap().failed = Some("it did not start".to_owned());
    let verdicts = targets::verdicts(&results);
    let envoy = verdicts.iter().find(|v| v.load == "streamed message" && v.target.contains("Envoy"));
    assert_eq!(envoy.unwrap().reached, None);
}

#[test]
fn a_cost_that_falls_and_then_rises_is_judged_from_its_lowest_point() {
    let mut results = sample();
    let streams = Growth {
        series: [("router".to_owned(), vec![(1.0, 70.0), (100.0, 2.0), (10_000.0, 2.6)])].into(),
        ..Default::default()
    };
    results.growth.insert("streams".to_owned(), streams);
    let verdicts = targets::verdicts(&results);
    let streams = verdicts.iter().find(|v| v.load.contains("calls in flight on a connection")).unwrap();
    assert_eq!((streams.measured.as_str(), streams.reached), ("30 % (2.00 to 2.60 us)", Some(false)));
}

#[test]
fn nothing_measured_makes_a_page_without_charts() {
    let empty = Results::default();
    assert!(charts_of(&empty).is_empty());
    assert!(markdown::page(&empty).contains("0 of 36 reached, 36 not measured."));
}

#[test]
fn every_load_and_growth_has_a_chart_that_reads_aloud() {
    let charts = charts_of(&sample());
    let names: Vec<&str> = charts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "unary-8x32",
            "unary-1x1",
            "burst",
            "upload-1mb",
            "tls-unary-8x32",
            "growth-services",
            "growth-connections",
            "growth-memory-idle-connection"
        ]
    );
    for (name, svg) in &charts {
        check_well_formed(svg);
        assert!(svg.contains("<title id=\"title\">") && svg.contains("<desc id=\"desc\">"), "{name}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    }
    assert!(charts[0].1.contains(
        "<desc id=\"desc\">Microseconds of CPU per call, from least to most: HAProxy tcp 2.20, Switchboard router 2.50, "
    ));
    assert!(charts[5].1.contains("Switchboard router: 2.50 at 1, 2.52 at 100"));
}

#[test]
fn texts_from_outside_cannot_break_a_chart() {
    let mut results = sample();
    results.scenarios.get_mut("burst").unwrap().title = "a < b & \"c\" > d".to_owned();
    results.growth.get_mut("services").unwrap().x = "<services>".to_owned();
    for (_, svg) in charts_of(&results) {
        check_well_formed(&svg);
    }
}

#[test]
fn a_growth_of_one_point_is_drawn() {
    let growth = Growth { series: [("router".to_owned(), vec![(1.0, 2.0)])].into(), ..Default::default() };
    let svg = lines::chart(&growth).unwrap();
    check_well_formed(&svg);
    assert!(!svg.contains("NaN"));
}

#[test]
fn the_report_writes_page_charts_and_the_readme_between_its_marks() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("bench/charts")).unwrap();
    fs::write(path("bench/charts/gone.svg"), "").unwrap();
    fs::write(path("results.json"), include_str!("testdata/results.json")).unwrap();
    fs::write(path("README.md"), "# A\n\n<!-- bench:begin -->\nold\n<!-- bench:end -->\n\nrest | of it\n")
        .unwrap();
    let args = || Args { results: path("results.json"), out: path("bench"), readme: Some(path("README.md")) };
    run(args()).unwrap();
    let readme = fs::read_to_string(path("README.md")).unwrap();
    assert!(readme.starts_with("# A\n\n<!-- bench:begin -->\nMeasured on 2026-11-21 on Example CPU"));
    assert!(readme.ends_with("|\n<!-- bench:end -->\n\nrest | of it\n"));
    assert!(readme.contains("[RESULTS.md](bench/RESULTS.md)"));
    assert!(readme.contains(
        "\n| CPU | 8 x 32, us/call | 1 x 1, us/call | streamed message, us/message | 1 MB up, us/MB |\n"
    ));
    assert!(!readme.contains("old"));
    assert!(path("bench/charts/unary-8x32.svg").exists() && !path("bench/charts/gone.svg").exists());
    let page = fs::read_to_string(path("bench/RESULTS.md")).unwrap();
    for chart in page.split("](charts/").skip(1) {
        let file = chart.split(')').next().unwrap();
        assert!(path("bench/charts").join(file).exists(), "{file}");
    }

    run(args()).unwrap();
    assert_eq!(fs::read_to_string(path("README.md")).unwrap(), readme, "a second run changes nothing");
}

#[test]
fn a_readme_without_its_marks_is_left_alone() {
    for text in ["", "<!-- bench:begin -->", "<!-- bench:end --> <!-- bench:begin -->"] {
        assert!(readme::replaced(text, "table").is_err(), "{text}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    let error = run(Args { results, out: folder.path().to_owned(), readme: None }).unwrap_err();
    assert!(error.to_string().contains("results.json; `switchboard-bench run` writes it"), "{error}");
}
