//! How far the work is, for whoever looks at a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Draws on standard error, if that is a terminal.
pub fn progress_bar(len: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
    ProgressBar::new(len)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what.to_owned())
}
