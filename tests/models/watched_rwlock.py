"""The reader-writer protocol of src/backend/watched/rwlock.rs: owner words that the kernel knows nothing of.

Nobody is told of a death: an owner that is gone stays one until somebody has looked and buried it. Sleepers sleep in slices,
so a sleeper may go on at any time, with a look at the owners or without; that is all there is to sleeping where somebody may be
killed. Where nobody is killed, no slice should be needed: with `bells` nobody wakes but by a ring that it hears.

Threads by role:
  r  read and unlock                t  the same with a time limit           y  try_read
  n  read twice, one inside the other
  w  write and unlock               v  the same with a time limit           z  try_write
  u  upgradable read that upgrades  d  write, downgraded to a read

Variants, which must fail:
  look_first         a reader looks at the gate before it claims its slot, not after
  forget_first       who takes the gate after a death forgets it before the poison is noted
  died_is_poison     every owner of the gate that dies poisons, whether it had the data or not
  look_twice         a reader that saw a death looks once more whether there is one to tell of
  keep_state         who takes a dead reader's slot leaves the state as it was
  used_late          the bit of a slot is set after the slot is claimed
  bury_blindly       who found an owner gone frees the word, whatever stands there by then
  never_ask          nobody asks whether an owner still exists
  nested_waits       a nested read waits at the gate like any other
  upgrade_open       an upgrade doesn't close the gate before it looks at the slots
  count_late         a sleeper is counted after its last look at the words, not before
  step_back_quietly  a reader that finds the gate closed doesn't ring for a writer that waits for its slot
  ring_one           who frees the gate rings once, though it has let readers in
  keep_the_ring      a ring that was for another is kept, by a reader that gets in and by who sleeps again
  forget_waiters     who frees the gate leaves no W in it for those that it doesn't ring for
  ring_first         that W is set after the ring
  crowd_keeps_shut   the reader too many holds the gate without letting waiting readers in
"""

from kernel import DEAD, DONE, FREE, Program, Report

GATE = 0
QUIET, OPEN, WRITING, CROWDED = "quiet", "open", "writing", "crowded"
ALL = 99


class RwLock(Program):
    marked = False

    # What the slot's reader does at the gate.
    INSIDE, WAITING, LET_IN = "inside", "waiting", "let in"

    def __init__(self, roles, slots=1, rounds=None, variant=None, bells=False):
        self.roles, self.slots, self.variant, self.bells = roles, slots, variant, bells
        self.rounds = rounds or (1,) * len(roles)
        self.threads, self.locks = len(roles), 1 + slots
        self.each = tuple(range(1, 1 + slots))
        self.phase = 1 + 2 * slots
        self.used, self.truth, self.poison = self.phase + 1, self.phase + 2, self.phase + 3
        self.at_gate, self.draining = self.phase + 4, self.phase + 5

    def state(self, slot):
        return self.slots + slot

    def words(self):
        # The gate and the slots; the slots' states; the phase; the slots ever used; the truth about
        # writers that died with the data; what Poison says; per bell, sleepers counted and rings to hear.
        return [FREE] * (1 + self.slots) + [self.INSIDE] * self.slots + [QUIET, frozenset(), False, False, (0, 0), (0, 0)]

    def first(self, me):
        return ("begin", 1)

    def begin(self, world, me, round):
        if self.roles[me] in "rtyn":
            return ("glance", round) if self.variant == "look_first" else ("pick", round, True)
        return ("gate", round, ("had", round), False)

    def end(self, world, me, round):
        return DONE if round == self.rounds[me] else ("begin", round + 1)

    def tries(self, me):
        return self.roles[me] in "yz"

    def wrong(self, world):
        inside = ("reading", "nested", "nested_look", "upgradable")
        readers = [me for me, at in enumerate(world.at) if at[0] in inside]
        writers = [me for me, at in enumerate(world.at) if at[0] == "writing"]
        if len(writers) > 1 or writers and readers:
            return f"two owners: writers {writers}, readers {readers}"
        if (readers or writers) and world.words[self.truth] and not world.words[self.poison]:
            return f"poison lost: {readers + writers} aren't told of a death"
        if world.words[self.poison] and not world.words[self.truth]:
            return "poison without the death of a writer that had the data"
        return None

    def at_kill(self, world, me):
        with_data = ("writing", "quieten", "down_claim", "down_reset", "open")
        if world.words[GATE][0] == me and world.words[self.phase] == WRITING and world.at[me][0] in with_data:
            world.words[self.truth] = True

    # ---- sleeping and waking ------------------------------------------------------------------------------------

    def sleep(self, bell, looks, word, again, late):
        """Waiting::sleep_if while every one of `looks`, (word, value)s, is so; `late` is where a timed one gives up."""
        if not self.bells:
            return ("slice", word, again, late)
        if self.variant == "count_late":
            return ("last_look", bell, looks, again, False)
        return ("count", bell, looks, again)

    def sleep_at_gate(self, world, looks, again, late, rang):
        """The same at the gate; who heard a ring before may have heard what was for one that was let in."""
        if rang and any(world.words[self.state(slot)] == self.LET_IN for slot in self.each):
            return self.wake(self.at_gate, 1, again + (False,))
        return self.sleep(self.at_gate, looks, GATE, again + (self.bells and self.variant != "keep_the_ring",), late)

    def slice(self, world, me, word, again, late):
        out = [(world.copy(), again)]
        if self.roles[me] in "tv" and late:
            out.append((world.copy(), late))
        seen = [(at, world.words[at]) for at in (self.each if word is None else (word,))]
        gone = [(at, value) for at, value in seen if value[0] is not None and world.at[value[0]] == DEAD]
        if gone and self.variant != "never_ask":
            out.append((world.copy(), ("bury", tuple(gone), again)))
        return out

    def bury(self, world, me, gone, again):
        (word, seen), rest = gone[0], gone[1:]
        if world.words[word] == seen or self.variant == "bury_blindly":
            world.words[word] = (None, seen[1], True)
        return ("bury", rest, again) if rest else again

    def count(self, world, me, bell, looks, again):
        sleepers, rings = world.words[bell]
        world.words[bell] = (sleepers + 1, rings)
        return ("last_look", bell, looks, again, True)

    def last_look(self, world, me, bell, looks, again, counted):
        if looks:
            (word, value), rest = looks[0], looks[1:]
            if world.words[word] == value:
                return ("last_look", bell, rest, again, counted)
            return ("leave", bell, again) if counted else again
        return ("listen", bell, again) if counted else ("count", bell, (), again)

    def listen(self, world, me, bell, again):
        sleepers, rings = world.words[bell]
        if rings == 0:
            return None
        world.words[bell] = (sleepers, rings - 1)
        return ("leave", bell, again)

    def leave(self, world, me, bell, again):
        sleepers, rings = world.words[bell]
        world.words[bell] = (sleepers - 1, rings)
        return again

    def wake(self, bell, count, then, marks=False):
        return ("wake_look", bell, count, then, marks) if self.bells else then

    def wake_look(self, world, me, bell, count, then, marks):
        sleepers, _ = world.words[bell]
        return ("wake_room", bell, count, sleepers, then, marks) if sleepers else then

    def wake_room(self, world, me, bell, count, sleepers, then, marks):
        unheard = world.words[bell][1]
        rings = min(count, max(0, sleepers - unheard))
        left = marks and sleepers > unheard + rings and self.variant != "forget_waiters"
        if left and self.variant == "ring_first":
            return ("ring", bell, rings, ("mark_waiters", then))
        ring = ("ring", bell, rings, then)
        return ("mark_waiters", ring) if left else ring

    def ring(self, world, me, bell, count, then):
        sleepers, rings = world.words[bell]
        world.words[bell] = (sleepers, rings + count)
        return then

    def mark_waiters(self, world, me, then):
        owner, _, died = world.words[GATE]
        world.words[GATE] = (owner, True, died)
        return then

    def let_in_one(self, world, slot):
        if world.words[self.state(slot)] != self.WAITING:
            return False
        world.words[self.state(slot)] = self.LET_IN
        return True

    def add_waiters(self, world, word, value):
        """The compare-exchange before a sleep: whether it was done."""
        if world.words[word] != value:
            return False
        world.words[word] = (value[0], True, value[2])
        return True

    # ---- readers: claiming a slot -------------------------------------------------------------------------------

    def glance(self, world, me, round):
        """The variant look_first: the gate was open, so in it goes."""
        free = world.words[GATE][0] is None
        return ("pick", round, True) if free else ("glance", round)

    def pick(self, world, me, round, at_once):
        out = []
        for slot in self.each:
            if world.words[slot][0] is None:
                marked = slot in world.words[self.used] or self.variant == "used_late"
                step = "claim" if marked else "mark_used"
                out.append((world.copy(), (step, round, slot, world.words[slot], at_once)))
        if out:
            return out
        return ("end", round) if self.tries(me) else ("gate", round, ("crowd", round), False)

    def mark_used(self, world, me, round, slot, word, at_once):
        world.words[self.used] |= {slot}
        return ("claim", round, slot, word, False)

    def claim(self, world, me, round, slot, word, at_once):
        if world.words[slot] != word:
            return ("pick", round, False)
        world.words[slot] = (me, word[1], False)
        if word[2] and self.variant != "keep_state":
            return ("reset", round, slot)
        if self.variant == "look_first":
            return ("mark_late", round, slot)
        return ("look_at_once", round, slot) if word == FREE and at_once else ("look", round, slot)

    def mark_late(self, world, me, round, slot):
        world.words[self.used] |= {slot}
        return ("reading", round, slot)

    def reset(self, world, me, round, slot):
        world.words[self.state(slot)] = self.INSIDE
        return ("look", round, slot)

    def look_at_once(self, world, me, round, slot):
        if world.words[GATE] == FREE:
            return ("mark_late", round, slot) if self.variant == "used_late" else ("reading", round, slot)
        return ("unlock", slot, ("pick", round, False))

    # ---- readers: the gate --------------------------------------------------------------------------------------

    def look(self, world, me, round, slot):
        owner, _, died = world.words[GATE]
        if owner is None:
            return ("note", round, slot) if died else ("come_in", round, slot)
        return ("look_at_phase", round, slot)

    def note(self, world, me, round, slot):
        if self.variant == "look_twice" and not (world.words[GATE][0] is None and world.words[GATE][2]):
            return ("come_in", round, slot)
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("come_in", round, slot)

    def come_in(self, world, me, round, slot):
        if self.bells and self.variant != "keep_the_ring" and world.words[self.at_gate][0]:
            return ("pass_on", round, slot)
        return ("reading", round, slot)

    def pass_on(self, world, me, round, slot):
        then = ("reading", round, slot)
        owner, waiters, died = world.words[GATE]
        if owner is None:
            return self.wake(self.at_gate, 1, then)
        world.words[GATE] = (owner, True, died)
        return then

    def look_at_phase(self, world, me, round, slot):
        phase = world.words[self.phase]
        if phase == OPEN:
            return ("reading", round, slot)
        if self.tries(me):
            return ("unlock", slot, ("end", round))
        if phase == CROWDED:
            return ("unlock", slot, ("outside", round, False))
        return ("step_back", round, slot)

    def step_back(self, world, me, round, slot):
        world.words[self.state(slot)] = self.WAITING
        return ("tell_writer", round, slot)

    def tell_writer(self, world, me, round, slot):
        then = ("wait", round, slot, False)
        tells = world.words[slot][1] and self.variant != "step_back_quietly"
        return self.wake(self.draining, 1, then) if tells else then

    def wait(self, world, me, round, slot, rang):
        gate = world.words[GATE]
        return ("try_in", round, slot, False) if gate[0] is None else ("wait_state", round, slot, rang, gate)

    def wait_state(self, world, me, round, slot, rang, gate):
        if world.words[self.state(slot)] != self.WAITING:
            return ("try_in", round, slot, False)
        return ("wait_phase", round, slot, rang, gate)

    def wait_phase(self, world, me, round, slot, rang, gate):
        if world.words[self.phase] == OPEN:
            return ("try_in", round, slot, False)
        return ("wait_mark", round, slot, rang, gate)

    def wait_mark(self, world, me, round, slot, rang, gate):
        again = ("wait", round, slot)
        if not self.add_waiters(world, GATE, gate) or world.words[self.phase] == OPEN:
            return again + (rang,)
        # The phase is one more look: the gate's owner opens it, then looks for W.
        looks = ((GATE, (gate[0], True, gate[2])), (self.state(slot), self.WAITING), (self.phase, world.words[self.phase]))
        return self.sleep_at_gate(world, looks, again, ("try_in", round, slot, True), rang)

    def try_in(self, world, me, round, slot, late):
        waited = world.words[self.state(slot)] == self.WAITING
        world.words[self.state(slot)] = self.INSIDE
        if not waited:
            return ("come_in", round, slot)
        return ("unlock", slot, ("end", round)) if late else ("look", round, slot)

    # ---- readers: inside, and out -------------------------------------------------------------------------------

    def reading(self, world, me, round, slot):
        return ("nested_look", round, slot) if self.roles[me] == "n" else ("unlock", slot, ("end", round))

    def nested_look(self, world, me, round, slot):
        if self.variant == "nested_waits" and world.words[GATE][0] is not None:
            return None
        return ("nested", round, slot)

    def nested(self, world, me, round, slot):
        return ("unlock", slot, ("end", round))

    def unlock(self, world, me, slot, then):
        waiters = world.words[slot][1]
        world.words[slot] = FREE
        return self.wake(self.draining, 1, then) if waiters else then

    # ---- readers without a slot ---------------------------------------------------------------------------------

    def outside(self, world, me, round, rang):
        gate = world.words[GATE]
        return ("pick", round, False) if gate[0] is None else ("outside_phase", round, rang, gate)

    def outside_phase(self, world, me, round, rang, gate):
        if world.words[self.phase] != CROWDED:
            return ("pick", round, False)
        return ("outside_mark", round, rang, gate)

    def outside_mark(self, world, me, round, rang, gate):
        again = ("outside", round)
        if not self.add_waiters(world, GATE, gate):
            return again + (rang,)
        looks = ((GATE, (gate[0], True, gate[2])), (self.phase, CROWDED))
        return self.sleep_at_gate(world, looks, again, ("end", round), rang)

    def crowd(self, world, me, round):
        world.words[self.phase] = CROWDED
        return ("crowd_pick", round, self.each)

    def crowd_pick(self, world, me, round, left):
        if not left:
            return ("crowd_mark", round, self.each)
        word = world.words[left[0]]
        if word[0] is None:
            return ("crowd_claim", round, left[0], word)
        return ("crowd_pick", round, left[1:])

    def crowd_claim(self, world, me, round, slot, word):
        if world.words[slot] != word:
            return ("crowd_pick", round, self.each)
        world.words[self.used] |= {slot}
        world.words[slot] = (me, word[1], False)
        return ("crowd_reset", round, slot, word[2])

    def crowd_reset(self, world, me, round, slot, died):
        if died:
            world.words[self.state(slot)] = self.INSIDE
        return ("quieten", ("reading", round, slot))

    def crowd_mark(self, world, me, round, left):
        if not left:
            return ("crowd_wake", round)
        word = world.words[left[0]]
        if word[0] is not None:
            world.words[left[0]] = (word[0], True, word[2])
        return ("crowd_let_in", round, left)

    def crowd_let_in(self, world, me, round, left):
        if self.variant != "crowd_keeps_shut":
            self.let_in_one(world, left[0])
        return ("crowd_mark", round, left[1:])

    def crowd_wake(self, world, me, round):
        then = ("crowd_sleep", round)
        return self.wake(self.at_gate, ALL, then) if world.words[GATE][1] else then

    def crowd_sleep(self, world, me, round):
        again, late = ("crowd_pick", round, self.each), ("quieten", ("end", round))
        words = [(slot, world.words[slot]) for slot in self.each]
        states = [(self.state(slot), world.words[self.state(slot)]) for slot in self.each]
        if any(word[0] is None or not word[1] for _, word in words):
            return again
        if any(state == self.WAITING for _, state in states) and self.variant != "crowd_keeps_shut":
            return again
        return self.sleep(self.draining, tuple(words + states), None, again, late)

    # ---- the gate -----------------------------------------------------------------------------------------------

    def gate(self, world, me, round, then, rang):
        word = world.words[GATE]
        if word[0] is None:
            return ("gate_take", round, then, rang, word)
        return ("end", round) if self.tries(me) else ("gate_mark", round, then, rang, word)

    def gate_mark(self, world, me, round, then, rang, word):
        again = ("gate", round, then)
        if not self.add_waiters(world, GATE, word):
            return again + (rang,)
        return self.sleep_at_gate(world, ((GATE, (word[0], True, word[2])),), again, ("end", round), rang)

    def gate_take(self, world, me, round, then, rang, word):
        if world.words[GATE] != word:
            return ("gate", round, then, rang)
        world.words[GATE] = (me, word[1], False)
        if not word[2]:
            return then
        return ("forget", then, True) if self.variant == "forget_first" else ("gate_note", then)

    def gate_note(self, world, me, then):
        if world.words[self.phase] == WRITING or self.variant == "died_is_poison":
            world.words[self.poison] = True
        return ("forget", then, False)

    def forget(self, world, me, then, note):
        was, world.words[self.phase] = world.words[self.phase], QUIET
        return ("note_late", then, was) if note else then

    def note_late(self, world, me, then, was):
        if was == WRITING:
            world.words[self.poison] = True
        return then

    def had(self, world, me, round):
        return ("open", ("upgradable", round)) if self.roles[me] == "u" else ("drain", round)

    # ---- writers ------------------------------------------------------------------------------------------------

    def drain(self, world, me, round):
        return ("drain_look", round, tuple(sorted(world.words[self.used])))

    def drain_look(self, world, me, round, left):
        if not left:
            return ("write", round)
        word = world.words[left[0]]
        return ("drain_look", round, left[1:]) if word[0] is None else ("drain_state", round, left, word)

    def drain_state(self, world, me, round, left, word):
        if world.words[self.state(left[0])] == self.WAITING:
            return ("drain_look", round, left[1:])
        if self.tries(me):
            return ("quieten", ("end", round))
        return ("drain_mark", round, left, word)

    def drain_mark(self, world, me, round, left, word):
        slot, again = left[0], ("drain_look", round, left)
        if not self.add_waiters(world, slot, word):
            return again
        looks = ((slot, (word[0], True, word[2])), (self.state(slot), world.words[self.state(slot)]))
        if world.words[self.state(slot)] == self.WAITING:
            return again
        return self.sleep(self.draining, looks, None, again, ("quieten", ("end", round)))

    def write(self, world, me, round):
        world.words[self.phase] = WRITING
        return ("writing", round)

    def writing(self, world, me, round):
        return ("down_claim", round) if self.roles[me] == "d" else ("quieten", ("end", round))

    # ---- open for readers: upgradable reads, and downgrades -----------------------------------------------------

    def open(self, world, me, then):
        world.words[self.phase] = OPEN
        return ("open_look", then)

    def open_look(self, world, me, then):
        return ("open_let_in", self.each, then) if world.words[GATE][1] else then

    def open_let_in(self, world, me, left, then):
        if not left:
            return self.wake(self.at_gate, ALL, then)
        self.let_in_one(world, left[0])
        return ("open_let_in", left[1:], then)

    def upgradable(self, world, me, round):
        return ("drain", round) if self.variant == "upgrade_open" else ("close", round)

    def close(self, world, me, round):
        world.words[self.phase] = QUIET
        return ("drain", round)

    def down_claim(self, world, me, round):
        out = []
        for slot in self.each:
            owner, waiters, died = world.words[slot]
            if owner is None:
                new = world.copy()
                new.words[self.used] |= {slot}
                new.words[slot] = (me, waiters, False)
                out.append((new, ("down_reset", round, slot, died)))
        # No slot: reads on with the gate, open.
        return out or ("open", ("quieten", ("end", round)))

    def down_reset(self, world, me, round, slot, died):
        if died:
            world.words[self.state(slot)] = self.INSIDE
        return ("quieten", ("reading", round, slot))

    # ---- giving the gate back -----------------------------------------------------------------------------------

    def quieten(self, world, me, then):
        world.words[self.phase] = QUIET
        return ("gate_free_at_once", then)

    def gate_free_at_once(self, world, me, then):
        if not world.words[GATE][1]:
            world.words[GATE] = FREE
            return then
        return ("let_in", self.each, False, then)

    def let_in(self, world, me, left, any, then):
        if not left:
            return ("gate_free", any, then)
        return ("let_in", left[1:], self.let_in_one(world, left[0]) or any, then)

    def gate_free(self, world, me, any, then):
        world.words[GATE] = FREE
        return self.wake(self.at_gate, ALL if any and self.variant != "ring_one" else 1, then, marks=True)


if __name__ == "__main__":
    report = Report()
    for roles, slots, kills in [
        ("rw", 1, 2), ("rww", 1, 1), ("rrw", 1, 1), ("rw", 2, 1), ("tvw", 1, 1), ("nw", 1, 2), ("yzr", 1, 1), ("uw", 1, 2),
        ("ur", 1, 2), ("dr", 1, 2), ("dw", 1, 2),
    ]:
        report.holds(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)
    report.holds("rw, twice each", RwLock("rw", rounds=(2, 2)), 1)
    for roles, slots in [("rw", 1), ("ww", 1), ("www", 1), ("ur", 1), ("dr", 1)]:
        report.holds(f"{roles}, {slots} slots, nobody killed, woken by rings alone", RwLock(roles, slots, bells=True), 0)
    for roles, slots, kills in [("rrw", 2, 1), ("rrw", 1, 2), ("rww", 1, 2), ("urw", 1, 1), ("rdw", 1, 1), ("tvw", 1, 2), ("rrr", 1, 2)]:
        report.long(f"{roles}, {slots} slots, killed anywhere", RwLock(roles, slots), kills)
    for roles, slots in [("rrw", 1), ("rrw", 2), ("rww", 1), ("urw", 1), ("drw", 1)]:
        report.long(f"{roles}, {slots} slots, nobody killed, woken by rings alone", RwLock(roles, slots, bells=True), 0)

    def fails(name, roles, variant, slots, kills, problem, **more):
        report.fails(name, RwLock(roles, slots, variant=variant, **more), kills, problem)

    fails("the gate is looked at before the slot is claimed", "rw", "look_first", 1, 0, "two owners")
    fails("a death forgotten before it is noted", "www", "forget_first", 1, 2, "poison lost")
    fails("every dead owner of the gate poisons", "rw", "died_is_poison", 1, 1, "poison without")
    fails("a death is looked at twice and told once", "rww", "look_twice", 1, 1, "poison lost")
    fails("a dead reader's state is left", "rrw", "keep_state", 1, 1, "two owners", rounds=(1, 1, 2))
    fails("a slot's bit comes after its claim", "rw", "used_late", 1, 0, "two owners")
    fails("the dead are buried by a store", "www", "bury_blindly", 1, 1, "poison without")
    fails("nobody asks whether the owner exists", "ww", "never_ask", 1, 1, "hang")
    fails("a nested read waits at the gate", "nw", "nested_waits", 1, 0, "hang")
    fails("an upgrade that leaves the gate open", "ru", "upgrade_open", 1, 0, "two owners")
    fails("the reader too many keeps waiting readers out", "rrw", "crowd_keeps_shut", 1, 0, "hang")
    fails("counted after the last look", "ww", "count_late", 1, 0, "hang", bells=True)
    fails("stepping back quietly", "rw", "step_back_quietly", 1, 0, "hang", bells=True)
    fails("one ring for many", "rww", "ring_one", 1, 0, "hang", bells=True)
    fails("a ring is kept", "rww", "keep_the_ring", 1, 0, "hang", bells=True)
    fails("W comes after the ring", "www", "ring_first", 1, 0, "hang", bells=True)
    fails("W is forgotten while some sleep", "www", "forget_waiters", 1, 0, "hang", bells=True)
    report.exit()
