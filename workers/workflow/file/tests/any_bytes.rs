//! No file makes the reader panic, and what it gives is what another reading gives.

use proptest::prelude::*;
use workflow_file::workflows;

/// Words and signs of workflow files, put together at random: nearer to real files than bytes are.
const PIECES: [&str; 60] = [
    "name",
    "tasks",
    "id",
    "type",
    "target",
    "input",
    "retry",
    "for_each",
    "items",
    "workflow",
    "compensate",
    "schedule",
    "timeout",
    "parameters",
    "dependencies",
    "when",
    "cron",
    "priority",
    "metadata",
    "max_attempts",
    ": ",
    ": ",
    ": ",
    ":",
    "\n",
    "\n",
    "\n  ",
    "\n    ",
    "\n- ",
    "\n  - ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "|\n",
    ">\n",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "---\n",
    "...\n",
    "# ",
    "?",
    "~",
    "30s",
    "1.5",
    "0x1F",
    "-7",
    "true",
    "\\ud83d\\ude00",
    "\\",
    "\t",
    "{{item}}",
    "é",
    "\u{feff}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = workflows("any", &bytes);
    }

    #[test]
    fn text(text in "\\PC{0,200}") {
        let _ = workflows("any", text.as_bytes());
    }

    #[test]
    fn pieces(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..80)) {
        let text = pieces.concat();
        let read = workflows("any", text.as_bytes());
        if let Err(error) = &read {
            prop_assert!(!error.problems.is_empty() && !error.to_string().is_empty());
            prop_assert!(error.problems.iter().all(|problem| problem.place.line > 0 && problem.place.column > 0));
        }
        prop_assert_eq!(read, workflows("any", text.as_bytes()));
    }

    #[test]
    fn durations(text in "[0-9.smhd]{0,24}|\\PC{0,12}") {
        let _ = workflow_file::duration::parse(&text);
    }

    /// A file that is one character away from a good one.
    #[test]
    fn near_misses(at in 0_usize..2_000, with in prop::sample::select(&PIECES[..]), cut in 0_usize..6) {
        let good = include_str!("../../examples/itinerary.yaml");
        let start = (0..=at.min(good.len())).rev().find(|at| good.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + cut..=good.len()).find(|at| good.is_char_boundary(*at)).unwrap_or(good.len());
        let _ = workflows("any", format!("{}{with}{}", &good[..start], &good[end..]).as_bytes());
    }
}
