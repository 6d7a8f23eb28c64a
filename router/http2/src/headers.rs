//! A flat list of header fields: one byte buffer plus one end mark per field.
//!
//! HPACK decodes into it, the connection validates it, and the caller reads it or builds one to send. It is cleared and
//! reused, so that the warm path allocates nothing. It does not check names or values (the connection does that on
//! receipt), does not fold duplicates and does not sort: the order of arrival is kept.

use crate::facts::Facts;
use std::fmt;
use std::ops::Range;

/// What RFC 9113 section 10.5.1 adds to the octets of every field when it counts the size of a list.
const FIELD_OVERHEAD: usize = 32;

/// One header field, borrowed.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// The name in lower case, with the leading colon of a pseudo-header field.
    pub name: &'a [u8],
    /// The value, any octets.
    pub value: &'a [u8],
    /// Came as, or has to be sent as, a never-indexed literal (RFC 7541 section 7.1.3).
    pub sensitive: bool,
    pub(crate) facts: Facts,
}

impl<'a> Field<'a> {
    /// Makes a field that may be indexed.
    pub const fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value, sensitive: false, facts: Facts::UNKNOWN }
    }

    /// Makes a field that is sent as a never-indexed literal.
    pub const fn sensitive(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value, sensitive: true, facts: Facts::UNKNOWN }
    }
}

/// What is known of their octets makes no difference.
impl PartialEq for Field<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.value, self.sensitive) == (other.name, other.value, other.sensitive)
    }
}

impl Eq for Field<'_> {}

/// Shows the text, but not the value of a sensitive field.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name.escape_ascii())?;
        if self.sensitive { f.write_str("(sensitive)") } else { write!(f, "{}", self.value.escape_ascii()) }
    }
}

/// Where a field ends in the buffer; it starts where the one before it ends.
#[derive(Clone, Copy, Debug)]
struct Mark {
    name_end: u32,
    value_end: u32,
    sensitive: bool,
    facts: Facts,
}

/// A list of header fields in order of arrival. Holds less than 4 GiB.
#[derive(Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

impl Headers {
    /// Makes an empty list. Allocates nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), marks: Vec::new() }
    }

    /// Removes all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
    }

    /// Returns the number of fields.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Tells whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Appends a field that may be indexed. The name has to be in lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_field(Field::new(name, value));
    }

    /// Appends a field.
    pub fn push_field(&mut self, field: Field<'_>) {
        self.bytes.extend_from_slice(field.name);
        self.bytes.extend_from_slice(field.value);
        self.commit(field.name.len(), field.sensitive, field.facts);
    }

    /// Appends the fields at those places of another list, which is cheaper than one by one. Places beyond its end count
    /// for nothing.
    pub fn push_range(&mut self, from: &Headers, fields: Range<usize>) {
        let end = fields.end.min(from.marks.len());
        let Some(marks) = from.marks.get(fields.start..end) else { return };
        let start = fields.start.checked_sub(1).map_or(0, |before| from.marks[before].value_end);
        let Some(last) = marks.last() else { return };
        let moved = (self.bytes.len() as u32).wrapping_sub(start);
        self.bytes.extend_from_slice(&from.bytes[start as usize..last.value_end as usize]);
        self.marks.extend(marks.iter().map(|mark| Mark {
            name_end: mark.name_end.wrapping_add(moved),
            value_end: mark.value_end.wrapping_add(moved),
            ..*mark
        }));
    }

    /// Iterates over the fields in order.
    pub fn iter(&self) -> HeadersIter<'_> {
        HeadersIter { bytes: &self.bytes, marks: self.marks.iter(), start: 0 }
    }

    /// Iterates over the fields from that place on.
    pub(crate) fn iter_from(&self, at: usize) -> HeadersIter<'_> {
        let marks = self.marks.get(at..).unwrap_or_default();
        let start =
            at.checked_sub(1).and_then(|before| self.marks.get(before)).map_or(0, |mark| mark.value_end);
        HeadersIter { bytes: &self.bytes, marks: marks.iter(), start }
    }

    /// Whether another list begins with the very same fields, none of them sensitive.
    pub(crate) fn is_prefix_of(&self, list: &Headers) -> bool {
        let same = |(a, b): (&Mark, &Mark)| {
            (a.name_end, a.value_end) == (b.name_end, b.value_end) && !a.sensitive && !b.sensitive
        };
        self.marks.len() <= list.marks.len()
            && self.marks.iter().zip(&list.marks).all(same)
            && list.bytes.starts_with(&self.bytes)
    }

    /// Returns the value of the first field of that name. Names are compared octet by octet: give it in lower case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// Returns the size of the list as RFC 9113 section 10.5.1 counts it: octets of names and values plus 32 per field.
    pub fn list_size(&self) -> usize {
        self.bytes.len() + self.marks.len() * FIELD_OVERHEAD
    }

    /// Gives back memory above `max_bytes` of capacity, as far as the fields in the list allow.
    pub fn shrink(&mut self, max_bytes: usize) {
        if self.bytes.capacity() > max_bytes {
            self.bytes.shrink_to(max_bytes);
        }
        let max_marks = max_bytes / size_of::<Mark>();
        if self.marks.capacity() > max_marks {
            self.marks.shrink_to(max_marks);
        }
    }

    /// Appends a field whose name and value lie in one piece, the first `name_len` octets being the name.
    #[inline]
    pub(crate) fn push_joined(&mut self, joined: &[u8], name_len: usize, facts: Facts) {
        self.bytes.extend_from_slice(joined);
        self.commit(name_len, false, facts);
    }

    /// Lends the buffer, so that a field can be decoded in place: append the name, then the value, then call `commit` or
    /// `discard`. Nothing else may be called in between.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns the octets that were appended to `tail` since the last field.
    pub(crate) fn uncommitted(&self) -> &[u8] {
        &self.bytes[self.end()..]
    }

    /// Makes a field of the octets appended to `tail`. `name_len` of them are the name.
    #[inline]
    pub(crate) fn commit(&mut self, name_len: usize, sensitive: bool, facts: Facts) {
        let name_end = self.end() + name_len;
        debug_assert!(name_end <= self.bytes.len());
        self.marks.push(Mark {
            name_end: name_end as u32,
            value_end: self.bytes.len() as u32,
            sensitive,
            facts,
        });
    }

    /// Drops the octets appended to `tail`.
    pub(crate) fn discard(&mut self) {
        self.bytes.truncate(self.end());
    }

    fn end(&self) -> usize {
        self.marks.last().map_or(0, |mark| mark.value_end as usize)
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Lists the fields; see [`Field`] for what is hidden.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = Field<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

/// Iterator over the fields of [`Headers`].
#[derive(Clone, Debug)]
pub struct HeadersIter<'a> {
    bytes: &'a [u8],
    marks: std::slice::Iter<'a, Mark>,
    start: u32,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let mark = self.marks.next()?;
        let name = &self.bytes[self.start as usize..mark.name_end as usize];
        let value = &self.bytes[mark.name_end as usize..mark.value_end as usize];
        self.start = mark.value_end;
        Some(Field { name, value, sensitive: mark.sensitive, facts: mark.facts })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.marks.size_hint()
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensitive() -> Field<'static> {
        Field::sensitive(b"authorization", b"Bearer x")
    }

    #[test]
    fn fields_come_back_in_order_with_their_flag() {
        let mut headers = Headers::new();
        headers.push(b"a", b"1");
        headers.push_field(sensitive());
        headers.push(b"", b"");
        let expected = [Field::new(b"a", b"1"), sensitive(), Field::new(b"", b"")];
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
        assert_eq!((headers.len(), headers.iter().len(), headers.list_size()), (3, 3, 2 + 21 + 3 * 32));
    }

    #[test]
    fn ranges_of_another_list_are_appended() {
        let mut from = Headers::new();
        for (name, value) in [("a", "1"), ("bb", "22"), ("ccc", ""), ("d", "4444")] {
            from.push(name.as_bytes(), value.as_bytes());
        }
        let mut headers = Headers::new();
        headers.push_range(&from, 1..3);
        headers.push(b"x", b"y");
        headers.push_range(&from, 3..9);
        headers.push_range(&from, 0..0);
        headers.push_range(&from, 7..9);
        headers.push_range(&from, 0..1);
        let expected = [("bb", "22"), ("ccc", ""), ("x", "y"), ("d", "4444"), ("a", "1")]
            .map(|(n, v)| Field::new(n.as_bytes(), v.as_bytes()));
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn get_finds_the_first_of_a_name() {
        let mut headers = Headers::new();
        headers.push(b"a", b"1");
        headers.push(b"a", b"2");
        assert_eq!((headers.get(b"a"), headers.get(b"A"), headers.get(b"")), (Some(&b"1"[..]), None, None));
    }

    #[test]
    fn equality_distinguishes_where_a_name_ends_and_the_flag() {
        let one = |field: Field<'_>| {
            let mut headers = Headers::new();
            headers.push_field(field);
            headers
        };
        assert_eq!(one(sensitive()), one(sensitive()));
        assert_ne!(one(Field::new(b"ab", b"c")), one(Field::new(b"a", b"bc")));
        assert_ne!(one(sensitive()), one(Field::new(b"authorization", b"Bearer x")));
    }

    #[test]
    fn debug_output_shows_no_sensitive_value() {
        let mut headers = Headers::new();
        headers.push(b"a", b"\x01");
        headers.push_field(sensitive());
        assert_eq!(format!("{headers:?}"), "[a: \\x01, authorization: (sensitive)]");
    }

    #[test]
    fn clear_keeps_the_memory_and_shrink_gives_it_back() {
        let mut headers = Headers::new();
        headers.push(b"name", &[b'v'; 5000]);
        headers.shrink(1000);
        assert_eq!((headers.len(), headers.get(b"name").map(<[u8]>::len)), (1, Some(5000)));
        headers.clear();
        assert!(headers.is_empty() && headers.bytes.capacity() >= 5000);
        headers.shrink(1000);
        assert!(headers.bytes.capacity() <= 1000 && headers.marks.capacity() * size_of::<Mark>() <= 1000);
    }

    #[test]
    fn a_field_is_decoded_in_place_or_discarded() {
        let mut headers = Headers::new();
        headers.push_joined(b"namevalue", 4, Facts::UNKNOWN);
        headers.tail().extend_from_slice(b"dropped");
        assert_eq!(headers.uncommitted(), b"dropped");
        headers.discard();
        headers.tail().extend_from_slice(b"ab");
        headers.commit(1, true, Facts::UNKNOWN);
        let expected = [Field::new(b"name", b"value"), Field::sensitive(b"a", b"b")];
        assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
    }
}
