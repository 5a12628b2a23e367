//! A worker process.

use std::error::Error;
use std::thread;
use std::time::Duration;

use crate::Cli;
use crate::books::{Job, Turn};
use crate::common::Post;
use crate::count::count_file;

/// Counts files until there are none left. It may be killed at any instruction.
pub fn work(post: &Post, cli: &Cli) -> Result<(), Box<dyn Error>> {
    let job = post.take_up::<Job>()?;
    loop {
        match job.change(|books| books.next_turn(post.slot))? {
            Turn::Count(file) => {
                let (counts, outcome) = count_file(&cli.files[file as usize], cli.words);
                let errno = outcome.err().map(|error| error.raw_os_error().unwrap_or_default());
                job.change(|books| books.settle(post.slot, counts, errno))?;
            }
            Turn::Wait => thread::sleep(Duration::from_millis(1)),
            Turn::Finish => return Ok(()),
        }
    }
}
