//! Pictures on a terminal of cells.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::quantile::Quantile;
use super::super::report::{InstanceRow, Rates, RouterRow, ServiceRow};
use super::*;

fn lines(width: u16, height: u16, report: &Report, screen: &mut Screen) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, report, screen, Duration::from_secs(1))).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..height).map(|y| row(y).trim_end().to_owned()).collect()
}

fn router(address: &str, problem: Option<&str>) -> RouterRow {
    RouterRow { address: address.into(), problem: problem.map(str::to_owned), registry: None, seen: true }
}

fn report() -> Report {
    let instance = |address: &str, ejected: usize| InstanceRow {
        address: address.into(),
        id: "echo-1".into(),
        status: "passing".into(),
        healthy: true,
        open_streams: 2,
        capacity: Some(100),
        latency_us: Some(12_000.0),
        ejected,
        routers: 1,
        ..InstanceRow::default()
    };
    let quantile = |ms| Some(Quantile { ms, or_longer: false });
    let echo = ServiceRow {
        service: "agent-echo".into(),
        id: Some("echo-agent".into()),
        rates: Rates { calls: Some(120.5), errors: Some(1.5) },
        p50: quantile(3.0),
        p99: quantile(250.0),
        open_streams: 4,
        known: Some(2),
        healthy: Some(2),
        instances: vec![instance("10.0.0.1:50052", 0), instance("10.0.0.2:50052", 1)],
        ..ServiceRow::default()
    };
    Report {
        routers: vec![router("127.0.0.1:9901", None)],
        totals: echo.rates,
        open_streams: 4,
        services: vec![echo],
        ..Report::default()
    }
}

#[test]
fn all_columns_fit_80x24() {
    let lines = lines(80, 24, &report(), &mut Screen::default());
    assert_eq!(lines[0], "switchboard top: 127.0.0.1:9901, by calls, every 1s");
    assert_eq!(lines[1], "120 calls/s, 1.5 errors/s, 4 open streams; registry unknown");
    assert_eq!(lines[2], "SERVICE                CALLS/S  ERR/S    OPEN    P50    P99      UP STATE");
    assert_eq!(lines[3], "echo-agent                 120    1.5       4  3.0ms  250ms     2/2 1 ejected");
    assert_eq!(lines[4], "  10.0.0.1:50052 echo-                  2/100  ~12ms                passing");
    assert_eq!(lines[5], "  10.0.0.2:50052 echo-                  2/100  ~12ms                ejected");
    assert_eq!(lines[23], "q quit  s sort  / filter  i instances  j/k scroll");
}

#[test]
fn a_small_terminal_of_40x10_keeps_the_columns_that_matter() {
    let lines = lines(40, 10, &report(), &mut Screen::default());
    assert_eq!(lines[2], "SERVICE           CALLS/S  ERR/S      UP");
    assert_eq!(lines[3], "echo-agent            120    1.5     2/2");
    assert_eq!(lines[4], "  10.0.0.1:50052");
    assert!(lines[9].starts_with("q quit"));
}

#[test]
fn no_size_is_too_small() {
    for width in [1, 2, 5, 13, 21, 300] {
        for height in 1..8 {
            lines(width, height, &report(), &mut Screen::default());
        }
    }
}

#[test]
fn routers_that_do_not_answer_are_named_and_the_rest_counted() {
    let mut report = report();
    for index in 0..5 {
        report.routers.push(router(&format!("r{index}:1"), Some("cannot be reached: connection refused")));
    }
    let lines = lines(80, 24, &report, &mut Screen::default());
    assert!(lines[0].contains("6 routers"), "{}", lines[0]);
    assert_eq!(lines[2], "r0:1 cannot be reached: connection refused; trying again");
    assert_eq!(lines[5], "and 2 routers more");
    assert!(lines[6].starts_with("SERVICE") && lines[7].starts_with("echo-agent"));
}

#[test]
fn an_empty_table_says_why() {
    let said = |routers: Vec<RouterRow>, filter: &str| {
        let report = Report { routers, ..Report::default() };
        let mut screen = Screen { filter: filter.into(), ..Screen::default() };
        lines(80, 24, &report, &mut screen)
            .into_iter()
            .find(|line| line.starts_with("no") || line.starts_with("look"))
    };
    let not_yet = RouterRow { seen: false, ..router("r:1", None) };
    assert_eq!(said(vec![not_yet], "").unwrap(), "looking ...");
    assert_eq!(said(vec![router("r:1", Some("is gone"))], "").unwrap(), "no router answers");
    assert_eq!(said(vec![router("r:1", None)], "").unwrap(), "no service was called yet");
    assert_eq!(said(vec![router("r:1", None)], "x").unwrap(), "nothing matches the filter");
}

#[test]
fn scrolling_ends_where_the_rows_do() {
    let mut report = report();
    report.services[0].instances =
        (0..50).map(|n| InstanceRow { address: format!("h{n:02}:1"), ..InstanceRow::default() }).collect();
    let mut screen = Screen { top: usize::MAX, ..Screen::default() };
    let lines = lines(80, 24, &report, &mut screen);
    // 24 lines less two of summary, the head and the keys are 20 rows, of 51.
    assert_eq!((screen.top, screen.page), (31, 20));
    assert!(lines[3].starts_with("  h30:1") && lines[22].starts_with("  h49:1"), "{lines:?}");
}

#[test]
fn what_suffers_is_red_and_what_errs_yellow() {
    let mut report = report();
    let colour = |report: &Report, y| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, report, &mut Screen::default(), Duration::from_secs(1))).unwrap();
        terminal.backend().buffer()[(2, y)].fg
    };
    assert_eq!([3, 4, 5].map(|y| colour(&report, y)), [Color::Red, Color::Reset, Color::Red]);
    report.services[0].instances.pop();
    assert_eq!(colour(&report, 3), Color::Yellow);
}

#[test]
fn the_filter_is_seen_while_it_is_typed_and_after() {
    let mut screen = Screen { typing: true, filter: "ech".into(), ..Screen::default() };
    let lines = lines(80, 24, &report(), &mut screen);
    assert!(lines[23].starts_with("filter: ech_") && lines[0].contains("only \"ech\""), "{lines:?}");
}
