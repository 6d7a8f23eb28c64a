//! The arguments of `workflow`.

use clap::{Subcommand, ValueEnum};

use super::{Schedule, pair};

const WORKFLOW_HELP: &str = "\
Examples:
  switchboard workflow run trip.yaml --param destination=Rome     submit, watch, print the results
  switchboard workflow submit trip.yaml                           print the ID, and do not wait
  switchboard workflow list --status failed
  switchboard workflow show WORKFLOW
  switchboard workflow show WORKFLOW --task plan                  the result of a task
  switchboard workflow watch WORKFLOW
  switchboard workflow logs WORKFLOW --level debug
  switchboard workflow retry WORKFLOW
  switchboard workflow schedule create trip.yaml --cron '0 8 * * 1-5' --zone Europe/Rome
  switchboard workflow admin status

Exit codes, beside those of `switchboard --help`:
   0  done; of run and watch: the workflow has COMPLETED
  20  the workflow has FAILED
  21  the workflow was CANCELLED
  65  the file is no workflow; or items of a batch were refused
 130  Ctrl-C: the workflow goes on";

#[derive(Debug, clap::Args)]
#[command(after_help = WORKFLOW_HELP)]
pub(crate) struct Workflow {
    #[command(subcommand)]
    pub(crate) command: WorkflowCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Submit a workflow and print its ID
    Submit(Submit),
    /// Submit a workflow, watch it to its end, and print its results
    Run(Run),
    /// List workflows, the newest first
    List(List),
    /// Show the state of a workflow and its tasks, or the result of a task
    Show(Show),
    /// Watch a workflow to its end
    Watch(Watch),
    /// Print the log of a workflow as it is written
    Logs(Logs),
    /// Cancel a workflow
    Cancel(Cancel),
    /// Run a failed or cancelled workflow on
    Retry(Retry),
    /// Let no new task of a workflow start
    Pause(Pause),
    /// Let a paused workflow go on
    Resume(Resume),
    /// Give a signal to the task that waits for it
    Signal(Signal),
    /// Submit the workflows of several files in one call
    Batch(Batch),
    /// Submit workflows again and again
    Schedule(Schedule),
    /// Look at the engine and rule it; needs the role admin
    Admin(Admin),
}

const FILE_HELP: &str = "\
Example of a file, in YAML; JSON has the same keys:
  name: trip
  input: {destination: Rome}
  tasks:
    - id: weather
      target: weather-tool
      operation: get_weather
      parameters: {location: \"{{workflow.input.destination}}\"}
    - id: plan
      target: itinerary-worker
      dependencies: [weather]
      parameters: {destination: \"{{workflow.input.destination}}\"}

Examples:
  switchboard workflow run trip.yaml
  switchboard workflow run trip.yaml --param destination=Oslo --param days=2
  switchboard workflow submit trip.yaml --input '{\"destination\": \"Oslo\"}' --idempotency-key order-17
  generate-trip | switchboard workflow submit - --json";

/// A file with what is changed of it.
#[derive(Debug, clap::Args)]
pub(crate) struct File {
    /// File with a workflow, in YAML or JSON; - reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: String,
    /// The workflow's input instead of the file's: JSON, or a file of it as @FILE
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// A member of the workflow's input: a value that is JSON (2, true, a list) stays so, others are text; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) params: Vec<(String, String)>,
    /// The workflow's ID; the engine chooses one otherwise
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Key by which the engine knows the same submission again, for 24 hours
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = FILE_HELP)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) file: File,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = FILE_HELP)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: File,
    /// Print the results alone
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print one JSON document at the end: the state, and the results of the last tasks
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkflowState {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard workflow list --status failed --name trip\n  switchboard workflow list --attribute customer=42 --limit 1000 --json | jq -r '.[].workflow_id'"
)]
pub(crate) struct List {
    /// Only those in this state
    #[arg(long, value_enum)]
    pub(crate) status: Option<WorkflowState>,
    /// Only those whose name begins so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) name: String,
    /// Only those with this attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Only children of this workflow
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) parent: String,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard workflow show WORKFLOW\n  switchboard workflow show WORKFLOW --task plan | jq .days"
)]
pub(crate) struct Show {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print the result of this task, as JSON; an item of a for_each is `id[0]`
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Print JSON, with the workflow's input
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard workflow watch WORKFLOW\n  switchboard workflow watch WORKFLOW --json | jq -r 'select(.type == \"task\") | .task_id + \" \" + .status'"
)]
pub(crate) struct Watch {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print each update as a JSON object on a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  switchboard workflow logs WORKFLOW --level warn --task weather --task plan"
)]
pub(crate) struct Logs {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The least level
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub(crate) level: LogLevel,
    /// Only of this task; may be repeated
    #[arg(long = "task", value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Print each line as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchboard workflow cancel WORKFLOW --reason 'wrong city'")]
pub(crate) struct Cancel {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// At once: what runs has no time to end, and its results are dropped
    #[arg(long)]
    pub(crate) force: bool,
    /// Kept in the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard workflow retry WORKFLOW                what did not complete\n  switchboard workflow retry WORKFLOW --from plan    plan and all that depends on it"
)]
pub(crate) struct Retry {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Begin with this task, completed or not
    #[arg(long, value_name = "TASK", default_value = "")]
    pub(crate) from: String,
    /// Kept in the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  switchboard workflow pause WORKFLOW --reason 'waits for the new price list'"
)]
pub(crate) struct Pause {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Kept in the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  switchboard workflow resume WORKFLOW")]
pub(crate) struct Resume {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  switchboard workflow signal WORKFLOW approved\n  switchboard workflow signal WORKFLOW approved --input '{\"by\": \"ann\"}'"
)]
pub(crate) struct Signal {
    /// The workflow
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The signal's name, as the waiting task has it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What becomes the waiting task's result: JSON, or a file of it as @FILE
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file may hold several workflows, separated by ---. One call takes 100 workflows, unless the engine is set otherwise.\n\nExamples:\n  switchboard workflow batch trips/*.yaml\n  switchboard workflow batch trips.yaml --atomic --idempotency-key import-3"
)]
pub(crate) struct Batch {
    /// Files with workflows, in YAML or JSON; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<String>,
    /// All or none
    #[arg(long)]
    pub(crate) atomic: bool,
    /// Let them begin in order
    #[arg(long)]
    pub(crate) ordered: bool,
    /// Key by which the engine knows the same batch again, for 24 hours
    #[arg(long, value_name = "KEY", default_value = "")]
    pub(crate) idempotency_key: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const ADMIN_HELP: &str = "\
Examples:
  switchboard workflow admin status
  switchboard workflow admin pause                      no task starts, no workflow is taken
  switchboard workflow admin pause --lane mail          no task of one lane starts
  switchboard workflow admin lanes
  switchboard workflow admin config history.retention_hours=48 --keep
                                                        what ended is deleted after two days; 0 keeps it
  switchboard workflow admin purge --older-than-hours 168 --dry-run";

#[derive(Debug, clap::Args)]
#[command(after_help = ADMIN_HELP)]
pub(crate) struct Admin {
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// How the engine is
    Status,
    /// Let no task start and take no workflow, also after a restart
    Pause {
        /// Only this lane
        #[arg(long, value_name = "NAME")]
        lane: Option<String>,
    },
    /// End the pause
    Resume {
        /// Only this lane's
        #[arg(long, value_name = "NAME")]
        lane: Option<String>,
    },
    /// Lanes with what waits and runs in them
    Lanes {
        /// Only this lane
        #[arg(value_name = "NAME", default_value = "")]
        name: String,
    },
    /// Change settings while the engine runs, all of them or none
    Config {
        /// A setting: history.retention_hours, lane.mail.workers and so on; an unknown one is told all names
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = pair)]
        settings: Vec<(String, String)>,
        /// Keep them over restarts; those of lanes are kept anyway
        #[arg(long)]
        keep: bool,
        /// Only check them
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete workflows that ended long ago, with their history
    Purge {
        /// Hours since they ended
        #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(i32).range(1..))]
        older_than_hours: i32,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
        /// Delete them
        #[arg(long, conflicts_with = "dry_run")]
        yes: bool,
    },
}
