//! The frame that all charts share: card, fonts, colours of the light and of the dark theme, words for screen readers.

/// Width of every chart.
pub(super) const WIDTH: f64 = 780.0;

/// Colours by class. A card of its own keeps the text readable where a page's theme differs from the system's.
const STYLE: &str = "\
text{font:13px -apple-system,BlinkMacSystemFont,'Segoe UI','Noto Sans',Helvetica,Arial,sans-serif;fill:#1f2328}
.head{font-size:16px;font-weight:600}
.dim{fill:#59636e;font-size:12px}
.strong{font-weight:600}
.over{paint-order:stroke;stroke:#ffffff;stroke-width:4px}
.card{fill:#ffffff;stroke:#d1d9e0}
.grid{stroke:#d1d9e0;stroke-width:1}
.axis{stroke:#818b98;stroke-width:1}
.router{fill:#0969da}.relay{fill:#818b98}.peer{fill:#c5ced8}
.line{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}
.line.router{fill:none;stroke:#0969da}.line.relay,.line.peer{fill:none;stroke:#818b98;stroke-dasharray:6 5}
.dot{stroke:#ffffff;stroke-width:2}
.spread{stroke:#1f2328;stroke-width:1.5;opacity:.55}
@media (prefers-color-scheme:dark){
text{fill:#f0f6fc}
.dim{fill:#9198a1}
.over{stroke:#0d1117}
.card{fill:#0d1117;stroke:#3d444d}
.grid{stroke:#2a313c}
.axis{stroke:#656c76}
.router{fill:#4493f8}.relay{fill:#8b949e}.peer{fill:#484f58}
.line.router{stroke:#4493f8}.line.relay,.line.peer{stroke:#8b949e}
.dot{stroke:#0d1117}
.spread{stroke:#f0f6fc}
}
";

/// A chart under construction.
pub(super) struct Svg {
    height: f64,
    title: String,
    desc: String,
    body: String,
}

/// Where a text is anchored.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// An empty card with its head line and, under it, `note`. `desc` tells the whole chart in words.
    pub(super) fn new(height: f64, title: &str, note: &str, desc: &str) -> Self {
        let mut svg = Self { height, title: title.to_owned(), desc: desc.to_owned(), body: String::new() };
        svg.text(24.0, 36.0, Anchor::Start, "head", title);
        svg.text(24.0, 57.0, Anchor::Start, "dim", note);
        svg
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.push(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(&format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#));
    }

    /// A bar from `x` to the right, rounded at its end.
    pub(super) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let r = 4f64.min(width / 2.0);
        let straight = width - r;
        self.push(&format!(
            r#"<path d="M{x:.1} {y:.1}h{straight:.1}a{r:.1} {r:.1} 0 0 1 {r:.1} {r:.1}v{v:.1}a{r:.1} {r:.1} 0 0 1 -{r:.1} {r:.1}h-{straight:.1}z" class="{class}"/>"#,
            v = height - 2.0 * r
        ));
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(&format!(r#"<polyline points="{}" class="line {class}"/>"#, points.join(" ")));
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), class: &str) {
        self.push(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="5" class="dot {class}"/>"#));
    }

    /// The whole file.
    pub(super) fn finish(self) -> String {
        let Self { height, title, desc, body } = self;
        let (title, desc) = (escaped(&title), escaped(&desc));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0}" height="{height:.0}" viewBox="0 0 {WIDTH:.0} {height:.0}" role="img" aria-labelledby="title desc">
<title id="title">{title}</title>
<desc id="desc">{desc}</desc>
<style>
{STYLE}</style>
<rect x="0.5" y="0.5" width="{:.0}" height="{:.0}" rx="8" class="card"/>
{body}</svg>
"#,
            WIDTH - 1.0,
            height - 1.0
        )
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

/// Text as XML takes it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
