"""The barrier of src/backend/futex/barrier.rs: whoever waits owns a robust slot, and a count of arrivals opens a round.

Threads by role:
  w  wait      t  wait with a time limit      r  reset, at any time      x  wait, and once more after a reset

Variants, which must fail:
  count_first       an arrival is counted before its slot says which round it waits in
  no_look           who arrives doesn't look whether somebody died who waited
  clear_note        who takes a slot clears the note of the one before
  no_handing_on     who was woken by a death doesn't wake everybody
  own_door          the same, for the rounds that are not its own
  leave_first       the last one gives its slot back before it wakes the others
  unmarked_slot     a slot is taken without WAITERS, so the kernel wakes nobody when its owner dies
  reset_slotless    a reset owns no slot
  outcome_uncounted who has not been counted believes what the state says of the round
  nobody_helps      who comes while a reset is under way doesn't help to end it
  no_stamps         a reset doesn't write down who of those that are about to leave waited in vain
  asleep_already    who is about to sleep doesn't look at the state again where somebody sleeps already
  same_again        who takes a slot in which somebody died opens no door
  gate_late         who is about to sleep reads the gate after the state of the round
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, sleep_any

RENEWING = "renewing"
# What a slot's note says: in which round who waits there, and later perhaps whether that one was completed.
NO_NOTE = (None, None, None)


class Barrier(Program):
    tells = True

    def __init__(self, roles, n, slots=None, rounds=1, variant=None, coarse=None, marked=True, blind=False):
        self.marked, self.blind = marked, blind
        self.roles, self.n, self.rounds, self.variant = roles, n, rounds, variant
        # Whether to take the first free slot, and to take a slot, give it back, look at all and stamp all in one step each:
        # that smaller steps may be interleaved and killed between as well is shown by the smaller models.
        self.coarse = len(roles) > 2 if coarse is None else coarse
        self.threads, self.locks = len(roles), slots or len(roles)
        # One word of memory in two parts: (number of the round, broken or RENEWING) and (arrivals, may anybody be asleep).
        self.low, self.high = 2 * self.locks, 2 * self.locks + 1
        self.gate = 2 * self.locks + 7
        # The truth: rounds that were completed, arrivals by (thread, round), rounds in which somebody died while it waited.
        self.completed, self.arrived, self.deaths = range(2 * self.locks + 4, 2 * self.locks + 7)

    def door(self, number):
        return 2 * self.locks + 2 + number % 2

    def words(self):
        slots = [FREE] * self.locks + [NO_NOTE] * self.locks
        return slots + [(0, False), (0, False), FREE, FREE, frozenset(), frozenset(), frozenset(), 0]

    def first(self, me):
        if self.roles[me] == "r" and self.variant == "reset_slotless":
            return ("reset", None)
        return ("enter" if self.roles[me] == "r" else "begin", 1)

    def may_rest(self, world):
        """Who waits in a round that never fills up, where nobody has died, waits rightly."""
        number, broken = world.words[self.low]
        return all(
            place in (DONE, DEAD) or place[0] == "$asleep" and not world.woken[me] and place[1][3] == number
            for me, place in enumerate(world.at)
        ) and not broken and number not in world.words[self.deaths]

    def at_kill(self, world, me):
        number, broken = world.words[self.low]
        if (me, number) in world.words[self.arrived] and not broken:
            world.words[self.deaths] |= {number}

    def wrong(self, world):
        for me, place in enumerate(world.at):
            if place[0] == "$wrong":
                return place[1]
        for slot in range(self.locks):
            owner = world.words[slot][0]
            if owner is not None and (world.at[owner] == DONE or self.marked and world.at[owner] == DEAD):
                return f"unmarked: {owner} is at its end and has slot {slot}"
        return None

    # Barrier::wait, arriving

    def begin(self, world, me, k):
        if world.words[self.low][1] is True:
            return self.told_broken(world, me, k)
        return self.coarse and self.enter(world, me, k) or ("enter", k)

    def enter(self, world, me, k):
        """Attempts slots one after the other, again and again; leaves the last one announced where it was too slow."""
        free = [slot for slot in range(self.locks) if world.words[slot][0] is None]
        if free and self.coarse:
            died = world.words[free[0]][2]
            self.take(world, me, k, free[0])
            world.link(me, free[0])
            return self.taken(world, self.entered(me, k, free[0]), died)
        out = []
        for slot in free:
            new = world.copy()
            new.pending[me] = slot
            out.append((new, ("take", k, slot, world.words[slot])))
        if len(free) < self.locks and self.roles[me] == "t":
            out.append((world.copy(), ("take_back", DONE)))
        if len(free) < self.locks and not self.marked:
            out.append((world, ("bury", 0, ("enter", k))))
        return out or None

    def bury(self, world, me, slot, then):
        """bury_the_gone, once a second."""
        if slot == self.locks:
            return then
        owner, waiters, _ = world.words[slot]
        if owner is not None and world.at[owner] == DEAD:
            world.words[slot] = (None, waiters, True)
        return ("bury", slot + 1, then)

    def told_broken(self, world, me, k):
        if self.roles[me] == "x":
            if k == 1:
                return ("begin", 2)
            if DEAD not in world.at and "t" not in self.roles:
                return ("$wrong", "told of a reset for the second time")
        return DONE

    def take(self, world, me, k, slot, word=None):
        if word and world.words[slot] != word:
            return ("enter", k)
        if self.variant == "clear_note":
            world.words[self.locks + slot] = NO_NOTE
        died = world.words[slot][2]
        world.words[slot] = (me, self.variant != "unmarked_slot", False)
        return ("link", k, slot, died)

    def take_back(self, world, me, then):
        world.pending[me] = None
        return then

    def link(self, world, me, k, slot, died):
        world.link(me, slot)
        return self.taken(world, ("take_back", self.entered(me, k, slot)), died)

    def taken(self, world, then, died):
        """Opens both doors where the slot's last owner died."""
        if not died or self.variant == "same_again":
            return then
        return ("open_both", world.words[self.low][0], then)

    def open_both(self, world, me, number, then):
        return self.open(world, me, number, ("open", number + 1, then))

    def entered(self, me, k, slot):
        return ("reset", slot) if self.roles[me] == "r" else ("arrive", k, slot)

    def arrive(self, world, me, k, slot):
        seen = number, broken = world.words[self.low]
        if broken == RENEWING and self.variant != "nobody_helps":
            return ("stamp", number, 0, ("arrive", k, slot))
        if broken:
            return ("leave", k, slot, False)
        warned = self.marked and number in world.words[self.deaths]
        seen = (seen, world.words[self.high], warned)
        return ("count" if self.variant == "count_first" else "note", k, slot, seen)

    def note(self, world, me, k, slot, seen):
        (number, _), _, _ = seen
        left = world.words[self.locks + slot]
        if left[0] == number and left[1] != me:
            return ("break_it", k, slot, number, False)
        world.words[self.locks + slot] = (number, me, None)
        if self.variant == "count_first":
            return ("look", k, slot, number)
        count = ("count", k, slot, seen)
        if self.variant == "no_look":
            return count
        return ("find_dead", number, 0, count, ("break_it", k, slot, number, False))

    def find_dead(self, world, me, number, other, otherwise, found):
        """has_dead: each note, then the slot's word."""
        if self.coarse:
            return found if any(self.is_dead(world, each, number) for each in range(self.locks)) else otherwise
        if other == self.locks:
            return otherwise
        round, noter, _ = world.words[self.locks + other]
        if round == number:
            return ("find_noter", number, other, otherwise, found, noter)
        return ("find_dead", number, other + 1, otherwise, found)

    def is_dead(self, world, slot, number):
        round, noter, _ = world.words[self.locks + slot]
        return round == number and world.words[slot][0] != noter

    def find_noter(self, world, me, number, other, otherwise, found, noter):
        return found if world.words[other][0] != noter else ("find_dead", number, other + 1, otherwise, found)

    def count(self, world, me, k, slot, seen):
        low, high, warned = seen
        if (world.words[self.low], world.words[self.high]) != (low, high):
            return ("arrive", k, slot)
        (number, _), (count, asleep) = low, high
        world.words[self.arrived] |= {(me, number)}
        if count + 1 < self.n:
            world.words[self.high] = (count + 1, asleep)
            return ("note", k, slot, seen) if self.variant == "count_first" else ("look", k, slot, number)
        if warned:
            return ("$wrong", f"completed although somebody had died in round {number}")
        world.words[self.low], world.words[self.high] = (number + 1, False), (0, False)
        world.words[self.completed] |= {number}
        if self.variant == "leave_first":
            return ("leave", k, slot, number)
        then = ("leave", k, slot, None)
        return ("open", number, then) if asleep else then

    def open(self, world, me, number, then):
        world.words[self.gate] += 1
        return [(after, then) for after, _ in world.wake(self.door(number), ALL)]

    # waiting: the gate, the state, the slots, the clock, the state once more

    def look(self, world, me, k, slot, number):
        return ("look_at_state", k, slot, number, world.words[self.gate])

    def look_at_state(self, world, me, k, slot, number, gate):
        now, _ = low = world.words[self.low]
        if low == (number, False):
            return ("look_at_slots", k, slot, number, gate, world.words[self.high], ())
        return self.found(world, k, slot, number, False) if now == number else ("read_stamp", k, slot, number)

    def look_at_slots(self, world, me, k, slot, number, gate, high, seen):
        other = len(seen)
        if self.coarse:
            if any(self.is_dead(world, each, number) for each in range(self.locks)):
                return ("break_it", k, slot, number, True)
            seen = tuple((each, world.words[each]) for each in range(self.locks))
        elif other < self.locks:
            round, noter, _ = world.words[self.locks + other]
            return ("look_at_slot", k, slot, number, gate, high, seen, noter if round == number else None)
        wait = ("say_asleep", k, slot, number, gate, high, seen)
        # Its time may be up at any look.
        late = ("break_it", k, slot, number, True, True)
        return [(world.copy(), late), (world, wait)] if self.roles[me] == "t" else wait

    def say_asleep(self, world, me, k, slot, number, gate, high, seen):
        """Where the state says so already, it is only looked at again."""
        count, asleep = high
        if not asleep:
            if (world.words[self.low], world.words[self.high]) != ((number, False), high):
                return ("look", k, slot, number)
            world.words[self.high] = (count, True)
        elif world.words[self.low] != (number, False) and self.variant != "asleep_already":
            return ("look", k, slot, number)
        if self.variant == "gate_late":
            return ("read_gate_late", k, slot, number, seen)
        return self.sleep(world, me, k, slot, number, gate, seen)

    def sleep(self, world, me, k, slot, number, gate, seen):
        words = ((self.door(number), FREE), (self.gate, gate)) + seen
        if self.blind:
            # Looks whether any has changed, and sleeps at the door in short slices.
            if any(world.words[word] != value for word, value in words):
                return ("look", k, slot, number)
            words = words[:1]
        timed = self.roles[me] == "t" or self.blind or not self.marked
        return sleep_any(words, ("slept", k, slot, number), timed)

    def read_gate_late(self, world, me, k, slot, number, seen):
        return self.sleep(world, me, k, slot, number, world.words[self.gate], seen)

    def look_at_slot(self, world, me, k, slot, number, gate, high, seen, noter):
        word = world.words[len(seen)]
        if noter is not None and word[0] != noter:
            return ("break_it", k, slot, number, True)
        return ("look_at_slots", k, slot, number, gate, high, seen + ((len(seen), word),))

    def slept(self, world, me, k, slot, number, how):
        look = ("look", k, slot, number)
        if how[0] == "woken" and min(how[1]) < self.locks and self.variant != "no_handing_on":
            return ("open", number, look if self.variant == "own_door" else ("open", number + 1, look))
        return ("bury", 0, look) if how == "timeout" and not self.marked else look

    def break_it(self, world, me, k, slot, number, counted, late=False):
        look = ("look", k, slot, number)
        if world.words[self.low] != (number, False):
            return look if counted or self.variant == "outcome_uncounted" else ("arrive", k, slot)
        if not late and DEAD not in world.at:
            return ("$wrong", f"round {number} is to be broken though nobody is dead")
        world.words[self.low] = (number, True)
        # Who is counted and not late looks how it ended, as everybody.
        return ("open", number, look if counted and not late else ("leave", k, slot, False))

    def read_stamp(self, world, me, k, slot, number):
        return self.found(world, k, slot, number, world.words[self.locks + slot][2] is not False)

    def found(self, world, k, slot, number, through):
        if through != (number in world.words[self.completed]):
            return ("$wrong", f"round {number}: told {through}, which is wrong")
        return ("leave", k, slot, None if through else False)

    # leaving; `then` is None after a round that was completed, False after one that was broken

    def leave(self, world, me, k, slot, then):
        if slot is None:
            return DONE
        world.words[self.locks + slot] = NO_NOTE
        if self.coarse:
            self.unlink(world, me, k, slot, then)
            self.release(world, me, k, slot, then)
            return self.released(world, me, k, then)
        return ("announce_leaving", k, slot, then)

    def announce_leaving(self, world, me, k, slot, then):
        world.pending[me] = slot
        return ("unlink", k, slot, then)

    def unlink(self, world, me, k, slot, then):
        world.unlink(me, slot)
        return ("release", k, slot, then)

    def release(self, world, me, k, slot, then):
        _, waiters, _ = world.words[slot]
        world.words[slot] = (None, waiters, False)
        return ("released", k, then)

    def released(self, world, me, k, then):
        world.pending[me] = None
        if then is False:
            return self.told_broken(world, me, k)
        left = DONE if k == self.rounds else ("begin", k + 1)
        return left if then is None else ("open", then, left)

    # Barrier::reset

    def reset(self, world, me, slot):
        number, broken = low = world.words[self.low]
        count, _ = high = world.words[self.high]
        left = ("leave", self.rounds, slot, None)
        if broken == RENEWING:
            return ("stamp", number, 0, left)  # another's
        begin = ("begin_reset", slot, low, high)
        # Where nobody waits and nobody died, there is nothing to do.
        return begin if broken or count else ("find_dead", number, 0, left, begin)

    def begin_reset(self, world, me, slot, low, high):
        if (world.words[self.low], world.words[self.high]) != (low, high):
            return ("reset", slot)
        number = low[0]
        world.words[self.low] = (number, RENEWING)
        return ("stamp", number, 0, ("open", number, ("leave", self.rounds, slot, None)))

    def stamp(self, world, me, number, other, then):
        if other == self.locks or self.variant == "no_stamps":
            return ("renew", number, then)
        note = world.words[self.locks + other]
        if note[0] is not None and note[0] <= number and note[2] is None:
            if self.coarse:
                self.write_stamp(world, me, number, other, note, then)
            else:
                return ("write_stamp", number, other, note, then)
        if self.coarse:
            return self.stamp(world, me, number, other + 1, then)
        return ("stamp", number, other + 1, then)

    def write_stamp(self, world, me, number, other, note, then):
        if world.words[self.locks + other] == note:
            world.words[self.locks + other] = note[:2] + (note[0] < number,)
        return ("stamp", number, other + 1, then)

    def renew(self, world, me, number, then):
        if world.words[self.low] == (number, RENEWING):
            world.words[self.low], world.words[self.high] = (number + 1, False), (0, False)
        return then


if __name__ == "__main__":
    report = Report()
    for roles, n, kills in [("w", 1, 1), ("ww", 2, 1), ("wt", 2, 1), ("wr", 2, 1)]:
        report.holds(f"{roles}, a barrier of {n}, killed anywhere", Barrier(roles, n), kills)
    report.holds("ww, a barrier of 2, twice", Barrier("ww", 2, rounds=2), 1)
    report.holds("www, a barrier of 2: one too many", Barrier("www", 2), 0)
    report.holds("www through a barrier of 1 with 1 slot", Barrier("www", 1, slots=1), 1)
    report.long("www, a barrier of 3", Barrier("www", 3), 1)
    report.long("xxr", Barrier("xxr", 2), 0)
    report.long("wwrr", Barrier("wwrr", 2, slots=3), 1)
    report.long("wwww, a barrier of 2: two rounds", Barrier("wwww", 2), 1)
    report.long("www, looking slot by slot", Barrier("www", 3, coarse=False), 1)
    report.long("wwt", Barrier("wwt", 3), 1)
    report.long("www, two kills", Barrier("www", 3), 2)
    report.long("www, a barrier of 2 with 2 slots, two kills", Barrier("www", 2, slots=2), 2)
    report.long("www, a barrier of 2", Barrier("www", 2), 1)
    report.long("wtr", Barrier("wtr", 2), 1)
    report.long("xxr", Barrier("xxr", 2), 1)
    report.long("wwr", Barrier("wwr", 2), 1)
    report.long("xxr, two kills", Barrier("xxr", 2), 2)
    report.long("xxrr", Barrier("xxrr", 2), 0)

    report.holds("ww, a barrier of 2: deaths that the kernel doesn't mark", Barrier("ww", 2, marked=False), 1)
    report.holds("ww, a barrier of 2: without futex_waitv", Barrier("ww", 2, blind=True), 1)
    report.long("www, a barrier of 3: deaths that the kernel doesn't mark", Barrier("www", 3, marked=False), 1)
    report.long("www through a barrier of 2 with 2 slots", Barrier("www", 2, slots=2), 1)

    def fails(name, roles, n, kills, problem, **how):
        report.fails(name, Barrier(roles, n, **how), kills, problem)

    fails("counted before the slot says for which round", "ww", 2, 1, "completed although", variant="count_first")
    fails("no look for the dead when arriving", "ww", 2, 1, "completed although", variant="no_look")
    fails("the note of the dead is cleared", "www", 2, 1, "completed although", variant="clear_note")
    fails("woken by a death and not handed on", "www", 3, 1, "hang", variant="no_handing_on")
    fails("handed on in its own round only", "www", 2, 1, "hang", variant="own_door")
    fails("the last one gives its slot back first", "ww", 2, 1, "hang", variant="leave_first")
    fails("slots without WAITERS", "ww", 2, 1, "hang", variant="unmarked_slot")
    fails("a reset without a slot", "wr", 2, 1, "hang", variant="reset_slotless")
    fails("an outcome for one who wasn't counted", "wwr", 2, 1, "round 0: told", variant="outcome_uncounted")
    fails("nobody helps a reset", "xxr", 2, 0, "told of a reset", variant="nobody_helps")
    fails("a reset without stamps", "wtr", 2, 0, "round", variant="no_stamps", rounds=2)
    fails("the state not looked at again", "ww", 2, 1, "hang", variant="asleep_already")
    fails("a slot that is as it was after two deaths", "www", 2, 2, "hang", variant="same_again", slots=2)
    fails("the gate read after the state", "ww", 2, 0, "hang", variant="gate_late")
    report.exit()
