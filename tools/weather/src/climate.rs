//! Weather from long-term means: what a day of the year is like in a city, and one plausible such day.
//!
//! No measurement and no forecast enters: the drawn day is a function of city and date alone, so every
//! instance gives the same answer. The numbers stand in [`cities`].

pub mod cities;

use crate::date::Date;
use cities::City;
use std::f64::consts::TAU;

/// Mean length of a month in days.
const MONTH_DAYS: f64 = 30.44;
/// The table's four months are read at mid-month: mid-January as a share of the year.
const MID_JANUARY: f64 = 0.041;
/// Precipitation in mm per month at which half of the days are wet; fitted by eye to London (50 mm, 11
/// days), Tokyo and Mumbai (700 mm in July, 27 days).
const HALF_WET_MM: f64 = 90.0;
/// At or below this mean temperature of a wet day it snows.
const SNOW_AT_C: f64 = 0.5;

/// When in the year the precipitation falls. "Summer" is the local one: July in the north, January in the south.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rain {
    /// Much the same in every month.
    Even,
    /// More in the warm half-year.
    Summer,
    /// More in the cold half-year, dry summers.
    Winter,
    /// Nearly all in a few months around late summer.
    Monsoon,
    /// Most in late autumn.
    Autumn,
    /// Two rainy seasons, around April and October.
    Double,
}

impl Rain {
    /// Gives the relative weight at `phase`, the share of the year since mid-January.
    fn weight(self, phase: f64, southern: bool) -> f64 {
        let summer = if southern { 0.0 } else { 0.5 };
        let towards = |peak: f64| (TAU * (phase - peak)).cos();
        match self {
            Rain::Even => 1.0,
            Rain::Summer => 1.0 + 0.6 * towards(summer),
            Rain::Winter => 1.0 - 0.85 * towards(summer),
            Rain::Monsoon => (2.5 * towards(summer + 0.04)).exp(),
            Rain::Autumn => (1.2 * towards(summer + 0.29)).exp(),
            Rain::Double => 1.0 + 0.6 * (2.0 * TAU * (phase - 0.25)).cos(),
        }
    }
}

/// Shares of the year since mid-January.
fn phase(date: Date) -> f64 {
    (date.year_fraction() - MID_JANUARY).rem_euclid(1.0)
}

impl City {
    /// Interpolates the mean temperature in °C of a day: the yearly and half-yearly waves through the
    /// table's four months.
    pub fn mean_temperature_c(&self, date: Date) -> f64 {
        let [january, april, july, october] = self.seasons_c.map(f64::from);
        let mean = (january + april + july + october) / 4.0;
        let half_yearly = (january + july - april - october) / 4.0;
        let angle = TAU * phase(date);
        mean + (january - july) / 2.0 * angle.cos()
            + (april - october) / 2.0 * angle.sin()
            + half_yearly * (2.0 * angle).cos()
    }

    /// Gives the mean precipitation in mm per month at a day of the year.
    pub fn mean_monthly_rain_mm(&self, date: Date) -> f64 {
        let southern = self.latitude < 0.0;
        let total: f64 = (0..12).map(|month| self.rain.weight(f64::from(month) / 12.0, southern)).sum();
        f64::from(self.rain_mm) * self.rain.weight(phase(date), southern) / total
    }

    /// Draws the weather of one day, the same at every call.
    pub fn draw(&self, date: Date) -> Day {
        let monthly_rain_mm = self.mean_monthly_rain_mm(date);
        let wet_probability = monthly_rain_mm / (monthly_rain_mm + HALF_WET_MM);
        // Continental climates vary more from day to day than maritime and tropical ones.
        let yearly_range = f64::from(self.seasons_c[0] - self.seasons_c[2]).abs();
        let spread_c = (0.8 + 0.11 * yearly_range).min(4.0);
        let climate_mean_c = self.mean_temperature_c(date);
        let mean_c = climate_mean_c + spread_c * self.anomaly(date);
        // Dry air warms and cools more.
        let daily_range_c = 13.0 - 6.0 * wet_probability - if self.rain == Rain::Even { 1.5 } else { 0.0 };

        let wet = self.uniform(date, Draw::Wet) < wet_probability;
        let precipitation_mm = if wet {
            let mean_amount_mm = (monthly_rain_mm + HALF_WET_MM) / MONTH_DAYS;
            (-mean_amount_mm * (1.0 - self.uniform(date, Draw::Amount)).ln()).max(0.1)
        } else {
            0.0
        };
        let cloud = self.uniform(date, Draw::Cloud) + 0.5 * (wet_probability - 0.4);
        Day {
            date,
            climate_mean_c,
            mean_c,
            min_c: mean_c - daily_range_c / 2.0,
            max_c: mean_c + daily_range_c / 2.0,
            precipitation_mm,
            wet_probability,
            condition: condition(mean_c, precipitation_mm, cloud),
        }
    }

    /// Draws about a standard normal deviation that changes slowly: the mean of five days' draws, so that
    /// tomorrow resembles today.
    fn anomaly(&self, date: Date) -> f64 {
        let sum: f64 = (-2..=2)
            .map(|offset| {
                let day = date.plus_days(offset);
                self.uniform(day, Draw::Temperature) + self.uniform(day, Draw::TemperatureToo) - 1.0
            })
            .sum();
        // The sum of ten uniform draws has a variance of 10/12.
        sum / (10.0_f64 / 12.0).sqrt()
    }

    /// Gives a number in 0..1 for this city, day and purpose: FNV-1a, finished by SplitMix64.
    fn uniform(&self, date: Date, draw: Draw) -> f64 {
        let seed = self
            .name
            .bytes()
            .chain(self.country.bytes())
            .chain(date.days().to_le_bytes())
            .chain([draw as u8]);
        let mut hash = seed.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        (hash >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a random number is for, so that no two purposes share one.
#[derive(Clone, Copy)]
enum Draw {
    Temperature,
    TemperatureToo,
    Wet,
    Amount,
    Cloud,
}

/// The weather of one day.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The day.
    pub date: Date,
    /// The long-term mean temperature of this day of the year, °C.
    pub climate_mean_c: f64,
    /// The drawn mean, °C.
    pub mean_c: f64,
    /// The drawn minimum, °C.
    pub min_c: f64,
    /// The drawn maximum, °C.
    pub max_c: f64,
    /// The drawn precipitation, mm; 0 on a dry day.
    pub precipitation_mm: f64,
    /// How likely any precipitation is at this time of the year, 0 to 1.
    pub wet_probability: f64,
    /// One or two words.
    pub condition: &'static str,
}

fn condition(mean_c: f64, precipitation_mm: f64, cloud: f64) -> &'static str {
    match precipitation_mm {
        mm if mm > 0.0 && mean_c <= SNOW_AT_C => match mm {
            ..2.5 => "light snow",
            ..10.0 => "snow",
            _ => "heavy snow",
        },
        mm if mm >= 10.0 && mean_c > 23.0 => "thunderstorm",
        mm if mm > 0.0 => match mm {
            ..2.5 => "light rain",
            ..10.0 => "rain",
            _ => "heavy rain",
        },
        _ => match cloud {
            ..0.35 => "clear",
            ..0.7 => "partly cloudy",
            _ => "overcast",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::cities::CITIES;
    use super::{City, Rain};
    use crate::date::Date;
    use std::time::{Duration, UNIX_EPOCH};

    /// The given day of 2026.
    fn day_of_2026(day: u64) -> Date {
        Date::local(UNIX_EPOCH + Duration::from_secs((20_454 + day - 1) * 86_400), 0.0)
    }

    fn city(name: &str) -> &'static City {
        CITIES.iter().find(|city| city.name == name).unwrap()
    }

    #[test]
    fn every_row_of_the_table_is_possible() {
        assert!(CITIES.len() >= 300, "{}", CITIES.len());
        for city in CITIES {
            assert!((-90.0..=90.0).contains(&city.latitude), "{city:?}");
            assert!((-180.0..=180.0).contains(&city.longitude), "{city:?}");
            assert!((-400..5000).contains(&city.elevation_m), "{city:?}");
            assert!(city.seasons_c.iter().all(|c| (-45..=40).contains(c)), "{city:?}");
            let (january, july) = (city.seasons_c[0], city.seasons_c[2]);
            // Far from the equator July is summer in the north and winter in the south.
            if city.latitude > 30.0 {
                assert!(january < july, "{city:?}");
            } else if city.latitude < -20.0 {
                assert!(january > july, "{city:?}");
            }
            let twin = |other: &&City| {
                (other.name, other.region, other.country) == (city.name, city.region, city.country)
            };
            assert_eq!(CITIES.iter().filter(twin).count(), 1, "{city:?}");
        }
    }

    #[test]
    fn means_pass_through_the_tables_months() {
        let delhi = city("Delhi");
        for (day, expected) in [(15, 14.0), (107, 29.0), (198, 31.0), (289, 26.0)] {
            let mean = delhi.mean_temperature_c(day_of_2026(day));
            assert!((mean - expected).abs() < 0.6, "day {day}: {mean}");
        }
        // Nothing in the table says so, but the curve through its four months does: May is hotter than July.
        assert!(delhi.mean_temperature_c(day_of_2026(140)) > 31.5);
    }

    #[test]
    fn rain_falls_in_its_season_and_sums_to_the_year() {
        let (january, july) = (day_of_2026(15), day_of_2026(198));
        assert!(city("Mumbai").mean_monthly_rain_mm(july) > 500.0);
        assert!(city("Mumbai").mean_monthly_rain_mm(january) < 20.0);
        assert!(city("Darwin").mean_monthly_rain_mm(january) > 300.0);
        assert!(
            city("Cape Town").mean_monthly_rain_mm(july) > city("Cape Town").mean_monthly_rain_mm(january)
        );
        assert!(city("Athens").mean_monthly_rain_mm(january) > city("Athens").mean_monthly_rain_mm(july));
        for city in CITIES {
            let year: f64 =
                (1..=365).map(|day| city.mean_monthly_rain_mm(day_of_2026(day)) / super::MONTH_DAYS).sum();
            let table = f64::from(city.rain_mm);
            assert!((year - table).abs() <= 0.02 * table + 1.0, "{}: {year} mm", city.name);
        }
    }

    #[test]
    fn a_drawn_day_is_the_same_at_every_call_and_differs_by_city_and_date() {
        let date = day_of_2026(325);
        assert_eq!(city("Paris").draw(date), city("Paris").draw(date));
        assert_ne!(city("Paris").draw(date).mean_c, city("Paris").draw(date.plus_days(1)).mean_c);
        let (portlands, birmingham) = (["Oregon", "Maine"], city("Birmingham"));
        let drawn =
            portlands.map(|region| CITIES.iter().find(|c| c.region == region).unwrap().draw(date).mean_c);
        assert_ne!(drawn[0], drawn[1]);
        assert_ne!(birmingham.draw(date).mean_c, drawn[0]);
    }

    #[test]
    fn drawn_days_keep_to_the_climate_over_the_years() {
        for name in ["London", "Singapore", "Yakutsk", "Phoenix", "Mumbai", "Cape Town"] {
            let city = city(name);
            let years = 30;
            let days: Vec<_> = (1..=365 * years).map(|day| city.draw(day_of_2026(day))).collect();
            let bias: f64 =
                days.iter().map(|day| day.mean_c - day.climate_mean_c).sum::<f64>() / days.len() as f64;
            assert!(bias.abs() < 0.3, "{name}: {bias} degrees");
            let rain_mm = days.iter().map(|day| day.precipitation_mm).sum::<f64>() / years as f64;
            let table = f64::from(city.rain_mm);
            assert!((rain_mm - table).abs() < 0.12 * table, "{name}: {rain_mm} of {table} mm");
            assert!(days.iter().all(|day| day.min_c < day.mean_c && day.mean_c < day.max_c));
        }
    }

    #[test]
    fn it_snows_only_in_the_cold() {
        let july = day_of_2026(198);
        for city in CITIES.iter().filter(|city| city.rain != Rain::Even && city.seasons_c[2] > 10) {
            assert!(!city.draw(july).condition.contains("snow"), "{}", city.name);
        }
        let january = (1..=31).map(|day| city("Yakutsk").draw(day_of_2026(day)));
        assert!(january.filter(|day| day.precipitation_mm > 0.0).all(|day| day.condition.ends_with("snow")));
    }
}
