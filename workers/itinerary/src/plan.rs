//! The plan: which idea on which day, its text, and its JSON. Pure; the weather is handed in.
//!
//! The same request with the same weather gives the same plan on every instance. No idea comes twice in a
//! plan: the catalogue has 50 for each part of the day, and a plan has at most 14 days.

use std::collections::HashSet;
use std::fmt::Write;

use serde::Serialize;

use crate::catalogue::{self, INTERESTS, Idea, Slot};
use crate::request::Request;
use crate::weather::{DayWeather, Weather};

/// A finished plan, in the shape of its JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    destination: String,
    interests: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_interests: Vec<String>,
    /// Why there is no forecast; absent if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    weather_unavailable: Option<String>,
    /// What the weather tool says about its numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    weather_note: Option<String>,
    days: Vec<Day>,
}

#[derive(Debug, Serialize)]
struct Day {
    day: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    weather: Option<DayWeather>,
    morning: &'static str,
    afternoon: &'static str,
    evening: &'static str,
}

/// Makes a plan day by day, so that its maker can say how far it is.
#[derive(Debug)]
pub(crate) struct Planner {
    plan: Plan,
    weather: Vec<DayWeather>,
    used: HashSet<&'static str>,
    seed: usize,
}

impl Planner {
    pub(crate) fn new(request: &Request, weather: Weather) -> Self {
        let (weather, weather_note, weather_unavailable) = match weather {
            Weather::Forecast { days, note } => (days, note, None),
            Weather::Unavailable(why) => (Vec::new(), None, Some(why)),
        };
        let plan = Plan {
            destination: request.destination.clone(),
            interests: request.interests.clone(),
            unknown_interests: request.unknown_interests.clone(),
            weather_unavailable,
            weather_note,
            days: Vec::with_capacity(request.days as usize),
        };
        Self { plan, weather, used: HashSet::new(), seed: seed(&request.destination) }
    }

    /// Adds the next day.
    pub(crate) fn add_day(&mut self) {
        let index = self.plan.days.len();
        let weather = self.weather.get(index).cloned();
        let wet = weather.as_ref().is_some_and(|weather| weather.wet);
        let [morning, afternoon, evening] = Slot::ALL.map(|slot| self.choose(index, slot, wet));
        self.plan.days.push(Day { day: index as u32 + 1, weather, morning, afternoon, evening });
    }

    pub(crate) fn finish(self) -> Plan {
        self.plan
    }

    /// Takes the first unused idea: the interests in turn, then every other one; dry ones first on a wet day.
    fn choose(&mut self, day: usize, slot: Slot, wet: bool) -> &'static str {
        let wanted = &self.plan.interests;
        let turn = day * Slot::ALL.len() + slot as usize;
        let own = (0..wanted.len()).filter_map(|i| catalogue::interest(wanted[(turn + i) % wanted.len()]));
        let mut candidates: Vec<&'static Idea> = Vec::new();
        for interest in own.chain(&INTERESTS) {
            let ideas = interest.ideas(slot);
            candidates.extend((0..ideas.len()).map(|i| &ideas[(self.seed + i) % ideas.len()]));
        }
        candidates.retain(|idea| !self.used.contains(idea.text));
        let chosen = candidates
            .iter()
            .find(|idea| !(wet && idea.outdoor))
            .or(candidates.first())
            .map_or("Take the time as it comes", |idea| idea.text);
        self.used.insert(chosen);
        chosen
    }
}

impl Plan {
    /// The plan for people to read.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    /// The plan for programs to read.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a plan has string keys and no failing serialiser")
    }

    /// Whether the plan has a forecast.
    pub(crate) fn has_weather(&self) -> bool {
        self.weather_unavailable.is_none()
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let days = self.days.len();
        let plural = if days == 1 { "" } else { "s" };
        writeln!(out, "{days} day{plural} in {} ({})", self.destination, self.interests.join(", "))?;
        if !self.unknown_interests.is_empty() {
            let known: Vec<_> = INTERESTS.iter().map(|interest| interest.name).collect();
            writeln!(
                out,
                "No ideas for: {}. Known interests: {}",
                self.unknown_interests.join(", "),
                known.join(", ")
            )?;
        }
        if let Some(why) = &self.weather_unavailable {
            writeln!(out, "Weather unavailable: {why}")?;
        }
        for day in &self.days {
            match &day.weather {
                Some(weather) => {
                    writeln!(out, "\nDay {} ({}): {}", day.day, weather.date, weather.summary)?;
                }
                None => writeln!(out, "\nDay {}", day.day)?,
            }
            writeln!(out, "  Morning    {}", day.morning)?;
            writeln!(out, "  Afternoon  {}", day.afternoon)?;
            writeln!(out, "  Evening    {}", day.evening)?;
        }
        if let Some(note) = &self.weather_note {
            writeln!(out, "\nWeather: {note}")?;
        }
        Ok(())
    }
}

/// FNV-1a of the lower-case name: the same start in the catalogue on every instance and build.
fn seed(destination: &str) -> usize {
    let hash = destination
        .to_lowercase()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // Only the remainder by five, the number of ideas, matters.
    (hash % 5) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(destination: &str, days: u32, interests: &[&'static str]) -> Request {
        Request {
            destination: destination.to_owned(),
            days,
            interests: interests.to_vec(),
            unknown_interests: Vec::new(),
            pace: std::time::Duration::ZERO,
        }
    }

    fn plan(request: &Request, weather: Weather) -> Plan {
        let mut planner = Planner::new(request, weather);
        (0..request.days).for_each(|_| planner.add_day());
        planner.finish()
    }

    fn none() -> Weather {
        Weather::Unavailable("no tool".to_owned())
    }

    fn ideas(plan: &Plan) -> Vec<&'static str> {
        plan.days.iter().flat_map(|day| [day.morning, day.afternoon, day.evening]).collect()
    }

    #[test]
    fn longest_plan_on_one_interest_repeats_nothing() {
        for interest in &INTERESTS {
            let plan = plan(&request("Oslo", 14, &[interest.name]), none());
            let ideas = ideas(&plan);
            let distinct: HashSet<_> = ideas.iter().collect();
            assert_eq!((ideas.len(), distinct.len()), (42, 42), "{}", interest.name);
        }
    }

    #[test]
    fn same_request_gives_same_plan() {
        let request = request("Kyoto", 5, &["food", "art"]);
        assert_eq!(plan(&request, none()).json(), plan(&request, none()).json());
    }

    #[test]
    fn interests_take_turns() {
        let plan = plan(&request("Rome", 1, &["food", "art", "sport"]), none());
        let of = |name, slot, text| {
            catalogue::interest(name).unwrap().ideas(slot).iter().any(|idea| idea.text == text)
        };
        assert!(of("food", Slot::Morning, plan.days[0].morning));
        assert!(of("art", Slot::Afternoon, plan.days[0].afternoon));
        assert!(of("sport", Slot::Evening, plan.days[0].evening));
    }

    #[test]
    fn wet_day_stays_indoors() {
        let rain = DayWeather { date: "2026-05-01".into(), summary: "rain".into(), wet: true };
        let forecast = Weather::Forecast { days: vec![rain; 5], note: None };
        let plan = plan(&request("Bergen", 5, &["nature"]), forecast);
        let outdoor: HashSet<_> = INTERESTS
            .iter()
            .flat_map(|interest| Slot::ALL.into_iter().flat_map(|slot| interest.ideas(slot)))
            .filter(|idea| idea.outdoor)
            .map(|idea| idea.text)
            .collect();
        assert!(ideas(&plan).iter().all(|idea| !outdoor.contains(idea)), "{plan:?}");
    }

    #[test]
    fn text_and_json_say_the_same() {
        let sun = DayWeather { date: "2026-05-01".into(), summary: "sunny, 14 to 25 °C".into(), wet: false };
        let forecast = Weather::Forecast { days: vec![sun], note: Some("a guess".into()) };
        let mut request = request("Rome", 2, &["food"]);
        request.unknown_interests = vec!["golf".to_owned()];
        // A forecast may be shorter than the plan.
        let plan = plan(&request, forecast);
        let text = plan.text();
        for line in [
            "2 days in Rome (food)",
            "No ideas for: golf.",
            "Day 1 (2026-05-01): sunny, 14 to 25 °C\n",
            "Day 2\n",
            "Weather: a guess\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        let json: serde_json::Value = serde_json::from_str(&plan.json()).unwrap();
        assert_eq!(json["destination"], "Rome");
        assert_eq!(json["days"][0]["weather"]["summary"], "sunny, 14 to 25 °C");
        assert_eq!(json["days"][1]["weather"], serde_json::Value::Null);
        assert!(text.contains(json["days"][1]["evening"].as_str().unwrap()));
        assert_eq!(json["unknown_interests"][0], "golf");
    }
}
