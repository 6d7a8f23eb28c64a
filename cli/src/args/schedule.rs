//! The arguments of `workflow schedule`.

use clap::{Subcommand, ValueEnum};

use super::pair;

const SCHEDULE_HELP: &str = "\
Examples:
  switchboard workflow schedule create trip.yaml --cron '0 8 * * 1-5' --zone Europe/Rome
  switchboard workflow schedule create poll.yaml --every 10m
  switchboard workflow schedule list
  switchboard workflow schedule pause trip --note 'until the new prices are in'
  switchboard workflow schedule trigger trip            a run now; prints its ID
  switchboard workflow list --attribute schedule=trip   its runs";

#[derive(Debug, clap::Args)]
#[command(after_help = SCHEDULE_HELP)]
pub(crate) struct Schedule {
    #[command(subcommand)]
    pub(crate) command: ScheduleCommand,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Submit a workflow again and again
    Create(Box<CreateSchedule>),
    /// List schedules by their IDs, with their next runs
    #[command(
        after_help = "Example:\n  switchboard workflow schedule list --json | jq -r '.[] | select(.paused) | .schedule_id'"
    )]
    List,
    /// Show one schedule
    #[command(after_help = "Example:\n  switchboard workflow schedule show trip")]
    Show(OneSchedule),
    /// Submit nothing until it is resumed
    #[command(
        after_help = "Example:\n  switchboard workflow schedule pause trip --note 'until the new prices are in'"
    )]
    Pause {
        #[command(flatten)]
        of: OneSchedule,
        /// Why; shown with the schedule
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// End the pause; times that passed meanwhile are left out
    #[command(after_help = "Example:\n  switchboard workflow schedule resume trip")]
    Resume(OneSchedule),
    /// Submit a run now, whatever the clock says, and print its ID
    #[command(
        after_help = "Example:\n  switchboard workflow watch $(switchboard workflow schedule trigger trip)"
    )]
    Trigger(OneSchedule),
    /// Delete a schedule; its runs go on
    #[command(after_help = "Example:\n  switchboard workflow schedule delete trip")]
    Delete(OneSchedule),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneSchedule {
    /// The schedule
    #[arg(value_name = "SCHEDULE")]
    pub(crate) id: String,
}

const CREATE_HELP: &str = "\
A schedule runs by cron (minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly; read in UTC
unless --zone says otherwise) or by an interval. A file may have a `schedule` of its own, which options change:

  name: trip
  schedule: {id: trip, cron: \"0 8 * * 1-5\", time_zone: Europe/Rome}
  tasks: [...]

Examples:
  switchboard workflow schedule create trip.yaml
  switchboard workflow schedule create trip.yaml --cron '0 8 * * 1-5' --zone Europe/Rome --id trip
  switchboard workflow schedule create trip.yaml --every 10m --jitter 30s --overlap allow -p destination=Oslo
  switchboard workflow schedule create trip.yaml --cron @daily --catch-up 6h --end-at 2027-01-01T00:00:00Z";

#[derive(Debug, clap::Args)]
#[command(after_help = CREATE_HELP)]
pub(crate) struct CreateSchedule {
    /// File with a workflow, in YAML or JSON; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: String,
    /// When, in five fields: minute hour day month weekday
    #[arg(long, value_name = "FIELDS", conflicts_with = "every")]
    pub(crate) cron: Option<String>,
    /// The time between two runs, at least 1s
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) every: Option<i64>,
    /// Time zone in which --cron is read: Europe/Rome
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// The schedule's ID; that of the file or one of the engine's otherwise
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// What to do when it is time and the last run has not ended
    #[arg(long, value_enum)]
    pub(crate) overlap: Option<Overlap>,
    /// Delay each run at random, at most this long
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) jitter: Option<i64>,
    /// Make up for the last time that the engine was down, if it is at most this old
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) catch_up: Option<i64>,
    /// No run before: 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(crate) start_at: Option<prost_types::Timestamp>,
    /// No run after
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(crate) end_at: Option<prost_types::Timestamp>,
    /// Let nothing run until it is resumed
    #[arg(long)]
    pub(crate) paused: bool,
    /// A note on the schedule, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// The workflow's input instead of the file's: JSON, or a file of it as @FILE
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// A member of the workflow's input: a value that is JSON (2, true, a list) stays so, others are text; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// Key by which the engine knows the same call again, for 24 hours
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlap {
    /// Leave this time out
    Skip,
    /// Submit all the same
    Allow,
    /// Cancel the last run, and submit
    CancelOther,
}

/// Reads a duration as workflow files have it.
fn milliseconds(text: &str) -> Result<i64, String> {
    let ms = workflow_file::duration::parse(text).and_then(|ms| i64::try_from(ms).ok());
    ms.ok_or_else(|| "expected a duration such as 30s, 10m, 1h30m or 2d".to_owned())
}

/// Reads a time with its offset from UTC.
fn timestamp(text: &str) -> Result<prost_types::Timestamp, String> {
    let expected =
        "expected a time with its offset from UTC, such as 2026-12-01T08:00:00Z or 2026-12-01T08:00:00+01:00";
    text.parse().map_err(|_| expected.to_owned())
}
