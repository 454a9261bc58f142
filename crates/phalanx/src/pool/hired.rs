//! Worker processes: how each is started, and how one that is not forked begins.

use std::io;

use phalanx_shm::family::Family;
use serde::{Deserialize, Serialize};

use super::Bench;
use super::serve::{Initializer, Recipe, serve};
use crate::entry::Role;
use crate::process::birth::{call_it, dress};
use crate::process::method::{Given, start_fresh};
use crate::process::stdio::settled;
use crate::process::{Child, Reservation, StartMethod, fork, given};
use crate::wire;

/// What a worker that is not forked is told.
#[derive(Debug, Serialize, Deserialize)]
struct Hiring {
    bench: [u64; 4],
    streams: Vec<(u8, Given)>,
    initializer: Option<(u64, Vec<u8>)>,
    max_tasks: u64,
    timed: bool,
}

fn name_of(bench: &Bench) -> String {
    format!("Worker-{}", bench.number())
}

/// Starts a worker. `first` says that no thread waits for the pool yet: only then may this one wait for
/// the locks of the standard streams, which such a thread might hold.
pub(super) fn hire(
    method: StartMethod,
    bench: &Bench,
    recipe: &Recipe,
    first: bool,
) -> io::Result<Child> {
    if method == StartMethod::Fork {
        let start = || {
            fork::run(|| {
                call_it(name_of(bench));
                let code = serve(bench, recipe);
                if first {
                    // What was printed; of what this process had not printed yet there was nothing.
                    settled(|| ());
                }
                code
            })
        };
        return if first { settled(start) } else { start() };
    }
    let reservation = Reservation::new()?;
    let (streams, fds) = given(method, Vec::new());
    let mut payload = Role::Worker.payload();
    let initializer = match &recipe.initializer {
        Some(Initializer::Here(first)) => {
            let argument = reservation.while_packing(|| first.encode());
            Some((first.id(), argument.map_err(io::Error::other)?))
        }
        _ => None,
    };
    let hiring = Hiring {
        bench: bench.address(),
        streams,
        initializer,
        max_tasks: recipe.max_tasks,
        timed: recipe.timed,
    };
    wire::encode(&hiring, &mut payload).map_err(io::Error::other)?;
    if let Some(place) = reservation.place() {
        bench.hold_for(place);
    }
    start_fresh(method, reservation, &payload, &fds)
}

/// The whole life of a worker that was not forked; returns its exit code.
pub(crate) fn work(payload: &[u8]) -> i32 {
    let begin = || -> io::Result<(Bench, Recipe)> {
        let hiring: Hiring = wire::decode(payload).map_err(io::Error::other)?;
        let bench = Bench::at(Family::get()?, hiring.bench).map_err(io::Error::other)?;
        dress(hiring.streams)?;
        let Hiring { initializer, max_tasks, timed, .. } = hiring;
        let initializer = initializer.map(|(task, argument)| Initializer::Sent(task, argument));
        Ok((bench, Recipe { initializer, max_tasks, timed, ..Recipe::default() }))
    };
    match begin() {
        Ok((bench, recipe)) => {
            call_it(name_of(&bench));
            serve(&bench, &recipe)
        }
        Err(e) => {
            eprintln!("phalanx: a worker cannot begin: {e}");
            102
        }
    }
}
