//! What may go wrong at a kill point.

/// What went wrong.
#[derive(Debug)]
pub enum Problem {
    /// Somebody who survived didn't come through: who.
    Stuck(String),
    /// Something else that is promised doesn't hold: what.
    Broken(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::Stuck(who) => write!(f, "stuck: {who}"),
            Problem::Broken(what) => f.write_str(what),
        }
    }
}

/// A claim: a problem unless it holds.
pub fn claim(holds: bool, what: impl FnOnce() -> String) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(Problem::Broken(what())) }
}
