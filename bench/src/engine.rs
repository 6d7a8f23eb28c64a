//! What the workflow engine does per second, and how long one has to wait for it: client and engine on the same cores, a
//! real disk, everything durable before it is answered.
//!
//! | module | what |
//! |---|---|
//! | `site` | one engine, started anew for each section, and how it is called |
//! | `requests` | what is sent |
//! | `submit` | submissions one by one and in batches, whole lives, memory of what lives |
//! | `pull` | tasks that external workers take and answer; from a submission to its first task |
//! | `endpoints` | every other unary method |
//! | `watch` | ten thousand streams |
//! | `restart` | a start with a million workflows that ended and ten thousand that live |
//! | `table` | the figures, their targets, and ENGINE.md |

mod endpoints;
mod pull;
mod requests;
mod restart;
mod site;
mod submit;
mod table;
mod watch;

use crate::run::{interrupt, say};
use anyhow::{Context, Result, bail};
use site::Lab;
use std::{fs, path::PathBuf};
use table::Table;

const EXAMPLES: &str = "\
Examples:
  switchboard-bench engine                       all of it, some five minutes
  switchboard-bench engine --quick               one minute: shorter windows, a start with 50,000 workflows
  switchboard-bench engine --only submit,pull    these sections only; nothing is written";

/// Measures the workflow engine, writes ENGINE.md.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Shorter windows, fewer workflows
    #[arg(long)]
    quick: bool,
    /// Sections: submit, pull, endpoints, watch, restart
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Folder of ENGINE.md
    #[arg(long, value_name = "DIR", default_value = "bench")]
    out: PathBuf,
    /// Where the engine keeps its data while it is measured: a folder on the disk that is meant
    #[arg(long, value_name = "DIR", default_value = "target/bench-engine")]
    data: PathBuf,
}

/// One part of the run, which starts engines of its own.
struct Section {
    name: &'static str,
    measure: fn(&Lab, &mut Table) -> Result<()>,
}

const SECTIONS: &[Section] = &[
    Section { name: "submit", measure: submit::measure },
    Section { name: "pull", measure: pull::measure },
    Section { name: "endpoints", measure: endpoints::measure },
    Section { name: "watch", measure: watch::measure },
    Section { name: "restart", measure: restart::measure },
];

pub(crate) fn run(args: Args) -> Result<()> {
    for name in &args.only {
        if !SECTIONS.iter().any(|section| section.name == name) {
            let names: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
            bail!("there is no section {name}; there are {}", names.join(", "));
        }
    }
    interrupt::watch()?;
    fs::create_dir_all(&args.data).with_context(|| format!("cannot create {}", args.data.display()))?;
    let lab = Lab::new(&args.data, args.quick)?;
    let mut table = Table::new(args.quick);
    for section in SECTIONS {
        if args.only.is_empty() || args.only.iter().any(|name| name == section.name) {
            say(&format!("-- {}", section.name));
            (section.measure)(&lab, &mut table).with_context(|| format!("section {}", section.name))?;
        }
    }
    drop(lab);
    if args.only.is_empty() {
        let path = args.out.join("ENGINE.md");
        fs::write(&path, table.markdown()).with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("figures are in {}", path.display()));
    }
    Ok(())
}
