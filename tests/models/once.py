"""Once: src/backend/futex/once.rs on src/backend/futex/publish.rs, and src/once.rs above them.

One word stands for something that is done once: nobody is at it (0 or OWNER_DIED), a thread is at it, or it is READY for
good. A thread that dies at it is replaced; one that panics notes that, and lets go.

Threads by role:
  c  call_once: does it, unless it is done, or an earlier one panicked     p  the same, and panics
  f  call_once_force: does it even after a panic                           F  the same, and is never killed
  w  wait: never does it; leaves when it is done, or when an earlier one has panicked and nobody is at it
  t  the same with a time limit, which may be up at any look

Whoever may do it (c, p, f) sleeps with every bit of the futex's bitset, a waiter with one that the wake-up which it
passes on hasn't got: two waiters can't go on waking each other.

Variants, which must fail:
  waiters_keep         a waiter that was woken for others goes back to sleep without passing it on
  leavers_keep         a waiter that leaves because of a panic wakes nobody
  new_leavers_keep     the same, if it wasn't woken for that: another may be about to sleep on the mark that it made
  leavers_keep_W       the same, if nobody is asleep yet: the next one sleeps beside the panic that it hasn't seen
  asks_before          a waiter asks for a panic before it marks the word
  unannounced_waiter   a waiter doesn't announce the word, so its death takes a wake-up along
  ready_then_wake      READY is stored first and everybody is woken by the next call
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

WORD, PANICKED, EFFECT = 0, 1, 2
READY = ("ready", False, False)


class Once(Program):
    def __init__(self, roles, variant=None, marked=True):
        self.roles, self.threads, self.variant, self.marked = roles, len(roles), variant, marked

    def words(self):
        # The word; whether somebody panicked; what is done: nothing, half of it or all.
        return [FREE, False, "nothing"]

    def first(self, me):
        return ("look_at_once",)

    def may_be_killed(self, world, me):
        return self.roles[me] != "F"

    def wrong(self, world):
        if any(place[0] == "uses" for place in world.at) and world.words[EFFECT] != "all":
            return f"used unfinished: {world.words}"
        if sum(place[0] in ("begins", "finishes") for place in world.at) > 1:
            return "two at work"
        owner = world.words[WORD][0]
        if self.marked and isinstance(owner, int) and world.at[owner] == DEAD:
            return f"unmarked: {owner} is dead and at work"
        return None

    def wake_doers(self, world):
        """FUTEX_WAKE_BITSET of one, with the bit that waiters haven't got."""
        def is_doer(after):
            return all(self.roles[t] not in "wt" for t in range(self.threads) if after.woken[t] != world.woken[t])

        return [one for one in world.wake(WORD, 1) if is_doer(one[0])] or [(world.copy(), 0)]

    def look_at_once(self, world, me):
        if world.words[WORD] == READY:
            return ("uses",)
        return ("w_announce",) if self.roles[me] in "wt" else ("announce",)

    # who may do it

    def announce(self, world, me):
        world.pending[me] = WORD
        return ("look", False)

    def look(self, world, me, slept):
        word = owner, waiters, _ = world.words[WORD]
        if owner is None:
            return ("take", slept, word)
        if owner == "ready":
            return ("leave", "uses")
        return self.sleep(slept, word) if waiters else ("mark", slept, word)

    def mark(self, world, me, slept, word):
        if world.words[WORD] != word:
            return ("look", slept)
        word = world.words[WORD] = (word[0], True, word[2])
        return self.sleep(slept, word)

    def sleep(self, slept, word):
        # Once a second, for deaths that the kernel doesn't mark.
        return sleep(WORD, word, ("slept", slept, word), not self.marked)

    def slept(self, world, me, slept, word, how):
        return ("bury", word, ("look", slept)) if how == "timeout" else ("look", slept or how == "woken")

    def bury(self, world, me, word, then):
        """bury_if_gone; a waiter goes on as one that was woken if it has done it."""
        if isinstance(word[0], int) and world.at[word[0]] == DEAD and world.words[WORD] == word:
            world.words[WORD] = (None, word[1], True)
            return ("w_look", True) if then[0] == "w_look" else then
        return then

    def leave(self, world, me, then):
        world.pending[me] = None
        return (then,)

    def take(self, world, me, slept, word):
        if world.words[WORD] != word:
            return ("look", slept)
        world.words[WORD] = (me, word[1] or slept, False)
        return ("link",)

    def link(self, world, me):
        world.link(me, WORD)
        return ("ask_poison",)

    def ask_poison(self, world, me):
        if world.words[PANICKED] and self.roles[me] in "cp":
            return ("announce_release",)
        return ("begins",)

    def begins(self, world, me):
        world.words[EFFECT] = "half"
        return ("panics",) if self.roles[me] == "p" else ("finishes",)

    def finishes(self, world, me):
        world.words[EFFECT] = "all"
        return ("announce_publishing",)

    def panics(self, world, me):
        world.words[PANICKED] = True
        return ("announce_release",)

    def announce_publishing(self, world, me):
        world.pending[me] = WORD
        return ("unlink",)

    def unlink(self, world, me):
        world.unlink(me, WORD)
        return ("publish",)

    def publish(self, world, me):
        world.words[WORD] = READY
        if self.variant == "ready_then_wake":
            return ("wake_all",)
        return [(after, ("leave", "uses")) for after, _ in world.wake(WORD, ALL)]

    def wake_all(self, world, me):
        return [(after, ("leave", "uses")) for after, _ in world.wake(WORD, ALL)]

    # one that panicked, or found that another did: unlocks

    def announce_release(self, world, me):
        world.pending[me] = WORD
        return ("unlink_to_release",)

    def unlink_to_release(self, world, me):
        world.unlink(me, WORD)
        return ("release",)

    def release(self, world, me):
        waiters = world.words[WORD][1]
        world.words[WORD] = (None, waiters, False)
        return ("wake_one",) if waiters else ("leave", "ends")

    def wake_one(self, world, me):
        then = lambda woken: ("leave", "ends") if woken else ("clear_and_wake_all",)
        return [(after, then(woken)) for after, woken in world.wake(WORD, 1)]

    def clear_and_wake_all(self, world, me):
        owner, _, died = world.words[WORD]
        world.words[WORD] = (owner, False, died)
        return [(after, ("leave", "ends")) for after, _ in world.wake(WORD, ALL)]

    # who only waits

    def w_announce(self, world, me):
        world.pending[me] = None if self.variant == "unannounced_waiter" else WORD
        return ("w_look", False)

    def w_look(self, world, me, woken):
        word = owner, waiters, _ = world.words[WORD]
        if owner == "ready":
            return ("leave", "uses")
        if self.variant == "asks_before" and owner is None and not waiters and not world.words[PANICKED]:
            return ("w_marks", word, woken)
        if not waiters and self.variant != "asks_before":
            return ("w_marks", word, woken)
        return ("w_asks", word, woken)

    def w_marks(self, world, me, word, woken):
        if world.words[WORD] != word:
            return ("w_look", woken)
        word = world.words[WORD] = (word[0], True, word[2])
        return self.w_sleep(me, word) if self.variant == "asks_before" else ("w_asks", word, woken)

    def w_asks(self, world, me, word, woken):
        if word[0] is None and world.words[PANICKED]:
            keeps = self.variant == "leavers_keep" or self.variant == "new_leavers_keep" and not woken
            return ("leave", "ends") if keeps else ("w_wakes_one",)
        if word[0] is None and woken and self.variant != "waiters_keep":
            return ("w_passes_on",)
        if not word[1]:
            return ("w_marks", word, woken)
        # Its time may be up at any look.
        wait = self.w_sleep(me, word)
        return [(world.copy(), ("leave", "ends")), (world, wait)] if self.roles[me] == "t" else wait

    def w_sleep(self, me, word):
        return sleep(WORD, word, ("w_slept", word), self.roles[me] == "t" or not self.marked)

    def w_wakes_one(self, world, me):
        then = lambda woken: ("leave", "ends") if woken or self.variant == "leavers_keep_W" else ("clear_and_wake_all",)
        return [(after, then(woken)) for after, woken in world.wake(WORD, 1)]

    def w_passes_on(self, world, me):
        return [(after, ("w_look", False)) for after, _ in self.wake_doers(world)]

    def w_slept(self, world, me, word, how):
        if how == "timeout" and not self.marked:
            return ("bury", word, ("w_look", False))
        return ("w_look", how == "woken")

    def uses(self, world, me):
        return DONE

    def ends(self, world, me):
        return DONE


if __name__ == "__main__":
    report = Report()
    report.holds("three that do it", Once("ccc"), 1)
    report.holds("one that does it, two that wait", Once("Fww"), 1)
    report.holds("two that do it, one that waits, two deaths", Once("cFw"), 2)
    report.holds("one that panics, and two that do it or don't", Once("pcF"), 1)
    report.holds("one that panics, two that wait", Once("pww"), 0)
    report.holds("one that panics, three that wait", Once("pwww"), 0)
    report.long("two that do it, two that wait", Once("cFww"), 1)
    report.long("one that panics, one that doesn't care, two that wait", Once("pFww"), 1)
    report.holds("one that panics, one that waits, one for a time", Once("pwt"), 0)
    report.holds("deaths that the kernel doesn't mark", Once("cFw", marked=False), 1)
    report.holds("two that do it, one that waits for a time", Once("cFt"), 2)
    report.long("two that do it, two that wait, one for a time", Once("cFwt"), 1)
    report.long("one that panics, one that doesn't care, two that wait, one for a time", Once("pFwt"), 1)
    report.long("the same with two that wait", Once("cFwt", marked=False), 1)
    report.fails("READY first, then the waking", Once("cc", variant="ready_then_wake"), 1, "hang")
    report.fails("a waiter keeps the wake-up of a death", Once("cFw", variant="waiters_keep"), 1, "hang")
    report.fails("a waiter's death keeps it", Once("cFw", variant="unannounced_waiter"), 2, "hang")
    report.fails("a waiter that leaves keeps it", Once("pww", variant="leavers_keep"), 0, "hang")
    report.fails("a waiter that has just come leaves its mark", Once("pww", variant="new_leavers_keep"), 0, "hang")
    report.fails("a waiter that leaves keeps the mark", Once("pwww", variant="leavers_keep_W"), 0, "hang")
    report.fails("a waiter asks too early", Once("pw", variant="asks_before"), 0, "hang")
    report.exit()
