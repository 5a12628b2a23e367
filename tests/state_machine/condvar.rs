//! `Condvar`: a box of letters, whose receivers wait until there is one.

use pshared::backend::Backend;
use pshared::generic::{Condvar, Mutex, MutexGuard};
use pshared::{LockResult, ShmSafe};

use super::{BRIEF, LONG, state_machine, taken};
use crate::support::plans::{Expected, Subject};

state_machine!(letters, Model, cases = 160);

#[repr(C)]
#[derive(ShmSafe)]
struct Mailbox<B: Backend> {
    letters: Mutex<u32, B>,
    arrived: Condvar<B>,
}

/// All but those that lock and the notifications ask for the lock and, but for `Unlock` and `PutAfterwards`, leave it held.
#[derive(Clone, Copy, Debug)]
enum Op {
    Lock,
    Unlock,
    /// To lock and to take a letter, if the lock is free.
    LockAndReceive,
    /// To lock and to put a letter, if the lock is free.
    LockAndPut,
    /// To take a letter.
    Receive,
    ReceiveForLong,
    ReceiveBriefly,
    /// One letter, and to tell one receiver.
    Put,
    /// The same, telling it when the lock is given back.
    PutAndUnlock,
    /// Two letters, and to tell all.
    PutTwo,
    /// With or without the lock, and with nothing new.
    NotifyOne,
    NotifyAll,
}
use Op::*;

struct Model<B: Backend> {
    owner: Option<usize>,
    letters: u32,
    for_the_lock: Vec<usize>,
    for_a_letter: Vec<usize>,
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Default for Model<B> {
    fn default() -> Self {
        let backend = std::marker::PhantomData;
        Model { owner: None, letters: 0, for_the_lock: Vec::new(), for_a_letter: Vec::new(), backend }
    }
}

fn left(letters: u32) -> String {
    format!("{letters} left")
}

/// The guard; letters are whole or not there, so a death is no matter.
fn in_spite_of_deaths<'a, B: Backend>(
    mailbox: &Mailbox<B>,
    result: LockResult<MutexGuard<'a, u32, B>>,
) -> Result<(MutexGuard<'a, u32, B>, bool), &'static str> {
    let (guard, cause) = taken(result)?;
    if cause.is_some() {
        mailbox.letters.clear_poison();
    }
    Ok((guard, cause.is_some()))
}

/// A letter, or `false` where there was none in time. Another's death ends a wait, so that begins again.
fn receive<'a, B: Backend>(
    mailbox: &'a Mailbox<B>,
    mut guard: MutexGuard<'a, u32, B>,
    op: Op,
) -> Result<(MutexGuard<'a, u32, B>, bool), &'static str> {
    loop {
        let none = |letters: &mut u32| *letters == 0;
        let timeout = if matches!(op, ReceiveBriefly) { BRIEF } else { LONG };
        let waited = match op {
            Receive => mailbox.arrived.wait_while(guard, none),
            _ => match mailbox.arrived.wait_timeout_while(guard, timeout, none) {
                Ok((guard, waited)) if waited.timed_out() => return Ok((guard, false)),
                Ok((guard, _)) => Ok(guard),
                Err(error) => Err(error.map(|(guard, _)| guard)),
            },
        };
        let (mut back, again) = in_spite_of_deaths(mailbox, waited)?;
        if !again {
            *back -= 1;
            return Ok((back, true));
        }
        guard = back;
    }
}

impl<B: Backend> Subject for Model<B> {
    type Shared = Mailbox<B>;
    type Op = Op;
    type Hands<'a> = Option<MutexGuard<'a, u32, B>>;
    const OPS: &'static [Op] = &[
        Lock,
        Lock,
        LockAndReceive,
        LockAndReceive,
        LockAndReceive,
        LockAndReceive,
        LockAndPut,
        LockAndPut,
        Unlock,
        Unlock,
        Receive,
        Receive,
        ReceiveForLong,
        ReceiveBriefly,
        Put,
        Put,
        PutAndUnlock,
        PutTwo,
        NotifyOne,
        NotifyAll,
    ];

    fn new_shared() -> Mailbox<B> {
        Mailbox { letters: Mutex::new(0), arrived: Condvar::new() }
    }

    fn act<'a>(mailbox: &'a Mailbox<B>, hand: &mut Self::Hands<'a>, op: Op) -> String {
        let outcome = match op {
            Lock => in_spite_of_deaths(mailbox, mailbox.letters.lock()).map(|(guard, _)| (guard, true)),
            LockAndReceive => in_spite_of_deaths(mailbox, mailbox.letters.lock())
                .and_then(|(guard, _)| receive(mailbox, guard, Receive)),
            Receive | ReceiveForLong | ReceiveBriefly => receive(mailbox, hand.take().unwrap(), op),
            _ => {
                if matches!(op, LockAndPut) {
                    let Ok((guard, _)) = in_spite_of_deaths(mailbox, mailbox.letters.lock()) else {
                        return "not locked".into();
                    };
                    *hand = Some(guard);
                }
                match op {
                    Unlock => drop(hand.take().unwrap()),
                    Put | LockAndPut | PutAndUnlock => **hand.as_mut().unwrap() += 1,
                    PutTwo => **hand.as_mut().unwrap() += 2,
                    _ => {}
                }
                if matches!(op, PutAndUnlock) {
                    *hand = None;
                }
                match op {
                    Put | LockAndPut | PutAndUnlock | NotifyOne => mailbox.arrived.notify_one(),
                    PutTwo | NotifyAll => mailbox.arrived.notify_all(),
                    _ => {}
                }
                return "done".into();
            }
        };
        match outcome {
            Ok((guard, in_time)) => {
                let answer = if in_time { left(*guard) } else { "TimedOut".into() };
                *hand = Some(guard);
                answer
            }
            Err(why) => why.into(),
        }
    }

    /// Receivers that are told for nothing have the lock for a moment, so nothing is to be seen.
    fn look(_: &Mailbox<B>, _: &dyn Fn(u32) -> usize) -> String {
        String::new()
    }

    fn seen(&self) -> String {
        String::new()
    }

    fn told(&mut self, actor: usize, op: Op) -> Expected {
        let done = || Expected::Answer("done".into());
        let owns = self.owner == Some(actor);
        match op {
            NotifyOne | NotifyAll => done(),
            Lock if owns => Expected::Nothing,
            Lock if self.owner.is_none() => {
                self.owner = Some(actor);
                Expected::Answer(left(self.letters))
            }
            Lock => {
                self.for_the_lock.push(actor);
                Expected::Sleep
            }
            LockAndReceive | LockAndPut if self.owner.is_some() => Expected::Nothing,
            LockAndReceive => {
                self.owner = Some(actor);
                self.told(actor, Receive)
            }
            LockAndPut => {
                self.owner = Some(actor);
                self.told(actor, Put)
            }
            _ if !owns => Expected::Nothing,
            Unlock => {
                self.owner = None;
                done()
            }
            Put | PutAndUnlock | PutTwo => {
                self.letters += if matches!(op, PutTwo) { 2 } else { 1 };
                if matches!(op, PutAndUnlock) {
                    self.owner = None;
                }
                done()
            }
            Receive | ReceiveForLong | ReceiveBriefly if self.letters > 0 => {
                self.letters -= 1;
                Expected::Answer(left(self.letters))
            }
            // Others would have the lock, and it would be late.
            ReceiveBriefly if !self.for_the_lock.is_empty() => Expected::Nothing,
            ReceiveBriefly => Expected::Answer("TimedOut".into()),
            Receive | ReceiveForLong => {
                self.owner = None;
                self.for_a_letter.push(actor);
                Expected::Sleep
            }
        }
    }

    fn next(&self) -> Vec<(usize, String)> {
        if self.owner.is_some() {
            return Vec::new();
        }
        let locking = self.for_the_lock.iter().map(|actor| (*actor, left(self.letters)));
        let receivers = if self.letters > 0 { &self.for_a_letter[..] } else { &[] };
        locking.chain(receivers.iter().map(|actor| (*actor, left(self.letters - 1)))).collect()
    }

    fn came_through(&mut self, actor: usize) {
        self.letters -= u32::from(self.for_a_letter.contains(&actor));
        self.died(actor);
        self.owner = Some(actor);
    }

    fn let_go(&mut self, actor: usize) {
        if self.owner == Some(actor) {
            self.owner = None;
        }
    }

    fn died(&mut self, actor: usize) {
        self.let_go(actor);
        self.for_the_lock.retain(|waiting| *waiting != actor);
        self.for_a_letter.retain(|waiting| *waiting != actor);
    }
}
