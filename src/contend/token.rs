//! The token that names a plan: the contest, its seed, the plan's number, and how it was shrunk.

use std::fmt;
use std::str::FromStr;

use super::report::Error;

/// A step of shrinking, as proptest has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// `simplify`: what it was before fails.
    Simpler,
    /// `complicate`: what it was before doesn't.
    Back,
}

/// Written as five fields: `5e1a-1f-17-s12b1s3-9c3d77aa`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Which contest it is for, when it comes from the environment, which all see.
    pub(super) contest: u32,
    pub(super) seed: u64,
    pub(super) plan: u64,
    pub(super) moves: Vec<Move>,
    /// A number of the plan, to tell whether it can still be made.
    pub(super) check: u32,
}

impl Token {
    pub(super) fn refused(&self, why: &str) -> Error {
        Error::BadReplay { token: self.to_string(), why: why.into() }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}-", self.contest, self.seed, self.plan)?;
        for run in self.moves.chunk_by(|a, b| a == b) {
            let letter = match run[0] {
                Move::Simpler => 's',
                Move::Back => 'b',
            };
            write!(f, "{letter}{}", run.len())?;
        }
        write!(f, "-{:x}", self.check)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token, Error> {
        let refused = |why: &str| Error::BadReplay { token: text.into(), why: why.into() };
        let parts: Vec<&str> = text.trim().split('-').collect();
        let &[contest, seed, plan, moves, check] = parts.as_slice() else {
            return Err(refused("it has five fields with - between them; copy all of it"));
        };
        let number = |part: &str| u64::from_str_radix(part, 16).map_err(|_| refused("its fields are hexadecimal"));
        let narrow = |part: &str| number(part).map(|number| number as u32);
        Ok(Token {
            contest: narrow(contest)?,
            seed: number(seed)?,
            plan: number(plan)?,
            moves: read_moves(moves)
                .ok_or_else(|| refused("its fourth field is made of s and b, each with a number"))?,
            check: narrow(check)?,
        })
    }
}

/// No plan is shrunk in more steps.
const MOST_MOVES: usize = 1_000_000;

fn read_moves(text: &str) -> Option<Vec<Move>> {
    let mut moves = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let step = match letter {
            's' => Move::Simpler,
            'b' => Move::Back,
            _ => return None,
        };
        let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |at| at + 1);
        let times: usize = rest[1..digits].parse().ok()?;
        if moves.len().checked_add(times)? > MOST_MOVES {
            return None;
        }
        moves.resize(moves.len() + times, step);
        rest = &rest[digits..];
    }
    Some(moves)
}
