"""The mutex protocol of src/backend/futex/robust.rs: sticky WAITERS, poison, time limits, the oracle, scribbled words.

Threads by role:
  l  lock and unlock          t  the same with a time limit          y  try_lock
  c  clears the poison: what Poison says, then D in a free word
  s  a peer that scribbles over the word, once, whenever it likes

Variants, which must fail:
  forget_waiters    unlocking stores 0, as libc does: nobody keeps WAITERS for the others
  clear_apart       WAITERS is dropped by a step of its own after a wake-up that found nobody, and nobody is woken with it
  clock_first       a timed waiter that was woken looks at its clock before it tries the word
  wait_unannounced  list_op_pending doesn't name the word while waiting
  never_ask         the oracle isn't asked about an owner whose death the kernel didn't mark
  keep_corrupt      a word with an impossible owner is reported and left
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

LOCK, DIED, POISON = 0, 1, 2
NOBODYS = "scribble"  # an owner part above every thread id


class Mutex(Program):
    def __init__(self, roles, rounds=1, variant=None, slices=False, marked=True, old_kernel=False):
        self.roles, self.rounds, self.variant, self.slices = roles, rounds, variant, slices
        self.threads, self.marked, self.old_kernel = len(roles), marked, old_kernel

    def words(self):
        # The lock; the truth about deaths while it was held; what Poison says.
        return [FREE, False, False]

    def first(self, me):
        return {"s": ("scribble",), "c": ("clear_poison",)}.get(self.roles[me], ("announce_at_once", 1))

    def wrong(self, world):
        if "s" in self.roles:
            return None  # nothing excludes a peer that writes what it likes; but nobody may hang
        inside = [me for me, place in enumerate(world.at) if place[0] == "inside"]
        if len(inside) > 1:
            return f"two owners: {inside}"
        # Who clears it says that all is well, whoever dies meanwhile.
        if inside and world.words[DIED] and not world.words[POISON] and "c" not in self.roles:
            return f"poison lost: {inside} isn't told of a death"
        if world.words[POISON] and not world.words[DIED]:
            return "poison without a death"
        owner = world.words[LOCK][0]
        if self.marked and owner is not None and world.at[owner] == DEAD:
            return f"unmarked: {owner} is dead and owns the lock"
        return None

    def at_kill(self, world, me):
        if world.words[LOCK][0] == me:
            world.words[DIED] = True

    # acquire_at_once

    def announce_at_once(self, world, me, round):
        world.pending[me] = LOCK
        return ("take_at_once", round)

    def take_at_once(self, world, me, round):
        if world.words[LOCK] == FREE:
            world.words[LOCK] = (me, False, False)
            return ("link", round, False)
        return ("take_back_announcement", round)

    def take_back_announcement(self, world, me, round):
        world.pending[me] = None
        return ("announce", round)

    # acquire_contended, wait_for; `slept` from the first wake-up on

    def timed(self, me):
        return self.roles[me] == "t" or self.slices

    def announce(self, world, me, round):
        if self.variant != "wait_unannounced":
            world.pending[me] = LOCK
        return ("look", round, False)

    def look(self, world, me, round, slept):
        word = owner, waiters, _ = world.words[LOCK]
        if owner is None:
            if self.variant == "wait_unannounced":
                world.pending[me] = LOCK
            return ("take", round, slept, word)
        if owner == NOBODYS:
            return ("give_up",) if self.variant == "keep_corrupt" else ("bury_corrupt", word)
        role = self.roles[me]
        # It asks, unless it asked about this lock just now.
        leave = [("ask", round, slept, word, True), ("give_up",)] if self.slices else [("give_up",)]
        if role == "y":
            return [(world.copy(), then) for then in leave]
        wait = ("mark", round, slept, word) if not waiters else self.sleep(me, round, slept, word)
        # Its time may be up at any look.
        return [(world.copy(), then) for then in leave + [wait]] if role == "t" else wait

    def take(self, world, me, round, slept, word):
        if world.words[LOCK] != word:
            return ("look", round, slept)
        _, waiters, died = word
        world.words[LOCK] = (me, waiters or slept, False)
        return ("link", round, died)

    def mark(self, world, me, round, slept, word):
        if world.words[LOCK] != word:
            return ("look", round, slept)
        word = world.words[LOCK] = (word[0], True, word[2])
        return self.sleep(me, round, slept, word)

    def sleep(self, me, round, slept, word):
        return sleep(LOCK, word, ("slept", round, slept, word), self.timed(me))

    def slept(self, world, me, round, slept, word, how):
        if how == "woken" and self.roles[me] == "t" and self.variant == "clock_first":
            return ("give_up",)
        if how == "timeout" and self.slices:
            return ("ask", round, slept, word, False)
        return ("look", round, slept or how == "woken")

    # bury_if_gone

    def ask(self, world, me, round, slept, word, last):
        owner, gone = word[0], False
        if isinstance(owner, int) and self.variant != "never_ask":
            gone = world.at[owner] == DEAD
        if gone:
            return ("bury", round, slept, word, last)
        return ("give_up",) if last else ("look", round, slept)

    def bury(self, world, me, round, slept, word, last):
        if world.words[LOCK] == word:
            world.words[LOCK] = (None, word[1], True)
        elif last:
            return ("give_up",)
        return ("look", round, slept)

    # give_up_corrupt

    def bury_corrupt(self, world, me, word):
        if world.words[LOCK] != word:
            return ("give_up",)
        world.words[LOCK], world.words[DIED] = (None, word[1], True), True
        return ("wake_for_corrupt",) if word[1] else ("give_up",)

    def wake_for_corrupt(self, world, me):
        return [(after, ("give_up",) if woken else ("clear_for_corrupt",)) for after, woken in world.wake(LOCK, 1)]

    def clear_for_corrupt(self, world, me):
        owner, _, died = world.words[LOCK]
        world.words[LOCK] = (owner, False, died)
        return [(after, ("give_up",)) for after, _ in world.wake(LOCK, ALL)]

    def give_up(self, world, me):
        world.pending[me] = None
        return DONE

    # what follows when the lock was taken: Thread::link, Mutex::lock_contended

    def link(self, world, me, round, died):
        world.link(me, LOCK)
        return ("note_death", round) if died else ("inside", round)

    def note_death(self, world, me, round):
        world.words[POISON] = True
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
        if owner != me:
            return ("released", round)  # somebody scribbled over it
        world.words[LOCK] = (None, waiters and self.variant != "forget_waiters", False)
        return ("wake_one", round) if waiters else ("released", round)

    def wake_one(self, world, me, round):
        drop = ("clear_and_wake_all", round) if self.variant != "forget_waiters" else ("released", round)
        return [(after, ("released", round) if woken else drop) for after, woken in world.wake(LOCK, 1)]

    def clear_and_wake_all(self, world, me, round):
        owner, _, died = world.words[LOCK]
        world.words[LOCK] = (owner, False, died)
        count = 0 if self.variant == "clear_apart" else ALL
        return [(after, ("released", round)) for after, _ in world.wake(LOCK, count)]

    def released(self, world, me, round):
        world.pending[me] = None
        return DONE if round == self.rounds else ("announce_at_once", round + 1)

    # Mutex::clear_poison, RobustWord::forget_death

    def clear_poison(self, world, me):
        world.words[POISON] = False
        return ("forget_death",)

    def forget_death(self, world, me):
        owner, waiters, _ = world.words[LOCK]
        if owner is None:
            world.words[LOCK] = (None, waiters, False)
        return DONE

    # the peer

    def scribble(self, world, me):
        words = [(owner, waiters, False) for owner in (NOBODYS, None) for waiters in (False, True)]
        return [(self.with_word(world, word), DONE) for word in words]

    @staticmethod
    def with_word(world, word):
        new = world.copy()
        new.words[LOCK] = word
        return new


if __name__ == "__main__":
    report = Report()
    for roles, kills in [("ll", 2), ("lll", 1), ("llt", 1), ("lty", 1)]:
        report.holds(f"{roles}: lock, timed lock and try, killed anywhere", Mutex(roles), kills)
    for roles, kills in [("lll", 2), ("llt", 2), ("llty", 1), ("llll", 1)]:
        report.long(f"{roles}: the same", Mutex(roles), kills)
    report.holds("ll: twice each", Mutex("ll", rounds=2), 2)
    report.holds("lll: deaths that the kernel doesn't mark", Mutex("lll", slices=True, marked=False), 1)
    report.holds("lt: the same, and a time limit", Mutex("lt", slices=True, marked=False), 1)
    report.holds("lyt: the same, and who tries", Mutex("lyt", slices=True, marked=False), 1)
    report.holds("llc: somebody clears the poison", Mutex("llc"), 2)
    report.holds("lls: a peer scribbles", Mutex("lls", slices=True), 0)

    report.fails("unlocking stores 0", Mutex("lll", variant="forget_waiters"), 1, "hang")
    report.fails("WAITERS dropped apart from the waking", Mutex("lll", variant="clear_apart"), 0, "hang")
    report.fails("a woken timed waiter looks at its clock first", Mutex("llt", variant="clock_first"), 0, "hang")
    report.fails("a waiter doesn't announce the word", Mutex("lll", variant="wait_unannounced"), 1, "hang")
    report.fails("the kernel before Linux 6.2", Mutex("lll", old_kernel=True), 1, "hang")
    report.holds("the same with waiters that look once a second", Mutex("lll", old_kernel=True, slices=True), 1)
    report.fails("an unmarked death and no oracle", Mutex("ll", slices=True, marked=False, variant="never_ask"), 1, "hang")
    report.fails("a corrupt word is left", Mutex("lls", variant="keep_corrupt"), 0, "hang")
    report.exit()
