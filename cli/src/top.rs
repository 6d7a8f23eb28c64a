//! `top`: services and their instances as routers see them, live or once.
//!
//! Everything comes from the admin ports, by looking twice and taking the difference; nothing is called and nothing
//! is changed. [`look`] gets, [`report`] adds up, [`table`] words it, [`mod@print`] and [`live`] show it.

mod admin;
mod draw;
mod live;
mod look;
mod print;
mod prometheus;
mod quantile;
mod report;
mod screen;
mod table;

use std::io::IsTerminal;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::Top;
use crate::failure::Failure;
use look::History;

pub(crate) use admin::Address;

/// Routers that are looked at; each costs two connections per look.
const MAX_ROUTERS: usize = 64;

/// Shows until the user has seen enough, or once.
pub(crate) async fn run(top: Top) -> Result<(), Failure> {
    let mut addresses: Vec<Address> = Vec::new();
    for address in &top.admin {
        if !addresses.contains(address) {
            addresses.push(address.clone());
        }
    }
    if addresses.len() > MAX_ROUTERS {
        return Err(Failure::Usage(format!("--admin names more than {MAX_ROUTERS} routers")));
    }
    if top.once {
        return once(&top, addresses).await;
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failure::Usage("standard output is no terminal; `top --once` needs none".to_owned()));
    }
    live::run(addresses, top.interval).await
}

/// Looks twice at every router and prints the difference. A router that does not answer is told beside the result; if
/// none does, there is no result.
async fn once(top: &Top, addresses: Vec<Address>) -> Result<(), Failure> {
    let mut looking = JoinSet::new();
    for (index, address) in addresses.into_iter().enumerate() {
        let interval = top.interval;
        looking.spawn(async move {
            let mut history = History::default();
            history.note(look::at(&address).await);
            sleep(interval).await;
            history.note(look::at(&address).await);
            (index, address, history)
        });
    }
    let mut routers = looking.join_all().await;
    routers.sort_by_key(|(index, ..)| *index);
    let routers: Vec<_> = routers.into_iter().map(|(_, address, history)| (address, history)).collect();
    let report = report::of(&routers);
    let lost: Vec<_> = report
        .routers
        .iter()
        .filter_map(|router| router.problem.as_ref().map(|problem| format!("{} {problem}", router.address)))
        .collect();
    if lost.len() == report.routers.len() {
        return Err(Failure::NoRouter(lost.join("; ")));
    }
    for router in lost {
        tracing::warn!("not counted: {router}");
    }
    if top.json {
        crate::output::print_json(&print::json(&report))
    } else {
        crate::output::print(&print::text(&report))
    }
}
