//! HTML that nothing breaks out of: names of elements and attributes are this program's own, all else is escaped.

use std::fmt::{self, Display, Write};

/// Elements without content.
const VOID: [&str; 5] = ["br", "input", "link", "meta", "img"];

/// One element with what is in it.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

/// An address below this server's root. Made of escaped parts only, it never leaves the origin and is never a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url(String);

/// An empty element.
pub(super) fn element(name: &'static str) -> Element {
    Element { name, attributes: String::new(), content: String::new() }
}

/// An element with this text.
pub(super) fn text(name: &'static str, text: impl Display) -> Element {
    element(name).text(text)
}

/// A link with this text.
pub(super) fn link(to: &Url, words: impl Display) -> Element {
    element("a").to("href", to).text(words)
}

impl Element {
    /// With an attribute. Addresses are set by [`to`](Self::to) alone, styles and handlers by nothing.
    pub(super) fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        debug_assert!(
            !matches!(name, "href" | "src" | "action" | "style") && !name.starts_with("on"),
            "{name} takes no free text"
        );
        self.put(name, value);
        self
    }

    fn put(&mut self, name: &'static str, value: impl Display) {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
        // Writing to a string never fails.
        let _ = write!(Escaped(&mut self.attributes), "{value}");
        self.attributes.push('"');
    }

    /// With an attribute that holds an address.
    pub(super) fn to(mut self, name: &'static str, url: &Url) -> Self {
        self.put(name, &url.0);
        self
    }

    pub(super) fn class(self, class: &str) -> Self {
        self.attr("class", class)
    }

    /// With an attribute that is there or is not.
    pub(super) fn flag(mut self, name: &'static str, there: bool) -> Self {
        if there {
            self.attributes.push(' ');
            self.attributes.push_str(name);
        }
        self
    }

    /// Followed by text.
    pub(super) fn text(mut self, text: impl Display) -> Self {
        let _ = write!(Escaped(&mut self.content), "{text}");
        self
    }

    /// Followed by an element.
    pub(super) fn child(mut self, child: Element) -> Self {
        child.write(&mut self.content);
        self
    }

    /// Followed by elements.
    pub(super) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        for child in children {
            child.write(&mut self.content);
        }
        self
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// A document of which this is the root.
    pub(super) fn document(self) -> String {
        let mut document = String::with_capacity(self.content.len() + 64);
        document.push_str("<!doctype html>\n");
        self.write(&mut document);
        document.push('\n');
        document
    }

    fn write(self, into: &mut String) {
        let Self { name, attributes, content } = self;
        into.push('<');
        into.push_str(name);
        into.push_str(&attributes);
        into.push('>');
        if !VOID.contains(&name) {
            into.push_str(&content);
            into.push_str("</");
            into.push_str(name);
            into.push('>');
        }
    }
}

/// Replaces what means something in text or in an attribute.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                letter => self.0.push(letter),
            }
        }
        Ok(())
    }
}

impl Url {
    /// The page at `/ui`, and below.
    pub(super) fn ui(parts: &[&str]) -> Self {
        Self::below("/ui", parts)
    }

    /// The API's path of these parts.
    pub(super) fn api(parts: &[&str]) -> Self {
        Self::below("/api/v1", parts)
    }

    /// Another path of this server.
    pub(super) fn root(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    fn below(root: &str, parts: &[&str]) -> Self {
        let mut path = root.to_owned();
        for part in parts {
            path.push('/');
            encode(part, &mut path);
        }
        Self(path)
    }

    /// The page that a form names as where to go on, unless it would lead away from `/ui`.
    pub(super) fn within(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/ui")?;
        let goes_on = rest.is_empty() || rest.starts_with(['/', '?']);
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') && !rest.contains("//");
        (goes_on && plain).then(|| Self(path.to_owned()))
    }

    /// With a parameter, unless its value is empty.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            encode(name, &mut self.0);
            self.0.push('=');
            encode(value, &mut self.0);
        }
        self
    }

    /// With a query that tells versions apart.
    pub(super) fn version(mut self, version: &str) -> Self {
        self.0.push('?');
        encode(version, &mut self.0);
        self
    }

    /// At the element of this ID.
    pub(super) fn at(mut self, id: &str) -> Self {
        self.0.push('#');
        encode(id, &mut self.0);
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes all but what RFC 3986 calls unreserved, and the colon, which identifiers have.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let evil = "\"><script>alert('1')</script>&";
        let shown = element("p").attr("title", evil).text(evil).document();
        let safe = "&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;";
        assert_eq!(shown, format!("<!doctype html>\n<p title=\"{safe}\">{safe}</p>\n"));
        let shown = link(&Url::ui(&["workflows", "a/../b", evil]).with("x", "a&b=c"), "go").document();
        assert!(shown.contains("href=\"/ui/workflows/a%2F..%2Fb/%22%3E%3Cscript%3E"), "{shown}");
        assert!(shown.contains("?x=a%26b%3Dc\""), "{shown}");
    }

    #[test]
    fn a_form_leads_nowhere_else() {
        for path in ["/ui", "/ui/workflows/a?b=c", "/ui?status=failed"] {
            assert_eq!(Url::within(path).map(|url| url.as_str().to_owned()).as_deref(), Some(path));
        }
        for path in
            ["", "/", "//evil", "/uix", "/ui//evil", "https://evil", "/ui\\evil", "/ui\r\nx", "javascript:1"]
        {
            assert_eq!(Url::within(path), None, "{path}");
        }
    }

    #[test]
    fn elements_without_content_have_no_end() {
        let form = element("form").child(element("input").flag("required", true).flag("checked", false));
        assert_eq!(form.document(), "<!doctype html>\n<form><input required></form>\n");
    }
}
