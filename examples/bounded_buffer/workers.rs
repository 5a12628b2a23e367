//! The worker processes. Each may be killed at any instruction.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::Cli;
use crate::buffer::{Buffer, MAX_LINE, Tally};
use crate::common::Post;

/// Produces or consumes, as the worker's number has it.
pub fn work(post: &Post, cli: &Cli) -> Result<(), Box<dyn Error>> {
    let buffer = post.take_up::<Buffer>()?;
    match post.slot.checked_sub(cli.producers as usize) {
        None => produce(&buffer, post.slot, cli),
        Some(consumer) => consume(&buffer, consumer),
    }
}

/// Puts in every so-many-th line of the files. One that takes over from a dead one learns from the buffer where to go on.
fn produce(buffer: &Buffer, producer: usize, cli: &Cli) -> Result<(), Box<dyn Error>> {
    let step = cli.producers.into();
    let (mut next, all) = buffer.next(producer)?;
    each_line(&cli.files, |number, text| {
        if number == next && number < all {
            buffer.put(producer, text, step)?;
            next += step;
        }
        Ok(())
    })?;
    if next < all { Err("a file became shorter meanwhile".into()) } else { Ok(()) }
}

/// Takes lines out and adds them up, until there are none left.
fn consume(buffer: &Buffer, consumer: usize) -> Result<(), Box<dyn Error>> {
    while let Some(line) = buffer.take(consumer)? {
        let mut tally = Tally::default();
        tally.add(line.number, &line.text);
        buffer.consumed(consumer, tally)?;
    }
    Ok(())
}

/// Shows all lines of all files, with their numbers. A line that is too long comes in pieces.
pub fn each_line(
    files: &[PathBuf],
    mut see: impl FnMut(u64, &[u8]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let (mut number, mut text) = (0, Vec::new());
    for path in files {
        let about = |error| format!("{}: {error}", path.display());
        let mut file = BufReader::new(File::open(path).map_err(about)?);
        while (&mut file).take(MAX_LINE as u64).read_until(b'\n', &mut text).map_err(about)? > 0 {
            see(number, &text)?;
            number += 1;
            text.clear();
        }
    }
    Ok(())
}
