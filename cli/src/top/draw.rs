//! The picture: two lines on all of it, a line for each router that does not answer, the table, the keys.

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::print::summary;
use super::report::Report;
use super::screen::Screen;
use super::table::{Column, Row, fitting};

/// Unreachable routers that are named one by one at most.
const MAX_PROBLEMS: usize = 3;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const HEAD: Style = Style::new().add_modifier(Modifier::REVERSED);
const BAD: Style = Style::new().fg(Color::Red);
const ERRORS: Style = Style::new().fg(Color::Yellow);

/// Draws everything, whatever the size; brings the scroll position into bounds.
pub(super) fn draw(frame: &mut Frame<'_>, report: &Report, screen: &mut Screen, interval: Duration) {
    let mut area = frame.area();
    let buffer = frame.buffer_mut();
    put(buffer, take(&mut area), &title(report, screen, interval), BOLD);
    put(buffer, take(&mut area), &summary(report), Style::new());
    for problem in problems(report) {
        put(buffer, take(&mut area), &problem, BAD.add_modifier(Modifier::BOLD));
    }
    // The keys are the last line, unless the table would have no room.
    let keys = (area.height >= 4).then(|| {
        area.height -= 1;
        Rect { y: area.bottom(), height: 1, ..area }
    });
    table(buffer, area, report, screen);
    if let Some(keys) = keys {
        put(buffer, keys, &footer(screen), DIM);
    }
}

/// The first line of what is left, which may be none.
fn take(area: &mut Rect) -> Rect {
    let line = Rect { height: area.height.min(1), ..*area };
    area.y += line.height;
    area.height -= line.height;
    line
}

fn put(buffer: &mut Buffer, line: Rect, text: &str, style: Style) {
    if line.height > 0 {
        buffer.set_stringn(line.x, line.y, text, line.width.into(), style);
    }
}

fn title(report: &Report, screen: &Screen, interval: Duration) -> String {
    let routers = match &report.routers[..] {
        [one] => one.address.clone(),
        several => format!("{} routers", several.len()),
    };
    let filter = match screen.filter.as_str() {
        "" => String::new(),
        filter => format!(", only {filter:?}"),
    };
    format!("switchboard top: {routers}, by {}{filter}, every {interval:?}", screen.sort.word())
}

/// A line for each router that does not answer; the last one counts the rest.
fn problems(report: &Report) -> Vec<String> {
    let lost: Vec<_> = report
        .routers
        .iter()
        .filter_map(|row| row.problem.as_ref().map(|problem| (&row.address, problem)))
        .collect();
    let mut lines: Vec<_> = lost
        .iter()
        .take(MAX_PROBLEMS)
        .map(|(address, problem)| format!("{address} {problem}; trying again"))
        .collect();
    if lost.len() > MAX_PROBLEMS {
        lines.push(format!("and {} routers more", lost.len() - MAX_PROBLEMS));
    }
    lines
}

fn footer(screen: &Screen) -> String {
    match screen.typing {
        true => format!("filter: {}_   Enter keep   Esc clear", screen.filter),
        false => "q quit  s sort  / filter  i instances  j/k scroll".to_owned(),
    }
}

fn table(buffer: &mut Buffer, mut area: Rect, report: &Report, screen: &mut Screen) {
    let (name_width, columns) = fitting(area.width);
    let head = take(&mut area);
    let put_line = |buffer: &mut Buffer, line: Rect, name: &str, cell: &dyn Fn(Column) -> String, style| {
        if line.height == 0 {
            return;
        }
        buffer.set_style(line, style);
        put(buffer, Rect { width: name_width, ..line }, name, style);
        let mut x = line.x + name_width;
        for &column in &columns {
            // The last one, of words, has all that is left.
            let width =
                if column == Column::State { line.right().saturating_sub(x + 1) } else { column.width() };
            let text = cell(column);
            let pad =
                if column == Column::State { 0 } else { width.saturating_sub(text.chars().count() as u16) };
            put(buffer, Rect { x: x + 1 + pad, width: width - pad, ..line }, &text, style);
            x += width + 1;
        }
    };
    put_line(buffer, head, "SERVICE", &|column| column.title().to_owned(), HEAD);
    let rows = screen.rows(report);
    screen.page = usize::from(area.height).max(1);
    screen.top = screen.top.min(rows.len().saturating_sub(usize::from(area.height)));
    if rows.is_empty() {
        put(buffer, take(&mut area), nothing(report, screen), DIM);
    }
    for row in rows.iter().skip(screen.top).take(area.height.into()) {
        put_line(buffer, take(&mut area), &row.name(), &|column| row.cell(column), style(row));
    }
}

fn nothing(report: &Report, screen: &Screen) -> &'static str {
    if report.routers.iter().all(|router| router.problem.is_some()) {
        "no router answers"
    } else if !report.routers.iter().any(|router| router.seen) {
        "looking ..."
    } else if screen.filter.is_empty() {
        "no service was called yet"
    } else {
        "nothing matches the filter"
    }
}

fn style(row: &Row<'_>) -> Style {
    let style = match row {
        Row::Service(_) => BOLD,
        Row::Instance(_) => Style::new(),
    };
    match row {
        row if row.is_bad() => style.patch(BAD),
        Row::Service(row) if row.rates.errors.is_some_and(|errors| errors > 0.0) => style.patch(ERRORS),
        _ => style,
    }
}

#[cfg(test)]
mod tests;
