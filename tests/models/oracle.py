"""The oracle of src/backend/futex/robust.rs (bury_if_gone, invariant 6) where the system gives a thread id away again.

Where the kernel couldn't mark a dead owner, a waiter asks the system whether the owner's thread still exists, and if a thread
of that id does, whether it is another one: it started after the time in the stamp that the owner left beside the word. The
danger is to bury the living: between the questions and the answer's use, the id's first thread may unlock and end, and its
second thread take the lock.

Threads: 0 has the id 7 and ends; 1 gets the same id once 0 is gone; the others have ids of their own. All lock and unlock.

Variants, which must fail:
  keep_stamp      a thread takes the lock while an earlier thread's stamp with its own id stands beside it
  no_second_look  word and stamp aren't looked at again after the system was asked when the living thread started
  ask_once        a thread of that id isn't looked for a second time, with the word unchanged in between

A thread that has ended while its process lives is still found, as one that has ended (`lingers`).

What remains is the residue: nothing joins the last look and the compare-exchange that uses it. `joined` joins them in the
model, which then holds, so the residue is all that is left. It takes a death that the kernel didn't mark, and in between
these two instructions somebody else who buries it and a thread of the dead one's id that takes the lock.
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

LOCK, STAMP = 0, 1
NO_STAMP = (None, 0)
REUSED = 7


class Oracle(Program):
    def __init__(self, others, variant=None, marked=True, joined=False, rounds=1, lingers=False):
        self.threads, self.variant, self.marked, self.joined = 2 + others, variant, marked, joined
        self.lingers = lingers
        self.rounds = rounds  # of those that keep their ids

    def words(self):
        return [FREE, NO_STAMP]

    def first(self, me):
        return ("begin",) if me == 1 else ("announce", 1)

    def tid(self, me):
        return REUSED if me < 2 else me

    def started(self, me):
        return 1 + (me == 1)

    def stamp(self, me):
        return (self.tid(me), self.started(me))

    def living(self, world, tid):
        """The thread that has the id now, if any."""
        for me in range(self.threads):
            if self.tid(me) == tid and world.at[me] not in (DONE, DEAD, ("begin",)):
                return me
        return None

    def exists(self, world, tid):
        """Whether a thread of the id is found."""
        return self.living(world, tid) is not None or self.lingers and tid == REUSED and world.at[1] != DONE

    def may_be_killed(self, world, me):
        # Others' deaths are the business of mutex.py.
        return me == 0

    def wrong(self, world):
        held = ("inside", "stamp_it", "link", "announce_release", "unlink", "release")
        owners = [me for me, place in enumerate(world.at) if place[0] in held]
        return f"two owners: {owners}" if len(owners) > 1 else None

    def begin(self, world, me):
        return ("announce", 1) if world.at[0] in (DONE, DEAD) else None

    def announce(self, world, me, round):
        world.pending[me] = LOCK
        return ("look", round, False)

    def look(self, world, me, round, slept):
        word = owner, waiters, _ = world.words[LOCK]
        if owner is None:
            return ("read_stamp", round, slept, word)
        if owner == self.tid(me):
            return ("ask", round, slept, word, ("would_deadlock",))
        return self.sleep(round, slept, word) if waiters else ("mark", round, slept, word)

    def mark(self, world, me, round, slept, word):
        if world.words[LOCK] != word:
            return ("look", round, slept)
        word = world.words[LOCK] = (word[0], True, word[2])
        return self.sleep(round, slept, word)

    def sleep(self, round, slept, word):
        return sleep(LOCK, word, ("slept", round, slept, word), True)

    def slept(self, world, me, round, slept, word, how):
        look = ("look", round, slept or how == "woken")
        return ("ask", round, slept, word, look) if how == "timeout" else look

    def would_deadlock(self, world, me):
        world.pending[me] = None
        return DONE

    # bury_if_gone: is_gone, the word unchanged, is_gone once more; `otherwise` is where it goes on if the owner isn't

    def ask(self, world, me, round, slept, word, otherwise, again=False):
        task = (round, slept, word, otherwise, again)
        return ("ask_stamp", *task) if self.exists(world, word[0]) else self.gone(world, me, *task)

    def gone(self, world, me, round, slept, word, otherwise, again):
        if again and self.joined:
            return self.bury(world, me, round, slept, word, otherwise)
        if again or self.variant == "ask_once":
            return ("bury", round, slept, word, otherwise)
        return ("look_between", round, slept, word, otherwise)

    def look_between(self, world, me, round, slept, word, otherwise):
        return ("ask", round, slept, word, otherwise, True) if world.words[LOCK] == word else otherwise

    # is_another_of_the_id

    def ask_stamp(self, world, me, round, slept, word, otherwise, again):
        return ("ask_status", round, slept, word, otherwise, again, world.words[STAMP])

    def ask_status(self, world, me, round, slept, word, otherwise, again, stamp):
        if not self.exists(world, word[0]):
            return otherwise
        living = self.living(world, word[0])
        if living is not None and not (stamp[0] == word[0] and self.started(living) > stamp[1]):
            return otherwise
        if self.variant == "no_second_look":
            return self.gone(world, me, round, slept, word, otherwise, again)
        return ("look_at_word", round, slept, word, otherwise, again, stamp)

    def look_at_word(self, world, me, round, slept, word, otherwise, again, stamp):
        if world.words[LOCK] != word:
            return otherwise
        return ("look_at_stamp", round, slept, word, otherwise, again, stamp)

    def look_at_stamp(self, world, me, round, slept, word, otherwise, again, stamp):
        if world.words[STAMP] != stamp:
            return otherwise
        return self.gone(world, me, round, slept, word, otherwise, again)

    def bury(self, world, me, round, slept, word, otherwise):
        if world.words[LOCK] != word:
            return otherwise
        world.words[LOCK] = (None, word[1], True)
        return ("look", round, slept)

    # try_take

    def read_stamp(self, world, me, round, slept, word):
        stamp = world.words[STAMP]
        earlier = stamp[0] == self.tid(me) and stamp != self.stamp(me)
        if earlier and self.variant != "keep_stamp":
            return ("clear_stamp", round, slept, word, stamp)
        return ("take", round, slept, word)

    def clear_stamp(self, world, me, round, slept, word, stamp):
        if world.words[STAMP] == stamp:
            world.words[STAMP] = NO_STAMP
        return ("take", round, slept, word)

    def take(self, world, me, round, slept, word):
        if world.words[LOCK] != word:
            return ("look", round, slept)
        world.words[LOCK] = (self.tid(me), word[1] or slept, False)
        return ("stamp_it", round)

    def stamp_it(self, world, me, round):
        world.words[STAMP] = self.stamp(me)
        return ("link", round)

    def link(self, world, me, round):
        world.link(me, LOCK)
        return ("inside", round)

    def inside(self, world, me, round):
        return ("announce_release", round)

    # release

    def announce_release(self, world, me, round):
        world.pending[me] = LOCK
        return ("unlink", round)

    def unlink(self, world, me, round):
        world.unlink(me, LOCK)
        return ("release", round)

    def release(self, world, me, round):
        owner, waiters, _ = world.words[LOCK]
        if owner != self.tid(me):
            return ("released", round)
        world.words[LOCK] = (None, waiters, False)
        return ("wake_one", round) if waiters else ("released", round)

    def wake_one(self, world, me, round):
        return [
            (after, ("released", round) if woken else ("clear_and_wake_all", round)) for after, woken in world.wake(LOCK, 1)
        ]

    def clear_and_wake_all(self, world, me, round):
        owner, _, died = world.words[LOCK]
        world.words[LOCK] = (owner, False, died)
        return [(after, ("released", round)) for after, _ in world.wake(LOCK, ALL)]

    def released(self, world, me, round):
        world.pending[me] = None
        return DONE if me < 2 or round == self.rounds else ("announce", round + 1)


if __name__ == "__main__":
    report = Report()
    report.holds("an id given away again after a clean end", Oracle(1), 0)
    report.holds("the same with two others", Oracle(2), 0)
    report.holds("a death that the kernel marked", Oracle(1), 1)
    report.long("the same with two others", Oracle(2), 1)
    report.holds("a death that it didn't mark, without the residue", Oracle(1, marked=False, joined=True), 1)
    report.long("the same with two others", Oracle(2, marked=False, joined=True), 1)
    report.holds("the same where the dead one's id lingers", Oracle(1, marked=False, joined=True, lingers=True), 1)
    report.holds("a clean end, and the id lingers", Oracle(1, lingers=True), 0)
    report.long("two others, twice each", Oracle(2, rounds=2), 0)

    report.fails("the residue", Oracle(1, marked=False), 1, "two owners")
    report.fails("an earlier thread's stamp is kept", Oracle(1, variant="keep_stamp"), 0, "two owners")
    report.fails("word and stamp not looked at again", Oracle(2, variant="no_second_look", marked=False, joined=True), 1, "two owners")
    report.fails("the thread looked for once", Oracle(2, variant="ask_once"), 0, "two owners")
    report.exit()
