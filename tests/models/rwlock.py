"""The reader-writer protocol of src/backend/futex/rwlock.rs: a robust slot per reader, a robust gate, and what its owner does.

Threads by role:
  r  read and unlock                t  the same with a time limit           y  try_read
  n  read twice, one inside the other
  w  write and unlock               v  the same with a time limit           z  try_write
  u  upgradable read that upgrades  q  the same with try_upgrade
  d  write, downgraded to a read    e  write, downgraded to an upgradable read, downgraded to a read

Variants, which must fail:
  forget_waiters     a reader that unlocks stores 0 in its slot: nobody keeps WAITERS for the writer
  died_is_poison     every owner of the gate that dies poisons, whether it had the data or not
  quiet_first        who takes the gate after a death forgets it before the poison is noted
  clock_first        a timed reader that was woken looks at its clock before it looks at the lock
  gate_only          a waiting reader sleeps on the gate alone, not on its own state too
  keep_state         who takes a dead reader's slot leaves the state as it was
  step_back_quietly  a reader that finds the gate closed doesn't tell a writer that sleeps on its slot
  wake_after         the gate's owner lets readers in, frees the gate, and only then wakes them
  wake_nobody        who takes the gate after a death wakes nobody
  wake_selfishly     a reader that was woken and gets in doesn't pass the wake-up on
  used_late          the bit of a slot is set after the slot is claimed
  nested_waits       a nested read waits at the gate like any other
  upgrade_open       an upgrade doesn't close the gate before it looks at the slots
  crowd_keeps_shut   the reader too many holds the gate without letting waiting readers in
  never_ask          the oracle isn't asked about an owner whose death the kernel didn't mark
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep, sleep_any

GATE = 0
QUIET, OPEN, WRITING, CROWDED = "quiet", "open", "writing", "crowded"
READERS, TIMED = "rtyn", "tv"


class RwLock(Program):
    def __init__(self, roles, slots=1, rounds=None, variant=None, slices=False, marked=True):
        self.roles, self.slots, self.variant = roles, slots, variant
        self.rounds = rounds or (1,) * len(roles)
        self.slices, self.marked = slices, marked
        self.threads, self.locks = len(roles), 1 + slots
        self.each = range(1, 1 + slots)
        self.phase = 1 + 2 * slots
        self.used, self.truth, self.poison = self.phase + 1, self.phase + 2, self.phase + 3

    def state(self, slot):
        return self.slots + slot

    def words(self):
        # The gate and the slots; whether the slot's reader waits; the phase; the slots ever used; the truth about
        # writers that died with the data; what Poison says.
        return [FREE] * (1 + self.slots) + [False] * self.slots + [QUIET, frozenset(), False, False]

    def first(self, me):
        return ("begin", 1)

    def begin(self, world, me, round):
        role = self.roles[me]
        return ("pick", round, False) if role in READERS else ("gate", round, False)

    def end(self, world, me, round):
        world.pending[me] = None
        return DONE if round == self.rounds[me] else ("begin", round + 1)

    def timed(self, me):
        return self.roles[me] in TIMED or self.slices

    def tries(self, me):
        return self.roles[me] in "yz"

    def wrong(self, world):
        readers = [me for me, at in enumerate(world.at) if at[0] in ("reading", "nested_look", "nested", "upgradable", "downgraded")]
        writers = [me for me, at in enumerate(world.at) if at[0] == "writing"]
        if len(writers) > 1 or writers and readers:
            return f"two owners: writers {writers}, readers {readers}"
        if (readers or writers) and world.words[self.truth] and not world.words[self.poison]:
            return f"poison lost: {readers + writers} aren't told of a death"
        if world.words[self.poison] and not world.words[self.truth]:
            return "poison without the death of a writer that had the data"
        for word in range(self.locks):
            owner = world.words[word][0]
            if self.marked and owner is not None and world.at[owner] == DEAD:
                return f"unmarked: {owner} is dead and owns {word}"
        return None

    def at_kill(self, world, me):
        if world.words[GATE][0] == me and world.words[self.phase] == WRITING and world.at[me][0] in (
            "writing", "quieten", "open", "down_claim", "down_open", "down_reset", "down_link", "down_quiet"
        ):
            world.words[self.truth] = True

    def wake_all(self, world, word, then):
        """clear_bit_and_wake_all: one FUTEX_WAKE_OP."""
        owner, _, died = world.words[word]
        world.words[word] = (owner, False, died)
        return [(after, then) for after, _ in world.wake(word, ALL)]

    def add_waiters(self, world, word, value):
        """The compare-exchange before a sleep; the new value, or None."""
        if world.words[word] != value:
            return None
        world.words[word] = (value[0], True, value[2])
        return world.words[word]

    def is_gone(self, world, word):
        owner = world.words[word][0]
        return self.variant != "never_ask" and owner is not None and world.at[owner] == DEAD

    def ask(self, world, me, word, seen, then):
        """bury_if_gone, after a slice."""
        if world.words[word] == seen and self.is_gone(world, word):
            world.words[word] = (None, seen[1], True)
        return then

    # ---- readers: claiming a slot -------------------------------------------------------------------------------

    def pick(self, world, me, round, slept):
        out = []
        for slot in self.each:
            if world.words[slot][0] is None:
                new = world.copy()
                new.pending[me] = slot
                late = self.variant == "used_late" or slot in world.words[self.used]
                out.append((new, ("claim" if late else "mark_used", round, slot, new.words[slot], slept)))
        if out:
            return out
        return ("end", round) if self.tries(me) else ("crowd_gate", round)

    def mark_used(self, world, me, round, slot, word, slept):
        world.words[self.used] |= {slot}
        return ("claim", round, slot, word, slept)

    def claim(self, world, me, round, slot, word, slept):
        if world.words[slot] != word:
            return ("pick", round, slept)
        world.words[slot] = (me, word[1], False)
        if word[2] and self.variant != "keep_state":
            return ("reset", round, slot, slept)
        # At once, where nothing else is to be done: looks at the gate before it links.
        return ("look_at_once", round, slot) if word == FREE and not slept else ("link", round, slot, slept)

    def reset(self, world, me, round, slot, slept):
        world.words[self.state(slot)] = False
        return ("link", round, slot, slept)

    def look_at_once(self, world, me, round, slot):
        if world.words[GATE] == FREE:
            return ("link_at_once", round, slot)
        return ("link", round, slot, False)

    def link_at_once(self, world, me, round, slot):
        world.words[self.used] |= {slot}  # is there already, but in the variant used_late
        world.link(me, slot)
        return ("reading", round, slot)

    def link(self, world, me, round, slot, slept):
        world.link(me, slot)
        return ("look", round, slot, slept)

    # ---- readers: the gate --------------------------------------------------------------------------------------

    def look(self, world, me, round, slot, slept):
        owner, _, died = world.words[GATE]
        if owner is None:
            return ("note", round, slot, slept) if died else ("enter", round, slot, slept)
        return ("look_at_phase", round, slot, slept)

    def note(self, world, me, round, slot, slept):
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("enter", round, slot, slept)

    def look_at_phase(self, world, me, round, slot, slept):
        phase = world.words[self.phase]
        if phase == OPEN:
            return ("enter", round, slot, slept)
        if self.tries(me):
            return ("unlock", round, slot, ("end", round))
        if phase == CROWDED:
            return ("unlock", round, slot, ("outside", round, slept))
        return ("step_back", round, slot, slept)

    def enter(self, world, me, round, slot, slept):
        # A wake-up that this reader doesn't need any more goes on; it may not know that it had one.
        owner, waiters, _ = world.words[GATE]
        if owner is None and waiters and self.variant != "wake_selfishly":
            return self.wake_all(world, GATE, ("reading", round, slot))
        return ("reading", round, slot)

    def step_back(self, world, me, round, slot, slept):
        world.words[self.state(slot)] = True
        return ("tell_writer", round, slot, slept)

    def tell_writer(self, world, me, round, slot, slept):
        then = ("wait", round, slot, slept, False)
        if world.words[slot][1] and self.variant != "step_back_quietly":
            return self.wake_all(world, slot, then)
        return then

    def wait(self, world, me, round, slot, slept, late):
        world.pending[me] = GATE
        if not world.words[self.state(slot)]:
            return ("enter", round, slot, slept)  # granted
        return ("wait_look", round, slot, slept, late)

    def wait_look(self, world, me, round, slot, slept, late):
        gate = world.words[GATE]
        if gate[0] is None:
            return ("try_in", round, slot, slept)
        return ("wait_phase", round, slot, slept, late, gate)

    def wait_phase(self, world, me, round, slot, slept, late, gate):
        if world.words[self.phase] == OPEN:
            return ("try_in", round, slot, slept)
        if late:
            return ("give_up", round, slot)
        if gate[1]:
            return ("$queue", 0, self.sleeps_on(slot, gate), ("slept", round, slot, gate), self.timed(me))
        return ("announce", round, slot, slept, gate)

    def sleeps_on(self, slot, gate):
        words = ((GATE, gate), (self.state(slot), True))
        return words[:1] if self.variant == "gate_only" else words

    def announce(self, world, me, round, slot, slept, gate):
        self.add_waiters(world, GATE, gate)
        return ("wait", round, slot, slept, False)

    def slept(self, world, me, round, slot, gate, how):
        if how == "woken" and self.roles[me] in TIMED and self.variant == "clock_first":
            return ("unlock_waiting", round, slot)
        late = how == "timeout" and self.roles[me] in TIMED
        if how == "timeout" and self.slices:
            return ("wait_ask", round, slot, late, gate)
        return ("wait", round, slot, how == "woken", late)

    def wait_ask(self, world, me, round, slot, late, gate):
        return self.ask(world, me, GATE, gate, ("wait", round, slot, False, late))

    def unlock_waiting(self, world, me, round, slot):
        world.words[self.state(slot)] = False
        return ("unlock", round, slot, ("end", round))

    def try_in(self, world, me, round, slot, slept):
        world.words[self.state(slot)] = False
        return ("look", round, slot, slept)

    def give_up(self, world, me, round, slot):
        granted = not world.words[self.state(slot)]
        world.words[self.state(slot)] = False
        return ("enter", round, slot, False) if granted else ("unlock", round, slot, ("end", round))

    # ---- readers: inside, and out -------------------------------------------------------------------------------

    def reading(self, world, me, round, slot):
        if self.roles[me] == "n":
            return ("nested_look", round, slot)
        return ("unlock", round, slot, ("end", round))

    def nested_look(self, world, me, round, slot):
        if self.variant == "nested_waits" and world.words[GATE][0] is not None:
            return sleep(GATE, world.words[GATE], ("nested_slept", round, slot), False)
        return ("nested", round, slot)

    def nested_slept(self, world, me, round, slot, how):
        return ("nested_look", round, slot)

    def nested(self, world, me, round, slot):
        return ("unlock", round, slot, ("end", round))

    def unlock(self, world, me, round, slot, then):
        world.pending[me] = slot
        return ("unlink", round, slot, then)

    def unlink(self, world, me, round, slot, then):
        world.unlink(me, slot)
        return ("free", round, slot, then)

    def free(self, world, me, round, slot, then):
        _, waiters, _ = world.words[slot]
        world.words[slot] = (None, waiters and self.variant != "forget_waiters", False)
        return ("wake_writer", round, slot, then) if waiters else then

    def wake_writer(self, world, me, round, slot, then):
        if self.variant == "forget_waiters":
            return [(after, then) for after, _ in world.wake(slot, ALL)]
        return self.wake_all(world, slot, then)

    # ---- readers without a slot ---------------------------------------------------------------------------------

    def outside(self, world, me, round, slept):
        world.pending[me] = GATE
        gate = world.words[GATE]
        if gate[0] is None:
            if gate[1]:
                return self.wake_all(world, GATE, ("pick", round, False))
            return ("pick", round, False)
        return ("outside_phase", round, gate, slept)

    def outside_phase(self, world, me, round, gate, slept):
        if world.words[self.phase] != CROWDED:
            return ("pick", round, slept)
        if gate[1]:
            return sleep(GATE, gate, ("outside_slept", round, gate), self.timed(me))
        self.add_waiters(world, GATE, gate)
        return ("outside", round, slept)

    def outside_slept(self, world, me, round, gate, how):
        if how == "timeout" and self.slices:
            return ("outside_ask", round, gate)
        if how == "timeout":
            return ("end", round)
        return ("outside", round, how == "woken")

    def outside_ask(self, world, me, round, gate):
        return self.ask(world, me, GATE, gate, ("outside", round, False))

    def crowd_gate(self, world, me, round):
        return ("gate", round, False)

    def crowd(self, world, me, round):
        world.words[self.phase] = CROWDED
        return ("crowd_scan", round, 1, ())

    def crowd_scan(self, world, me, round, slot, seen):
        if slot > self.slots:
            return ("crowd_wake", round, seen)
        word = world.words[slot]
        if word[0] is None:
            world.pending[me] = slot
            return ("crowd_claim", round, slot, word)
        return ("crowd_mark", round, slot, seen, word)

    def crowd_mark(self, world, me, round, slot, seen, word):
        """Sets WAITERS first and lets the reader in, if it waits, after."""
        marked = word if word[1] else self.add_waiters(world, slot, word)
        if marked is None:
            return ("crowd_scan", round, slot, seen)
        return ("crowd_grant", round, slot, seen + ((slot, marked),))

    def crowd_grant(self, world, me, round, slot, seen):
        if self.variant != "crowd_keeps_shut":
            world.words[self.state(slot)] = False
        return ("crowd_scan", round, slot + 1, seen)

    def crowd_wake(self, world, me, round, seen):
        then = ("$queue", 0, seen, ("crowd_slept", round, seen), self.timed(me))
        if world.words[GATE][1]:
            return self.wake_all(world, GATE, then)
        return then

    def crowd_slept(self, world, me, round, seen, how):
        if how == "timeout" and self.roles[me] in TIMED:
            return ("crowd_last", round, 1)
        if how == "timeout":
            return ("crowd_ask", round, seen)
        return ("crowd_scan", round, 1, ())

    def crowd_ask(self, world, me, round, seen):
        for word, value in seen:
            self.ask(world, me, word, value, None)
        return ("crowd_scan", round, 1, ())

    def crowd_last(self, world, me, round, slot):
        """The time is up: one more look at each."""
        if slot > self.slots:
            return ("quieten", round, ("end", round))
        word = world.words[slot]
        if word[0] is None:
            world.pending[me] = slot
            return ("crowd_claim", round, slot, word)
        return ("crowd_last", round, slot + 1)

    def crowd_claim(self, world, me, round, slot, word):
        if world.words[slot] != word:
            return ("crowd_scan", round, 1, ())
        world.words[slot] = (me, word[1], False)
        return ("crowd_reset", round, slot)

    def crowd_reset(self, world, me, round, slot):
        world.words[self.state(slot)] = False
        return ("crowd_link", round, slot)

    def crowd_link(self, world, me, round, slot):
        world.link(me, slot)
        return ("quieten", round, ("reading", round, slot))

    # ---- the gate -----------------------------------------------------------------------------------------------

    def gate(self, world, me, round, late):
        world.pending[me] = GATE
        word = world.words[GATE]
        if word[0] is None:
            return ("gate_take", round, late, word)
        if late or self.tries(me):
            return ("end", round)
        if not word[1]:
            self.add_waiters(world, GATE, word)
            return ("gate", round, late)
        return sleep(GATE, word, ("gate_slept", round, word), self.timed(me))

    def gate_slept(self, world, me, round, word, how):
        late = how == "timeout" and self.roles[me] in TIMED
        if how == "timeout" and self.slices:
            return ("gate_ask", round, late, word)
        return ("gate", round, late)

    def gate_ask(self, world, me, round, late, word):
        return self.ask(world, me, GATE, word, ("gate", round, late))

    def gate_take(self, world, me, round, late, word):
        if world.words[GATE] != word:
            return ("gate", round, late)
        world.words[GATE] = (me, word[1], False)
        return ("gate_link", round, word[2])

    def gate_link(self, world, me, round, died):
        world.link(me, GATE)
        if died:
            return ("forget", round, True) if self.variant == "quiet_first" else ("gate_note", round)
        return self.have_gate(me, round)

    def gate_note(self, world, me, round):
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("forget", round, False)

    def forget(self, world, me, round, note):
        was, world.words[self.phase] = world.words[self.phase], QUIET
        return ("note_late", round, was) if note else ("wake_for_dead", round)

    def note_late(self, world, me, round, was):
        if was == WRITING:
            world.words[self.poison] = True
        return ("wake_for_dead", round)

    def wake_for_dead(self, world, me, round):
        # Some may have been let in by the dead one, and still sleep.
        then = self.have_gate(me, round)
        if world.words[GATE][1] and self.variant != "wake_nobody":
            return self.wake_all(world, GATE, then)
        return then

    def have_gate(self, me, round):
        role = self.roles[me]
        if role in READERS:
            return ("crowd", round)
        return ("open", round, ("upgradable", round)) if role in "uq" else ("drain", round, 1)

    # ---- writers ------------------------------------------------------------------------------------------------

    def drain(self, world, me, round, slot):
        if slot > self.slots:
            return ("write", round)
        if slot == 1 and not world.words[self.used]:
            return ("write", round)
        if slot not in world.words[self.used]:
            return ("drain", round, slot + 1)
        return ("drain_look", round, slot, False)

    def drain_look(self, world, me, round, slot, late):
        word = world.words[slot]
        if word[0] is None:
            return ("drain", round, slot + 1)
        return ("drain_state", round, slot, late, word)

    def drain_state(self, world, me, round, slot, late, word):
        if world.words[self.state(slot)]:
            return ("drain", round, slot + 1)
        if self.roles[me] == "q":
            return ("open", round, ("quieten", round, ("end", round)))
        if late or self.tries(me):
            return ("quieten", round, ("end", round))
        if word[1]:
            return sleep(slot, word, ("drain_slept", round, slot, word), self.timed(me))
        self.add_waiters(world, slot, word)
        return ("drain_look", round, slot, late)

    def drain_slept(self, world, me, round, slot, word, how):
        late = how == "timeout" and self.roles[me] in TIMED
        if how == "timeout" and self.slices:
            return ("drain_ask", round, slot, late, word)
        return ("drain_look", round, slot, late)

    def drain_ask(self, world, me, round, slot, late, word):
        return self.ask(world, me, slot, word, ("drain_look", round, slot, late))

    def write(self, world, me, round):
        world.words[self.phase] = WRITING
        return ("writing", round)

    def writing(self, world, me, round):
        role = self.roles[me]
        if role == "d":
            return ("down_claim", round)
        if role == "e":
            return ("open", round, ("downgraded", round))
        return ("quieten", round, ("end", round))

    # ---- open for readers: upgradable reads, and downgrades -----------------------------------------------------

    def open(self, world, me, round, then):
        world.words[self.phase] = OPEN
        return ("open_look", round, then)

    def open_look(self, world, me, round, then):
        if world.words[GATE][1]:
            return ("open_grant", round, 1, then)
        return then

    def open_grant(self, world, me, round, slot, then):
        if slot > self.slots:
            return self.wake_all(world, GATE, then)
        world.words[self.state(slot)] = False
        return ("open_grant", round, slot + 1, then)

    def upgradable(self, world, me, round):
        if self.variant == "upgrade_open":
            return ("drain", round, 1)
        return ("close", round)

    def close(self, world, me, round):
        world.words[self.phase] = QUIET
        return ("drain", round, 1)

    def downgraded(self, world, me, round):
        return ("down_claim", round)

    def down_claim(self, world, me, round):
        out = []
        for slot in self.each:
            owner, waiters, died = world.words[slot]
            if owner is None:
                new = world.copy()
                new.pending[me] = slot
                new.words[self.used] |= {slot}
                new.words[slot] = (me, waiters, False)
                out.append((new, ("down_reset", round, slot)))
        # No slot: reads on with the gate, open.
        return out or ("down_open", round)

    def down_open(self, world, me, round):
        world.words[self.phase] = OPEN
        return ("open_look", round, ("quieten", round, ("end", round)))

    def down_reset(self, world, me, round, slot):
        world.words[self.state(slot)] = False
        return ("down_link", round, slot)

    def down_link(self, world, me, round, slot):
        world.link(me, slot)
        return ("quieten", round, ("reading", round, slot))

    # ---- giving the gate back -----------------------------------------------------------------------------------

    def quieten(self, world, me, round, then):
        world.words[self.phase] = QUIET
        return ("gate_announce", round, then)

    def gate_announce(self, world, me, round, then):
        world.pending[me] = GATE
        return ("gate_unlink", round, then)

    def gate_unlink(self, world, me, round, then):
        world.unlink(me, GATE)
        return ("gate_free_at_once", round, then)

    def gate_free_at_once(self, world, me, round, then):
        if not world.words[GATE][1]:
            world.words[GATE] = FREE
            return then
        return ("grant", round, 1, False, then)

    def grant(self, world, me, round, slot, granted, then):
        """Lets in who waited meanwhile, and wakes them before the gate is free."""
        if slot > self.slots:
            free = ("gate_free", round, then)
            if granted and self.variant != "wake_after":
                return self.wake_all(world, GATE, free)
            return free
        if world.words[slot][0] is None:
            return ("grant", round, slot + 1, granted, then)
        waits = world.words[self.state(slot)]
        world.words[self.state(slot)] = False
        return ("grant", round, slot + 1, granted or waits, then)

    def gate_free(self, world, me, round, then):
        _, waiters, _ = world.words[GATE]
        world.words[GATE] = (None, waiters, False)
        if waiters and self.variant == "wake_after":
            return ("gate_wake_all", round, then)
        return ("gate_wake", round, then) if waiters else then

    def gate_wake(self, world, me, round, then):
        return [(after, then if woken else ("gate_wake_all", round, then)) for after, woken in world.wake(GATE, 1)]

    def gate_wake_all(self, world, me, round, then):
        return self.wake_all(world, GATE, then)


if __name__ == "__main__":
    report = Report()
    for roles, slots, kills in [
        ("rw", 1, 2), ("rww", 1, 1), ("tvw", 1, 1), ("nw", 1, 2), ("yzr", 1, 1), ("uw", 1, 2), ("ur", 1, 2), ("uu", 1, 2),
        ("qr", 1, 1), ("dr", 1, 2), ("dw", 1, 2), ("er", 1, 1), ("ew", 1, 1), ("dt", 1, 1),
    ]:
        report.holds(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)
    report.holds("rw, twice each", RwLock("rw", rounds=(2, 2)), 1)
    report.holds("rw: deaths that the kernel doesn't mark", RwLock("rw", slices=True, marked=False), 1)
    for roles, slots, kills in [
        ("rrw", 1, 1), ("rrw", 2, 1), ("rrt", 1, 1), ("rww", 1, 2), ("rdw", 1, 1), ("urw", 1, 1), ("qrw", 1, 1), ("erw", 1, 1), ("tvw", 1, 2),
    ]:
        report.long(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)

    def fails(name, roles, variant, slots, kills, problem, **more):
        report.fails(name, RwLock(roles, slots, variant=variant, **more), kills, problem)

    fails("a reader's release stores 0", "rrw", "forget_waiters", 1, 1, "hang")
    fails("every dead owner of the gate poisons", "rw", "died_is_poison", 1, 1, "poison without")
    fails("a death forgotten before it is noted", "www", "quiet_first", 1, 2, "poison lost")
    fails("a woken timed reader looks at its clock first", "rtw", "clock_first", 2, 0, "hang")
    fails("a waiting reader sleeps on the gate alone", "rww", "gate_only", 1, 0, "hang", rounds=(1, 2, 1))
    fails("a dead reader's state is left", "rrw", "keep_state", 1, 1, "two owners", rounds=(1, 1, 2))
    fails("stepping back quietly", "rw", "step_back_quietly", 1, 0, "hang")
    fails("let in, the gate freed, then woken", "rww", "wake_after", 1, 1, "hang")
    fails("nobody is woken for a dead owner of the gate", "rww", "wake_nobody", 1, 1, "hang")
    fails("a wake-up is not passed on", "rrw", "wake_selfishly", 2, 1, "hang")
    fails("a slot's bit comes after its claim", "rw", "used_late", 1, 0, "two owners")
    fails("a nested read waits at the gate", "nw", "nested_waits", 1, 0, "hang")
    fails("an upgrade that leaves the gate open", "ru", "upgrade_open", 1, 0, "two owners")
    fails("the reader too many keeps waiting readers out", "rrw", "crowd_keeps_shut", 1, 0, "hang")
    fails("an unmarked death and no oracle", "rw", "never_ask", 1, 1, "hang", slices=True, marked=False)
    report.exit()
