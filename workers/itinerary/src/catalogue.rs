//! What there is to do, by interest and time of day: data, and nothing that depends on a place.
//!
//! The ideas hold for any destination, so the catalogue never claims something about a city that it
//! does not know. Outdoor ideas are marked, because a wet day prefers the others.

/// A part of a day for which one idea is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Morning,
    Afternoon,
    Evening,
}

impl Slot {
    pub(crate) const ALL: [Self; 3] = [Self::Morning, Self::Afternoon, Self::Evening];
}

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Idea {
    pub(crate) text: &'static str,
    pub(crate) outdoor: bool,
}

/// The ideas of one interest: for each slot, five.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) name: &'static str,
    ideas: [[Idea; 5]; 3],
}

impl Interest {
    pub(crate) fn ideas(&self, slot: Slot) -> &[Idea] {
        &self.ideas[slot as usize]
    }
}

/// Finds an interest by its name, in any case of letters.
pub(crate) fn interest(name: &str) -> Option<&'static Interest> {
    INTERESTS.iter().find(|interest| interest.name.eq_ignore_ascii_case(name))
}

const fn indoors(text: &'static str) -> Idea {
    Idea { text, outdoor: false }
}

const fn outdoors(text: &'static str) -> Idea {
    Idea { text, outdoor: true }
}

/// Every interest that is known, in the order in which they fill in for one another.
pub(crate) static INTERESTS: [Interest; 10] = [
    Interest {
        name: "culture",
        ideas: [
            [
                indoors("Visit the city's main museum before the crowds arrive"),
                outdoors("Join a guided walk through the old town"),
                indoors("See the cathedral, temple or mosque that the place is known for"),
                indoors("Tour the opera house or the town's oldest theatre"),
                indoors("Look round a library with a historic reading room"),
            ],
            [
                indoors("Browse a smaller museum that specialises in local life"),
                indoors("Take a workshop in a local craft"),
                outdoors("Follow an architecture trail from square to square"),
                indoors("Visit a cultural centre and its current exhibition"),
                indoors("Hear a lunchtime or afternoon concert"),
            ],
            [
                indoors("See a play, an opera or a dance performance"),
                indoors("Listen to traditional music in a small venue"),
                outdoors("Walk the lit monuments after dark"),
                indoors("Watch a local film with subtitles in an independent cinema"),
                indoors("Join an open evening at a gallery or a cultural club"),
            ],
        ],
    },
    Interest {
        name: "food",
        ideas: [
            [
                indoors("Eat breakfast where the locals do, standing at the bar"),
                outdoors("Shop at the morning market and taste what is in season"),
                indoors("Take a cooking class that starts at the market"),
                indoors("Visit a bakery and learn what the region bakes"),
                indoors("Taste coffee or tea with a roaster or a tea house"),
            ],
            [
                outdoors("Follow a street food tour"),
                indoors("Have a long lunch of the regional dish"),
                indoors("Taste cheese, oil or chocolate at a producer's shop"),
                outdoors("Picnic with what the market sold"),
                indoors("Visit a brewery, a winery or a distillery"),
            ],
            [
                indoors("Dine at a family-run restaurant"),
                indoors("Share small plates across three bars"),
                indoors("Book a chef's table or a tasting menu"),
                outdoors("Eat at a night market"),
                indoors("Finish with the dessert that the place is proud of"),
            ],
        ],
    },
    Interest {
        name: "nature",
        ideas: [
            [
                outdoors("Walk a park or a botanical garden"),
                outdoors("Climb to a viewpoint for the morning light"),
                outdoors("Watch birds along the nearest river or wetland"),
                indoors("Visit the natural history museum"),
                indoors("See the palm house or the aquarium"),
            ],
            [
                outdoors("Hike a marked trail outside the city"),
                outdoors("Rent a boat or a canoe"),
                outdoors("Cycle along the water"),
                indoors("Tour a greenhouse, a cave or a geology collection"),
                outdoors("Spend the afternoon at the nearest beach, lake or wood"),
            ],
            [
                outdoors("Watch the sunset from a hill"),
                outdoors("Stroll along the waterfront"),
                indoors("Look at the stars at an observatory"),
                outdoors("Walk a quiet park at dusk"),
                indoors("Have supper with a view over the landscape"),
            ],
        ],
    },
    Interest {
        name: "shopping",
        ideas: [
            [
                outdoors("Browse the flea market"),
                indoors("Visit the old covered market hall"),
                indoors("Look for the makers' workshops and their small shops"),
                indoors("Go through the best bookshop in town"),
                outdoors("Walk the main shopping street while it is quiet"),
            ],
            [
                indoors("See a department store with a history"),
                outdoors("Explore the design quarter"),
                indoors("Hunt for second-hand clothes and records"),
                indoors("Look for regional crafts and ceramics"),
                indoors("Compare the delicatessens and take something home"),
            ],
            [
                outdoors("Browse an evening market"),
                indoors("Visit shops that open late, with a drink between them"),
                indoors("Window-shop through the arcades"),
                indoors("Pick a last present at a museum shop's late opening"),
                indoors("Talk to a gallery owner about a small print"),
            ],
        ],
    },
    Interest {
        name: "nightlife",
        ideas: [
            [
                indoors("Sleep in and have a late breakfast"),
                outdoors("Take an easy walk and a strong coffee"),
                indoors("Have brunch with music"),
                indoors("Recover in a bath house or a spa"),
                indoors("Visit a record shop and ask where to go tonight"),
            ],
            [
                indoors("Learn to mix the local drink in a bar class"),
                outdoors("Have an aperitif on a terrace"),
                outdoors("Rest, then visit a rooftop for the view"),
                indoors("Tour a brewery's tap room"),
                indoors("Play at an arcade, a bowling alley or a billiard hall"),
            ],
            [
                indoors("Go from bar to bar in the liveliest quarter"),
                indoors("Dance at a club that plays live sets"),
                indoors("Hear a jazz or a rock concert"),
                indoors("See stand-up or improvised comedy"),
                indoors("Sing at a karaoke bar"),
            ],
        ],
    },
    Interest {
        name: "history",
        ideas: [
            [
                indoors("Tour the castle, the fort or the palace"),
                outdoors("Walk the city walls or the oldest streets"),
                indoors("Visit the history museum"),
                outdoors("See the archaeological site"),
                indoors("Look at the city from its old tower"),
            ],
            [
                outdoors("Follow a guided walk on one period of the city"),
                indoors("Visit a memorial or a museum of the last century"),
                indoors("Explore cellars, crypts or tunnels"),
                indoors("See a historic house with its rooms intact"),
                indoors("Go through the city archive's exhibition"),
            ],
            [
                outdoors("Take a night-time history walk"),
                indoors("Dine in a house that is centuries old"),
                indoors("Hear a talk or a concert in a historic hall"),
                outdoors("See a ghost tour's version of events"),
                indoors("Watch a documentary on the place"),
            ],
        ],
    },
    Interest {
        name: "art",
        ideas: [
            [
                indoors("Visit the art museum's best-known collection"),
                indoors("See a contemporary art space"),
                outdoors("Follow the murals and street art on foot"),
                outdoors("Visit a sculpture garden"),
                indoors("Look at sacred art in a church or a temple"),
            ],
            [
                indoors("Tour artists' studios"),
                indoors("Take a drawing or a pottery class"),
                indoors("See the photography gallery"),
                indoors("Visit a house museum of an artist"),
                outdoors("Go from gallery to gallery in their quarter"),
            ],
            [
                indoors("Use a museum's late opening"),
                outdoors("See a light installation"),
                indoors("Join a gallery opening"),
                indoors("Watch art-house cinema"),
                indoors("Draw with others at an evening life class"),
            ],
        ],
    },
    Interest {
        name: "family",
        ideas: [
            [
                outdoors("Visit the zoo or an animal farm"),
                indoors("Try the hands-on science museum"),
                indoors("Explore the aquarium"),
                outdoors("Ride a boat, a cable car or a funicular"),
                outdoors("Climb about a big playground"),
            ],
            [
                outdoors("Spend the afternoon at a theme park"),
                indoors("Make something at a children's workshop"),
                indoors("See a puppet theatre"),
                indoors("Swim at the indoor pool"),
                outdoors("Rent bicycles and find ice cream"),
            ],
            [
                indoors("Eat early at a place that likes children"),
                indoors("Watch a family show"),
                outdoors("Play mini-golf"),
                indoors("Look at the stars in the planetarium"),
                indoors("Have a board game evening in a café"),
            ],
        ],
    },
    Interest {
        name: "sport",
        ideas: [
            [
                outdoors("Run a loop that locals run"),
                indoors("Swim lengths in a historic pool"),
                indoors("Take a yoga or a martial arts class"),
                outdoors("Row, paddle or surf with an instructor"),
                indoors("Climb at an indoor wall"),
            ],
            [
                outdoors("Hike or cycle a longer route"),
                indoors("Tour the stadium"),
                indoors("Play tennis, golf or table tennis"),
                outdoors("Rent skates or a board"),
                indoors("Try the region's own sport at a club"),
            ],
            [
                indoors("Watch a match"),
                indoors("Go bouldering or to an open training"),
                outdoors("Cycle an easy evening round"),
                outdoors("Play football or basketball on a public court"),
                indoors("Rest in a sauna"),
            ],
        ],
    },
    Interest {
        name: "relaxation",
        ideas: [
            [
                indoors("Have a slow breakfast and read"),
                indoors("Go to a thermal bath or a spa"),
                outdoors("Stretch in the park"),
                indoors("Take a massage"),
                outdoors("Sit in a quiet garden"),
            ],
            [
                outdoors("Float through the afternoon at a pool or a beach"),
                indoors("Drink tea in a tea house"),
                outdoors("Take a boat trip without a plan"),
                indoors("Nap, then write postcards in a café"),
                indoors("Listen to a quiet concert"),
            ],
            [
                outdoors("Walk slowly along the water"),
                indoors("Have a calm dinner with a view"),
                indoors("Take an evening sauna or bath"),
                outdoors("Watch the sunset from a bench"),
                indoors("Read in the hotel's best chair"),
            ],
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_idea_stands_twice() {
        let mut seen = HashSet::new();
        for interest in &INTERESTS {
            for idea in interest.ideas.iter().flatten() {
                assert!(seen.insert(idea.text), "{:?} of {}", idea.text, interest.name);
            }
        }
    }

    #[test]
    fn every_interest_has_something_to_do_in_the_rain() {
        for interest in &INTERESTS {
            for slot in Slot::ALL {
                let dry = interest.ideas(slot).iter().any(|idea| !idea.outdoor);
                assert!(dry, "{}: {slot:?}", interest.name);
            }
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(interest("Food").map(|found| found.name), Some("food"));
        assert!(interest("golf").is_none());
    }
}
