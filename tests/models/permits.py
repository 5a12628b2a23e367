"""The permits of src/backend/futex/permits.rs: a robust slot is a permit, waiters sleep on the relay and on all the slots.

Threads by role:
  a  acquire and release      t  the same with a time limit      y  try to acquire      h  acquire and keep

Variants, which must fail:
  no_second_look    who acquired doesn't look whether another permit is free and marked
  announce_busy     list_op_pending leaves the relay for a slot that doesn't look free
  wait_unannounced  list_op_pending doesn't name the relay while waiting
  forget_waiters    a release stores 0
  clear_apart       WAITERS is dropped by a step of its own, and nobody is woken with it
  clock_first       a timed waiter that was woken looks at its clock before the slots
  never_ask         the oracle isn't asked about owners whose death the kernel didn't mark
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep_any


class Permits(Program):
    def __init__(self, roles, slots, rounds=1, variant=None, slices=False, marked=True, old_kernel=False, blind=False, apart=True):
        self.roles, self.locks, self.rounds, self.variant = roles, slots, rounds, variant
        self.slices, self.marked, self.old_kernel = slices or blind, marked, old_kernel
        self.blind, self.apart = blind, apart
        self.threads, self.relay = len(roles), slots

    def order(self, me, k):
        """The slot that the thread comes to next. It begins with one by its id, which need not be another's."""
        return (me * self.apart + k) % self.locks

    def words(self):
        return [FREE] * (self.locks + 1)

    def first(self, me):
        return ("quick", 1, 0)

    def may_rest(self, world):
        """Keepers may keep, and others sleep for ever while all permits are with keepers that live."""
        slots = world.words[:self.locks]
        taken = all(owner is not None and world.at[owner] == ("keep",) for owner, _, _ in slots)
        return all(
            place in (DONE, DEAD, ("keep",)) or place[0] == "$asleep" and not world.woken[me] and taken
            for me, place in enumerate(world.at)
        )

    def wrong(self, world):
        for slot in range(self.locks):
            owner = world.words[slot][0]
            if owner is None:
                continue
            place = world.at[owner]
            if place == DONE:
                return f"permit lost: {owner} is done and has slot {slot}"
            if self.marked and place == DEAD:
                return f"unmarked: {owner} is dead and has slot {slot}"
            if place != DEAD and world.pending[owner] != slot and slot not in world.walk(owner):
                return f"uncovered: slot {slot} of {owner} at {place}"
        return None

    # acquire_at_once

    def quick(self, world, me, round, k):
        if k == self.locks:
            return ("announce", round)
        slot = self.order(me, k)
        if world.words[slot] != FREE:
            return ("quick", round, k + 1)
        world.pending[me] = slot
        return ("take_at_once", round, k)

    def take_at_once(self, world, me, round, k):
        slot = self.order(me, k)
        if world.words[slot] == FREE:
            world.words[slot] = (me, False, False)
            return ("link_at_once", round, slot)
        return ("take_back_announcement", round, k)

    def take_back_announcement(self, world, me, round, k):
        world.pending[me] = None
        return ("quick", round, k + 1)

    def link_at_once(self, world, me, round, slot):
        world.link(me, slot)
        return self.inside(me, round, slot)

    # acquire; `asks` after a slice

    def announce(self, world, me, round):
        if self.variant != "wait_unannounced":
            world.pending[me] = self.relay
        return ("look", round, 0, False)

    def look(self, world, me, round, k, asks):
        slot = self.order(me, k)
        word = world.words[slot]
        if word[0] is None or self.variant == "announce_busy" and any(w[0] is None for w in world.words[: self.locks]):
            world.pending[me] = slot
            return ("take", round, k, asks, word)
        if k + 1 < self.locks:
            return ("look", round, k + 1, asks)
        # It asks, unless it asked about this lock just now.
        leave = [("give_up",)] + [("bury", round, 0, ("give_up",), False)] * (not self.marked)
        if self.roles[me] == "y":
            return [(world.copy(), then) for then in leave]
        wait = ("mark", round, 0, ())
        if asks and self.variant != "never_ask":
            wait = ("bury", round, 0, wait, False)
        # Its time may be up at any look.
        return [(world.copy(), then) for then in [wait] + leave] if self.roles[me] == "t" else wait

    def take(self, world, me, round, k, asks, word):
        slot = self.order(me, k)
        if world.words[slot] != word or word[0] is not None:
            return ("look_again", round, asks)
        world.words[slot] = (me, word[1], False)
        return ("link", round, slot)

    def look_again(self, world, me, round, asks):
        world.pending[me] = None if self.variant == "wait_unannounced" else self.relay
        return ("look", round, 0, asks)

    def mark(self, world, me, round, slot, seen):
        owner, waiters, died = world.words[slot]
        if owner is None:
            return ("look", round, 0, False)
        world.words[slot] = word = (owner, True, died)
        seen += ((slot, word),)
        if slot + 1 < self.locks:
            return ("mark", round, slot + 1, seen)
        timed = self.roles[me] == "t" or self.slices
        return sleep_any(((self.relay, FREE),) + (() if self.blind else seen), ("slept", round), timed)

    def slept(self, world, me, round, how):
        if self.roles[me] == "t" and how == "woken" and self.variant == "clock_first":
            return ("give_up",)
        return ("look", round, 0, how == "timeout" and not self.marked)

    def bury(self, world, me, round, slot, otherwise, found):
        """bury_the_gone; goes on with `otherwise` if nobody was."""
        if slot == self.locks:
            return ("look", round, 0, False) if found else otherwise
        owner, waiters, _ = world.words[slot]
        if owner is not None and world.at[owner] == DEAD:
            world.words[slot], found = (None, waiters, True), True
        return ("bury", round, slot + 1, otherwise, found)

    def give_up(self, world, me):
        world.pending[me] = None
        return DONE

    def link(self, world, me, round, slot):
        world.link(me, slot)
        return ("announce_second_look", round, slot)

    def announce_second_look(self, world, me, round, slot):
        if self.variant == "no_second_look":
            return self.take_back(world, me, round, slot)
        world.pending[me] = self.relay
        return ("second_look", round, slot, 0)

    def second_look(self, world, me, round, slot, other):
        if other == self.locks:
            return self.take_back(world, me, round, slot)
        owner, waiters, _ = world.words[other]
        if owner is None and waiters:
            return ("hand_on", other, ("take_back", round, slot))
        return ("second_look", round, slot, other + 1)

    def take_back(self, world, me, round, slot):
        world.pending[me] = None
        return self.inside(me, round, slot)

    def inside(self, me, round, slot):
        return ("keep",) if self.roles[me] == "h" else ("announce_release", round, slot)

    def keep(self, world, me):
        return []

    # release

    def announce_release(self, world, me, round, slot):
        world.pending[me] = slot
        return ("unlink", round, slot)

    def unlink(self, world, me, round, slot):
        world.unlink(me, slot)
        return ("release", round, slot)

    def release(self, world, me, round, slot):
        waiters = world.words[slot][1]
        world.words[slot] = (None, waiters and self.variant != "forget_waiters", False)
        return ("hand_on", slot, ("released", round)) if waiters else ("released", round)

    def hand_on(self, world, me, slot, then):
        return [
            (after, then if woken else ("clear_and_wake_all", slot, then)) for after, woken in world.wake(self.relay, 1)
        ]

    def clear_and_wake_all(self, world, me, slot, then):
        owner, _, died = world.words[slot]
        world.words[slot] = (owner, False, died)
        count = 0 if self.variant == "clear_apart" else ALL
        return [(after, then) for after, _ in world.wake(self.relay, count)]

    def released(self, world, me, round):
        world.pending[me] = None
        return DONE if round == self.rounds else ("quick", round + 1, 0)


if __name__ == "__main__":
    report = Report()
    for roles, slots, kills in [("aa", 1, 2), ("aa", 2, 1), ("aaa", 1, 1), ("aty", 1, 1), ("aah", 2, 1), ("ath", 2, 1), ("aaa", 2, 1)]:
        report.holds(f"{roles}, {slots} permits, killed anywhere", Permits(roles, slots), kills)
    for roles, kills in [("aa", 2), ("aah", 1)]:
        report.holds(f"{roles}, 2 permits, all begin with the same", Permits(roles, 2, apart=False), kills)
    for roles, kills in [("aaa", 1), ("aat", 1)]:
        report.long(f"{roles}, 2 permits, all begin with the same", Permits(roles, 2, apart=False), kills)
    for roles, slots, kills in [("aaa", 2, 2), ("aat", 2, 2), ("aahh", 2, 1), ("ahhh", 2, 1)]:
        report.long(f"{roles}, {slots} permits", Permits(roles, slots), kills)
    report.holds("aa, 1 permit, twice each", Permits("aa", 1, rounds=2), 2)
    report.holds("aa, 1 permit: without futex_waitv", Permits("aa", 1, blind=True), 1)
    report.holds("aty: deaths that the kernel doesn't mark", Permits("aty", 1, slices=True, marked=False), 1)
    report.long("aat: the same, 2 permits", Permits("aat", 2, slices=True, marked=False), 1)
    report.long("aah, 2 permits: without futex_waitv", Permits("aah", 2, blind=True), 1)
    report.holds("aaa: deaths that the kernel doesn't mark", Permits("aaa", 1, slices=True, marked=False), 1)

    def fails(name, roles, slots, kills, problem, **how):
        report.fails(name, Permits(roles, slots, **how), kills, problem)

    fails("no second look", "aahh", 2, 1, "hang", variant="no_second_look")
    fails("a busy slot is announced", "aah", 2, 1, "hang", variant="announce_busy")
    fails("a waiter doesn't announce the relay", "aaa", 1, 1, "hang", variant="wait_unannounced")
    fails("a release stores 0", "aaa", 1, 1, "hang", variant="forget_waiters")
    fails("WAITERS dropped apart from the waking", "aaa", 1, 0, "hang", variant="clear_apart")
    fails("a woken timed waiter looks at its clock first", "aat", 1, 0, "hang", variant="clock_first")
    fails("an unmarked death and no oracle", "aa", 1, 1, "hang", variant="never_ask", slices=True, marked=False)
    fails("the kernel before Linux 6.2", "aaa", 1, 1, "hang", old_kernel=True)
    report.holds("the same with waiters that look once a second", Permits("aaa", 1, old_kernel=True, slices=True), 1)
    report.exit()
