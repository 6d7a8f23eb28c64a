//! Keys in, order and choice of rows out.

use super::super::report::Rates;
use super::*;

fn press(screen: &mut Screen, keys: &str) -> Next {
    let mut next = Next::Stay;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        next = screen.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    next
}

fn report() -> Report {
    let service = |name: &str, calls, errors, open_streams| ServiceRow {
        service: format!("agent-{name}"),
        id: Some(format!("{name}-agent")),
        rates: Rates { calls: Some(calls), errors: Some(errors) },
        open_streams,
        instances: ["a", "b"]
            .map(|host| InstanceRow { address: format!("{name}-{host}:1"), ..InstanceRow::default() })
            .into(),
        ..ServiceRow::default()
    };
    let services =
        vec![service("one", 1.0, 0.0, 9), service("three", 3.0, 0.0, 1), service("two", 2.0, 1.0, 1)];
    Report { services, ..Report::default() }
}

fn names(screen: &Screen) -> Vec<String> {
    screen.rows(&report()).iter().map(|row| row.name().trim().to_owned()).collect()
}

#[test]
fn s_sorts_by_the_next_column() {
    let mut screen = Screen { instances: false, ..Screen::default() };
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((screen.sort.word(), names(&screen).concat().replace("-agent", " ")));
        press(&mut screen, "s");
    }
    let expected = [
        ("calls", "three two one "),
        ("errors", "two one three "),
        ("open", "one three two "),
        ("p99", "one three two "),
        ("name", "one three two "),
    ];
    assert_eq!(seen, expected.map(|(word, order)| (word, order.to_owned())));
    assert_eq!(screen.sort, Sort::Calls);
}

#[test]
fn a_filter_keeps_whole_services_and_single_instances() {
    let mut screen = Screen::default();
    press(&mut screen, "/TWO-AGENT\n");
    assert_eq!(names(&screen), ["two-agent", "two-a:1", "two-b:1"]);
    press(&mut screen, "/\x1b/-b:1\n");
    assert_eq!(names(&screen), ["three-agent", "three-b:1", "two-agent", "two-b:1", "one-agent", "one-b:1"]);
    press(&mut screen, "i");
    assert_eq!(names(&screen), ["three-agent", "two-agent", "one-agent"]);
}

#[test]
fn keys_go_into_the_filter_while_it_is_typed() {
    let mut screen = Screen::default();
    assert_eq!(press(&mut screen, "/qqs\x08"), Next::Stay);
    assert_eq!((screen.filter.as_str(), screen.typing, screen.sort), ("qq", true, Sort::Calls));
    press(&mut screen, &"x".repeat(100));
    assert_eq!(screen.filter.len(), MAX_FILTER);
    assert_eq!(press(&mut screen, "\x1b"), Next::Stay);
    assert_eq!((screen.filter.as_str(), screen.typing), ("", false));
}

#[test]
fn q_escape_and_control_c_quit() {
    assert_eq!(press(&mut Screen::default(), "q"), Next::Quit);
    assert_eq!(press(&mut Screen::default(), "\x1b"), Next::Quit);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut typing = Screen { typing: true, ..Screen::default() };
    assert_eq!((Screen::default().key(control_c), typing.key(control_c)), (Next::Quit, Next::Quit));
    assert_eq!(press(&mut Screen::default(), "x"), Next::Stay);
}

#[test]
fn scrolling_stops_at_both_ends_of_what_numbers_hold() {
    let mut screen = Screen::default();
    press(&mut screen, "jjk");
    assert_eq!(screen.top, 1);
    press(&mut screen, "kkk");
    assert_eq!(screen.top, 0);
    press(&mut screen, "Gj");
    assert_eq!(screen.top, usize::MAX);
    press(&mut screen, "g");
    assert_eq!(screen.top, 0);
}
