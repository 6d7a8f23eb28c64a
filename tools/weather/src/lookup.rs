//! From the words of a caller to a city of the table: case, diacritics, aliases and "city, country".
//!
//! A qualifier that does not fit ("Paris, Texas") is no match: a wrong city is worse than none.

mod aliases;

use crate::climate::cities::{CITIES, City};
use aliases::{CITY_ALIASES, PLACE_ALIASES};

/// Texts longer than this name no place; bounds the work of the comparison.
const MAX_QUERY_BYTES: usize = 200;
/// How many near names an error carries.
const MAX_SUGGESTIONS: usize = 3;
/// Below this Jaro-Winkler similarity a name is not "near".
const NEAR: f64 = 0.82;

/// Finds the city that `query` names, as "city", "city, region", "city, country" or all three.
///
/// # Errors
/// The labels of up to three cities with a near name, best first; empty if none is near.
pub fn find(query: &str) -> Result<&'static City, Vec<String>> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(Vec::new());
    }
    let mut parts = query.split(',').map(fold);
    let mut name = parts.next().unwrap_or_default();
    if let Some((_, target)) = CITY_ALIASES.iter().find(|(alias, _)| *alias == name) {
        name = fold(target);
    }
    let qualifiers: Vec<String> = parts.filter(|part| !part.is_empty()).map(full_place).collect();
    let fits = |city: &&City| {
        fold(city.name) == name && {
            let places = [fold(city.region), fold(city.country)];
            qualifiers.iter().all(|qualifier| places.contains(qualifier))
        }
    };
    CITIES.iter().find(fits).ok_or_else(|| near(&name))
}

/// Gives the name of a city as answers print it: "Paris, France", "Portland, Oregon, United States".
pub fn label(city: &City) -> String {
    match (city.region, city.country) {
        (_, country) if country == city.name => country.to_owned(),
        ("", country) => format!("{}, {country}", city.name),
        (region, country) if region == city.name => format!("{region}, {country}"),
        (region, country) => format!("{}, {region}, {country}", city.name),
    }
}

fn full_place(folded: String) -> String {
    match PLACE_ALIASES.iter().find(|(short, _)| *short == folded) {
        Some((_, full)) => (*full).to_owned(),
        None => folded,
    }
}

fn near(name: &str) -> Vec<String> {
    let mut scored: Vec<(f64, &City)> = CITIES
        .iter()
        .map(|city| (strsim::jaro_winkler(name, &fold(city.name)), city))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    // The sort is stable: among equals the table's order decides.
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(MAX_SUGGESTIONS).map(|(_, city)| label(city)).collect()
}

/// Folds to lower-case ASCII letters, digits and single spaces; other scripts' letters are kept.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        match letter {
            'à'..='å' | 'ā' | 'ă' | 'ą' | 'ạ' => folded.push('a'),
            'ç' | 'ć' | 'č' => folded.push('c'),
            'ď' | 'đ' | 'ð' => folded.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' | 'ế' => folded.push('e'),
            'ğ' => folded.push('g'),
            'ì'..='ï' | 'ī' | 'ı' => folded.push('i'),
            'ł' | 'ľ' => folded.push('l'),
            'ñ' | 'ń' | 'ň' => folded.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'ồ' | 'ộ' => folded.push('o'),
            'ř' => folded.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => folded.push('s'),
            'ť' | 'ț' | 'ţ' => folded.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'ź' | 'ż' | 'ž' => folded.push('z'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            // Combining marks, as left by a decomposing input method.
            '\u{300}'..='\u{36f}' => {}
            letter if letter.is_alphanumeric() => folded.push(letter),
            _ if folded.is_empty() || folded.ends_with(' ') => {}
            _ => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

#[cfg(test)]
mod tests {
    use super::{CITIES, CITY_ALIASES, PLACE_ALIASES, find, fold, label};

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let cases = [
            ("Paris", "Paris, France"),
            ("  pArIs ", "Paris, France"),
            ("Paris, France", "Paris, France"),
            ("paris,france", "Paris, France"),
            ("São Paulo", "Sao Paulo, Brazil"),
            ("Zürich", "Zurich, Switzerland"),
            ("Zu\u{308}rich", "Zurich, Switzerland"),
            ("MÜNCHEN", "Munich, Germany"),
            ("Malmö", "Malmo, Sweden"),
            ("Tromsø", "Tromso, Norway"),
            ("Łódź Wrocław", "unknown"),
            ("Wrocław", "Wroclaw, Poland"),
            ("Reykjavík", "Reykjavik, Iceland"),
            ("NYC", "New York, United States"),
            ("Washington, D.C.", "Washington, District of Columbia, United States"),
            ("Washington DC, USA", "Washington, District of Columbia, United States"),
            ("Portland", "Portland, Oregon, United States"),
            ("Portland, ME", "Portland, Maine, United States"),
            ("Portland, Maine, USA", "Portland, Maine, United States"),
            ("Birmingham", "Birmingham, England, United Kingdom"),
            ("Birmingham, AL", "Birmingham, Alabama, United States"),
            ("London, UK", "London, England, United Kingdom"),
            ("San Jose, Costa Rica", "San Jose, Costa Rica"),
            ("St Louis", "St. Louis, Missouri, United States"),
            ("Xi’an", "Xi'an, China"),
            ("Singapore", "Singapore"),
            ("Paris, Texas", "unknown"),
            ("", "unknown"),
            (",", "unknown"),
        ];
        for (query, expected) in cases {
            let found = find(query).map_or("unknown".to_owned(), label);
            assert_eq!(found, expected, "{query:?}");
        }
    }

    #[test]
    fn a_typo_is_answered_with_near_names() {
        assert_eq!(find("Pariss").unwrap_err().first().map(String::as_str), Some("Paris, France"));
        assert_eq!(
            find("Londno").unwrap_err().first().map(String::as_str),
            Some("London, England, United Kingdom")
        );
        assert!(find("Qqqqqq").unwrap_err().is_empty());
        assert!(find(&"a".repeat(100_000)).unwrap_err().is_empty());
    }

    #[test]
    fn every_city_is_found_by_its_own_label() {
        for city in CITIES {
            assert_eq!(label(find(&label(city)).unwrap()), label(city));
        }
    }

    #[test]
    fn every_alias_leads_somewhere() {
        for (alias, name) in CITY_ALIASES {
            assert_eq!(fold(alias), *alias);
            assert!(CITIES.iter().any(|city| city.name == *name), "{alias} -> {name}");
        }
        for (short, full) in PLACE_ALIASES {
            assert_eq!(fold(short), *short);
            let known = CITIES.iter().any(|city| fold(city.country) == *full || fold(city.region) == *full);
            assert!(known, "{short} -> {full}");
        }
    }
}
