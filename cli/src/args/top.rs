//! The arguments of `top`.

use std::time::Duration;

use super::duration;
use crate::top::Address;

/// Looking more often costs the router more than it shows.
const SHORTEST: Duration = Duration::from_millis(100);
/// Beyond this a look is no look any more, and a forgotten unit a likely reason.
const LONGEST: Duration = Duration::from_secs(3600);

const TOP_HELP: &str = "\
Keys:
  q, Esc, Ctrl-C   quit            up/down, j/k, PgUp/PgDn, g/G   scroll
  s                sort by the next column          /    filter by name or address
  i                show or hide instances

Columns:
  CALLS/S, ERR/S   calls that ended; of them UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL,
                   UNAVAILABLE and DATA_LOSS
  P50, P99         time of a call between two looks, at an instance that of its stream; ~ without calls:
                   its average to the first of a response
  OPEN             streams open at instances, and how many an instance takes
  UP               instances that may be picked, of those registered
  STATE            of an instance: as the registry says; ejected, down (no connection), draining (no new
                   calls, open streams), crit or warn, serves (the router asked it: the check is wrong)

Examples:
  switchboard top
  switchboard top --admin router-1:9901 --admin router-2:9901
  switchboard top --once --json | jq '.services[] | select(.errors_per_second > 0)'";

#[derive(Debug, clap::Args)]
#[command(after_help = TOP_HELP)]
pub(crate) struct Top {
    /// Admin port of a router; repeated or comma-separated, several routers add up
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SWITCHBOARD_ADMIN",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:9901"
    )]
    pub(crate) admin: Vec<Address>,
    /// Print one table and end, after two looks
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON document instead of a table
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// Time between two looks: 500ms, 1s, 1m
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "1s")]
    pub(crate) interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        _ => Err("expected 100ms to 1h".to_owned()),
    }
}
