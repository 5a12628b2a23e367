//! A worker process.

use std::error::Error;
use std::os::unix::process::parent_id;
use std::process;
use std::thread;
use std::time::Duration;

use pshared::Shm;

use crate::Cli;
use crate::books::{Job, Turn};
use crate::count::count_file;

/// Counts files until there are none left. It may be killed at any instruction.
pub fn work(name: &str, slot: usize, boss: u32, cli: &Cli) -> Result<(), Box<dyn Error>> {
    end_with(boss, name.to_owned());
    let job = Shm::<Job>::open(name)?;
    loop {
        match job.change(|books| books.next_turn(slot))? {
            Turn::Count(file) => {
                let (counts, outcome) = count_file(&cli.files[file as usize], cli.words);
                let errno = outcome.err().map(|error| error.raw_os_error().unwrap_or_default());
                job.change(|books| books.settle(slot, counts, errno))?;
            }
            Turn::Wait => thread::sleep(Duration::from_millis(1)),
            Turn::Finish => return Ok(()),
        }
    }
}

/// Ends this process soon after the boss ended, however it did; the job's name goes, too.
fn end_with(boss: u32, name: String) {
    thread::spawn(move || {
        while parent_id() == boss {
            thread::sleep(Duration::from_millis(50));
        }
        // Another worker may have been faster: nothing to remove is as good.
        let _ = Shm::<Job>::remove(&name);
        process::exit(1);
    });
}
