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

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep

GATE = 0
QUIET, OPEN, WRITING, CROWDED = "quiet", "open", "writing", "crowded"
READERS, TIMED = "rtyn", "tv"
READING = ("reading", "nested_look", "nested", "upgradable", "downgraded", "by_the_gate")


class RwLock(Program):
    def __init__(self, roles, slots=1, rounds=None, variant=None, slices=False, marked=True, at_once=None):
        self.roles, self.slots, self.variant = roles, slots, variant
        self.rounds = rounds or (1,) * len(roles)
        self.slices, self.marked = slices, marked
        # Whether who reads or writes tries it at once before; with more than two that is left to longer runs.
        self.at_once = len(roles) < 3 if at_once is None else at_once
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
        if role in READERS:
            return self.begin_reading(world, me, round) if self.at_once else ("read", round)
        if role in "uq":
            return ("gate", round, "hold", False)
        if not self.at_once:
            return ("gate", round, "write", False)
        # write_at_once looks at the slots first.
        if any(world.words[slot][0] is not None and not world.words[self.state(slot)] for slot in world.words[self.used]):
            return ("gate", round, "write", False)
        return ("announce_at_once", round)

    def end(self, world, me, round):
        world.pending[me] = None
        return DONE if round == self.rounds[me] else ("begin", round + 1)

    def clear(self, world, me, then):
        world.pending[me] = None
        return then

    def timed(self, me):
        return self.roles[me] in TIMED or self.slices

    def tries(self, me):
        return self.roles[me] in "yz"

    def wrong(self, world):
        readers = [me for me, at in enumerate(world.at) if at[0] in READING]
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
        if world.words[GATE][0] == me and world.words[self.phase] == WRITING:
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

    def leaves(self, world, me, word, seen, again, leave, wait):
        """Who tries leaves, and who has a time limit may at any look; perhaps they ask for the owner first."""
        out = [(world.copy(), leave)] if self.tries(me) or self.roles[me] in TIMED else []
        if out and not self.marked and self.is_gone(world, word):
            asked = world.copy()
            out.append((asked, self.ask(asked, me, word, seen, again)))
        return out if self.tries(me) else out + [(world, wait)]

    # ---- readers: at once, in a slot that the thread has had before -----------------------------------------------

    def begin_reading(self, world, me, round):
        out = [(world.copy(), ("read", round))]
        for slot in self.each if world.words[GATE] == FREE else ():
            new = world.copy()
            if self.variant != "used_late":
                new.words[self.used] |= {slot}  # since it had it before
            new.pending[me] = slot
            out.append((new, ("claim_at_once", round, slot)))
        return out

    def claim_at_once(self, world, me, round, slot):
        if world.words[slot] != FREE:
            return ("read", round)
        world.words[slot] = (me, False, False)
        return ("look_at_once", round, slot)

    def look_at_once(self, world, me, round, slot):
        if world.words[GATE] == FREE:
            return ("link_at_once", round, slot)
        return ("free", round, slot, ("read", round))  # step_out

    def link_at_once(self, world, me, round, slot):
        world.words[self.used] |= {slot}  # is there already, but in the variant used_late
        world.link(me, slot)
        return ("reading", round, slot)

    # ---- readers: claiming a slot -------------------------------------------------------------------------------

    def read(self, world, me, round):
        world.pending[me] = None
        return ("gate", round, "repair", False) if world.words[GATE][2] else self.claims("read", round)

    def claims(self, why, round):
        """Looks at each slot in turn, from whichever it had last."""
        return ("scan_from", why, round) if self.slots > 1 else ("scan", why, round, 0, 0)

    def scan_from(self, world, me, why, round):
        return [(world.copy(), ("scan", why, round, start, 0)) for start in range(self.slots)]

    def scan(self, world, me, why, round, start, k):
        if k == self.slots:
            return self.found_none(me, why, round)
        slot = 1 + (start + k) % self.slots
        word = world.words[slot]
        if word[0] is not None:
            return ("scan", why, round, start, k + 1)
        if self.variant != "used_late":
            if slot not in world.words[self.used]:
                world.words[self.used] |= {slot}
                return ("announce_claim", why, round, start, k, word)
        return self.announce_claim(world, me, why, round, start, k, word)

    def announce_claim(self, world, me, why, round, start, k, word):
        world.pending[me] = 1 + (start + k) % self.slots
        return ("claim", why, round, start, k, word)

    def claim(self, world, me, why, round, start, k, word):
        slot = 1 + (start + k) % self.slots
        if world.words[slot] != word:
            world.pending[me] = None
            return ("scan", why, round, start, k + 1)
        world.words[slot] = (me, word[1], False)
        if word[2] and self.variant != "keep_state":
            return ("reset", why, round, slot)
        return ("link", why, round, slot)

    def reset(self, world, me, why, round, slot):
        world.words[self.state(slot)] = False
        return ("link", why, round, slot)

    def link(self, world, me, why, round, slot):
        world.words[self.used] |= {slot}
        world.link(me, slot)
        if why in ("crowd", "down"):
            return ("quieten", round, ("clear", ("reading", round, slot)))
        return ("look", round, slot)

    def found_none(self, me, why, round):
        if why == "down":
            return ("open", round, ("by_the_gate", round))
        if why == "crowd":
            return ("crowd_clock", round)
        if self.tries(me):
            return ("ask_slots", round) if why == "read" else ("end", round)
        return ("gate", round, "crowd", False)

    def ask_slots(self, world, me, round):
        for slot in self.each:
            self.ask(world, me, slot, world.words[slot], None)
        return self.claims("last", round)

    # ---- readers: the gate --------------------------------------------------------------------------------------

    def look(self, world, me, round, slot):
        owner, _, died = world.words[GATE]
        if owner is None:
            return ("note" if died else "come_in", round, ("reading", round, slot))
        return ("look_at_phase", round, slot, world.words[GATE])

    def note(self, world, me, round, then):
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("come_in", round, then)

    def look_at_phase(self, world, me, round, slot, gate):
        phase = world.words[self.phase]
        if phase == OPEN:
            return ("come_in", round, ("reading", round, slot))
        if self.tries(me):
            return self.leaves(world, me, GATE, gate, ("look", round, slot), ("unlock", round, slot, ("end", round)), None)
        if phase == CROWDED:
            return ("unlock", round, slot, ("outside", round))
        return ("step_back", round, slot)

    def come_in(self, world, me, round, then):
        # A wake-up that this reader doesn't need any more goes on; it may not know that it had one.
        owner, waiters, _ = world.words[GATE]
        if owner is None and waiters and self.variant != "wake_selfishly":
            return self.wake_all(world, GATE, ("clear", then))
        world.pending[me] = None
        return then

    def step_back(self, world, me, round, slot):
        world.words[self.state(slot)] = True
        return ("tell_writer", round, slot)

    def tell_writer(self, world, me, round, slot):
        if world.words[slot][1] and self.variant != "step_back_quietly":
            return self.wake_all(world, slot, ("wait", round, slot))
        return ("wait", round, slot)

    def wait(self, world, me, round, slot):
        world.pending[me] = GATE
        return ("wait_state", round, slot, world.words[GATE])

    def wait_state(self, world, me, round, slot, gate):
        if not world.words[self.state(slot)]:
            return ("come_in", round, ("reading", round, slot))  # let in
        return ("try_in", round, slot) if gate[0] is None else ("wait_phase", round, slot, gate)

    def wait_phase(self, world, me, round, slot, gate):
        if world.words[self.phase] == OPEN:
            return ("try_in", round, slot)
        wait = ("announce", round, slot, gate)
        if gate[1]:
            wait = ("$queue", 0, self.sleeps_on(slot, gate), ("slept", round, slot, gate), self.timed(me))
        return self.leaves(world, me, GATE, gate, ("wait", round, slot), ("give_up", round, slot), wait)

    def sleeps_on(self, slot, gate):
        words = ((GATE, gate), (self.state(slot), True))
        return words[:1] if self.variant == "gate_only" else words

    def announce(self, world, me, round, slot, gate):
        self.add_waiters(world, GATE, gate)
        return ("wait", round, slot)

    def slept(self, world, me, round, slot, gate, how):
        if how == "woken" and self.roles[me] in TIMED and self.variant == "clock_first":
            return ("unlock_waiting", round, slot)
        if how == "timeout" and self.slices:
            return ("wait_ask", round, slot, gate)
        return ("wait", round, slot)

    def wait_ask(self, world, me, round, slot, gate):
        return self.ask(world, me, GATE, gate, ("wait", round, slot))

    def unlock_waiting(self, world, me, round, slot):
        world.words[self.state(slot)] = False
        return ("unlock", round, slot, ("end", round))

    def try_in(self, world, me, round, slot):
        let_in = not world.words[self.state(slot)]
        world.words[self.state(slot)] = False
        return ("come_in", round, ("reading", round, slot)) if let_in else ("look", round, slot)

    def give_up(self, world, me, round, slot):
        let_in = not world.words[self.state(slot)]
        world.words[self.state(slot)] = False
        if let_in:
            return ("come_in", round, ("reading", round, slot))
        return ("unlock", round, slot, ("end", round))

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

    def outside(self, world, me, round):
        world.pending[me] = GATE
        gate = world.words[GATE]
        return ("come_in", round, self.claims("read", round)) if gate[0] is None else ("outside_phase", round, gate)

    def outside_phase(self, world, me, round, gate):
        if world.words[self.phase] != CROWDED:
            return ("come_in", round, self.claims("read", round))
        wait = ("outside_announce", round, gate)
        if gate[1]:
            wait = ("$wait", ((GATE, gate),), ("outside_slept", round, gate), self.timed(me))
        # Its time may be up at any look.
        return [(world.copy(), ("end", round)), (world, wait)] if self.roles[me] in TIMED else wait

    def outside_announce(self, world, me, round, gate):
        self.add_waiters(world, GATE, gate)
        return ("outside", round)

    def outside_slept(self, world, me, round, gate, how):
        return ("outside_ask", round, gate) if how == "timeout" and self.slices else ("outside", round)

    def outside_ask(self, world, me, round, gate):
        return self.ask(world, me, GATE, gate, ("outside", round))

    # ---- the reader too many: it has the gate, and waits for a slot ----------------------------------------------

    def crowd(self, world, me, round):
        world.words[self.phase] = CROWDED
        return self.claims("crowd", round)

    def crowd_clock(self, world, me, round):
        mark = ("crowd_look", round, 1, ())
        return [(world.copy(), ("quieten", round, ("end", round))), (world, mark)] if self.roles[me] in TIMED else mark

    def crowd_look(self, world, me, round, slot, seen):
        return ("crowd_mark", round, slot, seen, world.words[slot])

    def crowd_mark(self, world, me, round, slot, seen, word):
        """Sets WAITERS first and lets the reader in, if it waits, after."""
        marked = word[0] is not None and self.add_waiters(world, slot, word)
        return ("crowd_grant", round, slot, seen + ((slot, marked),) if marked else None)

    def crowd_grant(self, world, me, round, slot, seen):
        if self.variant != "crowd_keeps_shut":
            world.words[self.state(slot)] = False
        return ("crowd_look", round, slot + 1, seen) if seen and slot < self.slots else ("crowd_wake", round, seen)

    def crowd_wake(self, world, me, round, seen):
        then = self.claims("crowd", round)
        if seen:
            then = ("$queue", 0, seen, ("crowd_slept", round, seen), self.timed(me))
        return self.wake_all(world, GATE, then) if world.words[GATE][1] else then

    def crowd_slept(self, world, me, round, seen, how):
        return ("crowd_ask", round, seen) if how == "timeout" and self.slices else self.claims("crowd", round)

    def crowd_ask(self, world, me, round, seen):
        for word, _ in seen:
            self.ask(world, me, word, world.words[word], None)
        return self.claims("crowd", round)

    # ---- the gate; `why` is to write, to hold it open, to wait for a slot, or to see to what a dead one left ----------

    def announce_at_once(self, world, me, round):
        world.pending[me] = GATE
        return ("take_at_once", round)

    def take_at_once(self, world, me, round):
        if world.words[GATE] != FREE:
            world.pending[me] = None
            return ("gate", round, "write", False)
        world.words[GATE] = (me, False, False)
        return ("gate_link", round, "at_once", False)

    def gate(self, world, me, round, why, slept):
        world.pending[me] = GATE
        word = world.words[GATE]
        if word[0] is None:
            return ("gate_take", round, why, slept, word)
        refused = ("clear", self.claims("read", round)) if why == "repair" else ("end", round)
        if why == "repair":
            return refused
        wait = self.gate_sleep(me, round, why, slept, word) if word[1] else ("gate_mark", round, why, slept, word)
        return self.leaves(world, me, GATE, word, ("gate", round, why, slept), refused, wait)

    def gate_mark(self, world, me, round, why, slept, word):
        word = self.add_waiters(world, GATE, word)
        return self.gate_sleep(me, round, why, slept, word) if word else ("gate", round, why, slept)

    def gate_sleep(self, me, round, why, slept, word):
        return ("$wait", ((GATE, word),), ("gate_slept", round, why, slept, word), self.timed(me))

    def gate_slept(self, world, me, round, why, slept, word, how):
        if how == "timeout" and self.slices:
            return ("gate_ask", round, why, slept, word)
        return ("gate", round, why, slept or how == "woken")

    def gate_ask(self, world, me, round, why, slept, word):
        return self.ask(world, me, GATE, word, ("gate", round, why, slept))

    def gate_take(self, world, me, round, why, slept, word):
        if world.words[GATE] != word:
            return ("gate", round, why, slept)
        world.words[GATE] = (me, word[1] or slept, False)
        return ("gate_link", round, why, word[2])

    def gate_link(self, world, me, round, why, died):
        world.link(me, GATE)
        if died:
            return ("forget", round, why, True) if self.variant == "quiet_first" else ("gate_note", round, why)
        return self.have_gate(round, why)

    def gate_note(self, world, me, round, why):
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("forget", round, why, False)

    def forget(self, world, me, round, why, note):
        was, world.words[self.phase] = world.words[self.phase], QUIET
        return ("note_late", round, why, was) if note else ("wake_for_dead", round, why)

    def note_late(self, world, me, round, why, was):
        if was == WRITING:
            world.words[self.poison] = True
        return ("wake_for_dead", round, why)

    def wake_for_dead(self, world, me, round, why):
        # Some may have been let in by the dead one, and still sleep.
        then = self.have_gate(round, why)
        if world.words[GATE][1] and self.variant != "wake_nobody":
            return self.wake_all(world, GATE, then)
        return then

    def have_gate(self, round, why):
        return {
            "crowd": ("crowd", round),
            "hold": ("open", round, ("upgradable", round)),
            "repair": ("quieten", round, ("clear", self.claims("read", round))),
            "write": ("drain_begin", round, False),
            "at_once": ("drain_begin", round, True),
        }[why]

    # ---- writers ------------------------------------------------------------------------------------------------

    def drain_begin(self, world, me, round, at_once):
        return ("drain", round, at_once, world.words[self.used], 1)

    def drain(self, world, me, round, at_once, used, slot):
        while slot not in used and slot <= self.slots:
            slot += 1
        return ("write", round) if slot > self.slots else self.drain_look(world, me, round, at_once, used, slot)

    def drain_look(self, world, me, round, at_once, used, slot):
        word = world.words[slot]
        if word[0] is None:
            return ("drain", round, at_once, used, slot + 1)
        return ("drain_state", round, at_once, used, slot, word)

    def drain_state(self, world, me, round, at_once, used, slot, word):
        if world.words[self.state(slot)]:
            return ("drain", round, at_once, used, slot + 1)
        if at_once:
            # It looks a few times before it gives the gate back and goes the long way.
            again = (world.copy(), ("drain_begin", round, True))
            return [again, (world, ("quieten", round, ("gate", round, "write", False)))]
        again, leave = ("drain_look", round, at_once, used, slot), ("quieten", round, ("end", round))
        if self.roles[me] == "q":
            return ("open", round, leave)
        wait = ("drain_mark", round, used, slot, word)
        if word[1]:
            wait = ("$wait", ((slot, word),), ("drain_slept", round, used, slot, word), self.timed(me))
        return self.leaves(world, me, slot, word, again, leave, wait)

    def drain_mark(self, world, me, round, used, slot, word):
        self.add_waiters(world, slot, word)
        return ("drain_look", round, False, used, slot)

    def drain_slept(self, world, me, round, used, slot, word, how):
        if how == "timeout" and self.slices:
            return ("drain_ask", round, used, slot, word)
        return ("drain_look", round, False, used, slot)

    def drain_ask(self, world, me, round, used, slot, word):
        return self.ask(world, me, slot, word, ("drain_look", round, False, used, slot))

    def write(self, world, me, round):
        world.words[self.phase] = WRITING
        return ("writing", round)

    def writing(self, world, me, round):
        role = self.roles[me]
        if role == "d":
            return self.claims("down", round)
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
            return ("drain_begin", round, False)
        return ("close", round)

    def close(self, world, me, round):
        world.words[self.phase] = QUIET
        return ("drain_begin", round, False)

    def downgraded(self, world, me, round):
        return self.claims("down", round)

    def by_the_gate(self, world, me, round):
        return ("quieten", round, ("end", round))

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
        waits = world.words[self.state(slot)] and world.words[slot][0] is not None
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
        ("rw", 1, 2), ("rww", 1, 1), ("tv", 1, 2), ("tw", 1, 2), ("rv", 1, 2), ("nw", 1, 2), ("yzr", 1, 1), ("uw", 1, 2), ("ur", 1, 2), ("uu", 1, 2),
        ("qr", 1, 1), ("dr", 1, 2), ("dw", 1, 2), ("er", 1, 1), ("ew", 1, 1), ("dt", 1, 1),
    ]:
        report.holds(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)
    report.holds("rw, twice each", RwLock("rw", rounds=(2, 2)), 1)
    report.holds("rw: deaths that the kernel doesn't mark", RwLock("rw", slices=True, marked=False), 1)
    for roles, slots, kills in [
        ("rrw", 1, 1), ("rrw", 2, 1), ("rrt", 1, 1), ("rww", 1, 2), ("rdw", 1, 1), ("urw", 1, 1), ("qrw", 1, 1), ("erw", 1, 1), ("tvw", 1, 1),
    ]:
        report.long(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)
    for roles in ["rrw", "rww"]:
        report.long(f"{roles}, 1 slot, at once before", RwLock(roles, at_once=True), 1)
    report.holds("rw: without futex_waitv", RwLock("rw", variant="gate_only", slices=True), 1)
    report.holds("tz: deaths that the kernel doesn't mark", RwLock("tz", slices=True, marked=False), 1)
    report.holds("yv: the same", RwLock("yv", slices=True, marked=False), 1)

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
