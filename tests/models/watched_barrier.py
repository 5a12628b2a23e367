"""The barrier of src/backend/watched/barrier.rs: places with owners that the kernel knows nothing of, and two bells.

As in watched.py: where somebody may be killed a sleeper may go on at any time, with a look at all places or without; with
`bells` nobody is killed and nobody wakes but by a ring.

Threads by role:
  w  wait            t  wait with a time limit        r  reset        x  wait, and once more if told that it is broken

Variants, which must fail:
  count_first        an arrival is counted before the note says for which round
  no_look            who comes last doesn't look for the dead
  free_first         who finds an owner gone frees the place, then breaks the round
  no_stamps          a reset leaves the notes as they are
  nobody_helps       who comes during a reset doesn't end it
  count_late         a sleeper is counted after its last look at the state, not before
  one_bell           sleepers of all rounds have one bell
"""

from kernel import DEAD, DONE, Program, Report

NOBODY = (None, False, False)
RENEWING = "renewing"


class Barrier(Program):
    marked = False

    def __init__(self, roles, n, slots=None, rounds=1, variant=None, bells=False):
        self.roles, self.threads, self.n, self.rounds = roles, len(roles), n, rounds
        self.slots, self.variant, self.bells = slots or len(roles), variant, bells
        self.state, self.completed, self.deaths, self.counted = range(2 * self.slots, 2 * self.slots + 4)
        self.door_at = 2 * self.slots + 4

    def words(self):
        # Owners; notes (round, outcome), None where there is none; the state (round, arrived, broken); what is true of the
        # rounds: completed ones, those in which somebody died who had arrived, who was counted; two bells.
        notes = [None] * self.slots
        return [NOBODY] * self.slots + notes + [(0, 0, False), frozenset(), frozenset(), frozenset(), (0, 0), (0, 0)]

    def note(self, place):
        return self.slots + place

    def door(self, number):
        return self.door_at + (0 if self.variant == "one_bell" else number % 2)

    def first(self, me):
        return ("enter", 1)

    def at_kill(self, world, me):
        number = world.words[self.state][0]
        if (me, number) in world.words[self.counted]:
            world.words[self.deaths] |= {number}

    def wrong(self, world):
        return next((place[1] for place in world.at if place[0] == "$wrong"), None)

    def may_rest(self, world):
        """Who waits in a round that never fills up, where nobody has died, waits rightly."""
        number, _, broken = world.words[self.state]
        waits = ("slice", "listen")
        left = [place for place in world.at if place not in (DONE, DEAD)]
        return not broken and number not in world.words[self.deaths] and all(p[0] in waits and p[2] == number for p in left)

    def is_gone(self, world, place):
        owner = world.words[place][0]
        return owner is not None and world.at[owner] == DEAD

    def has_dead(self, world, number):
        """All places at one moment: a note is of the one who is gone or of nobody, so the moments needn't be one."""
        notes = world.words[self.slots:2 * self.slots]
        return any(note and note[0] == number and self.is_gone(world, place) for place, note in enumerate(notes))

    # arriving

    def enter(self, world, me, k):
        out = []
        for place in range(self.slots):
            if world.words[place][0] is None:
                new = world.copy()
                new.words[place] = (me, False, False)
                out.append((new, ("reset" if self.roles[me] == "r" else "arrive", k, place)))
            elif self.is_gone(world, place):
                out.append((world.copy(), ("bury", place, world.words[place], ("enter", k))))
        return out or None

    def arrive(self, world, me, k, place):
        seen = number, arrived, broken = world.words[self.state]
        if broken == RENEWING and self.variant != "nobody_helps":
            return ("stamp", number, 0, ("arrive", k, place))
        if broken:
            return ("leave", k, place, False)
        seen = (seen, number in world.words[self.deaths])
        if self.variant != "count_first":
            return ("note_it", k, place, seen)
        return ("look_for_dead", k, place, seen) if arrived + 1 == self.n else ("count", k, place, seen)

    def note_it(self, world, me, k, place, seen):
        (number, arrived, _), _ = seen
        world.words[self.note(place)] = (number, None)
        if self.variant == "count_first":
            return ("look", k, place, number)
        last = arrived + 1 == self.n and self.n > 1 and self.variant != "no_look"
        return ("look_for_dead", k, place, seen) if last else ("count", k, place, seen)

    def look_for_dead(self, world, me, k, place, seen):
        if self.has_dead(world, seen[0][0]):
            return ("break_it", seen[0][0], ("leave", k, place, False), ("arrive", k, place))
        return ("count", k, place, seen)

    def count(self, world, me, k, place, seen):
        (number, arrived, _), warned = seen
        if world.words[self.state] != seen[0]:
            return ("arrive", k, place)
        world.words[self.counted] |= {(me, number)}
        if arrived + 1 < self.n:
            world.words[self.state] = (number, arrived + 1, False)
            return ("note_it", k, place, seen) if self.variant == "count_first" else ("look", k, place, number)
        # Who died after that look was alive when all had come.
        if warned:
            return ("$wrong", f"completed although somebody had died in round {number}")
        world.words[self.state] = (number + 1, 0, False)
        world.words[self.completed] |= {number}
        return self.ring_all(number, ("leave", k, place, None))

    # waiting

    def look(self, world, me, k, place, number):
        if not self.is_on(world, number):
            return ("outcome", k, place, number)
        if not self.bells:
            return ("slice", ("look", k, place, number), number, (k, place))
        again = ("look", k, place, number)
        return ("last_look", again, number, False) if self.variant == "count_late" else ("count_asleep", again, number)

    def is_on(self, world, number):
        now, _, broken = world.words[self.state]
        return now == number and not broken

    def slice(self, world, me, again, number, mine):
        out = [(world.copy(), again)]
        if self.roles[me] == "t":
            out.append((world.copy(), ("break_it", number, ("leave", *mine, False), again)))
        for place in range(self.slots):
            if self.is_gone(world, place):
                out.append((world.copy(), ("bury", place, world.words[place], again)))
        return out

    def count_asleep(self, world, me, again, number):
        sleepers, rings = world.words[self.door(number)]
        world.words[self.door(number)] = (sleepers + 1, rings)
        return ("listen", again, number) if self.variant == "count_late" else ("last_look", again, number, True)

    def last_look(self, world, me, again, number, counted):
        if not self.is_on(world, number):
            return ("uncount", again, number) if counted else again
        return ("listen", again, number) if counted else ("count_asleep", again, number)

    def listen(self, world, me, again, number):
        sleepers, rings = world.words[self.door(number)]
        if rings == 0:
            return None
        world.words[self.door(number)] = (sleepers, rings - 1)
        return ("uncount", again, number)

    def uncount(self, world, me, again, number):
        sleepers, rings = world.words[self.door(number)]
        world.words[self.door(number)] = (sleepers - 1, rings)
        return again

    def ring_all(self, number, then):
        return ("ring", number, then) if self.bells else then

    def ring(self, world, me, number, then):
        sleepers, rings = world.words[self.door(number)]
        world.words[self.door(number)] = (sleepers, max(sleepers, rings))
        return then

    # Barrier::bury_if_gone, of an owner that was found gone

    def bury(self, world, me, place, seen, then):
        return ("bury_look", place, seen, world.words[self.note(place)], then)

    def bury_look(self, world, me, place, seen, note, then):
        if world.words[place] != seen:
            return then
        free = ("bury_free", place, seen, then)
        if note is None:
            return free
        if self.variant == "free_first":
            return ("bury_free", place, seen, ("break_it", note[0], then, then))
        return ("break_it", note[0], free, free)

    def bury_free(self, world, me, place, seen, then):
        if world.words[place] == seen:
            world.words[place] = NOBODY
        return then

    def break_it(self, world, me, number, then, otherwise):
        now, arrived, broken = world.words[self.state]
        if now != number or broken:
            return otherwise
        if DEAD not in world.at and "t" not in self.roles:
            return ("$wrong", f"round {number} is broken though nobody is dead")
        world.words[self.state] = (now, arrived, True)
        return self.ring_all(number, then)

    def outcome(self, world, me, k, place, number):
        if world.words[self.state][0] == number:
            return self.found(world, k, place, number, False)
        return ("read_note", k, place, number)

    def read_note(self, world, me, k, place, number):
        return self.found(world, k, place, number, world.words[self.note(place)][1] is not False)

    def found(self, world, k, place, number, through):
        if through != (number in world.words[self.completed]):
            return ("$wrong", f"round {number}: told {through}, which is wrong")
        return ("leave", k, place, None if through else False)

    # leaving; `then` is None after a round that was completed, False after one that was broken

    def leave(self, world, me, k, place, then):
        world.words[self.note(place)] = None
        return ("release", k, place, then)

    def release(self, world, me, k, place, then):
        world.words[place] = NOBODY
        if then is False and self.roles[me] == "x":
            if k == 1:
                return ("enter", 2)
            if DEAD not in world.at and "t" not in self.roles:
                return ("$wrong", "told of a reset for the second time")
        return DONE if then is False or k >= self.rounds else ("enter", k + 1)

    # Barrier::reset

    def reset(self, world, me, k, place):
        number, arrived, broken = world.words[self.state]
        left = ("leave", self.rounds, place, None)
        if broken == RENEWING:
            return ("stamp", number, 0, left)
        if not broken and not arrived and not self.has_dead(world, number):
            return left
        return ("begin_reset", place, (number, arrived, broken))

    def begin_reset(self, world, me, place, seen):
        if world.words[self.state] != seen:
            return ("reset", 1, place)
        number, arrived, _ = seen
        world.words[self.state] = (number, arrived, RENEWING)
        return ("stamp", number, 0, self.ring_all(number, ("leave", self.rounds, place, None)))

    def stamp(self, world, me, number, place, then):
        if place == self.slots or self.variant == "no_stamps":
            return ("renew", number, then)
        note = world.words[self.note(place)]
        if note is not None and note[0] <= number and note[1] is None:
            return ("write_stamp", number, place, note, then)
        return ("stamp", number, place + 1, then)

    def write_stamp(self, world, me, number, place, note, then):
        if world.words[self.note(place)] == note:
            world.words[self.note(place)] = (note[0], note[0] < number)
        return ("stamp", number, place + 1, then)

    def renew(self, world, me, number, then):
        now, _, broken = world.words[self.state]
        if now == number and broken == RENEWING:
            world.words[self.state] = (number + 1, 0, False)
        return then


if __name__ == "__main__":
    report = Report()
    for roles, n, kills in [("w", 1, 1), ("ww", 2, 2), ("wt", 2, 1), ("wr", 2, 1), ("www", 3, 1)]:
        report.holds(f"{roles}, a barrier of {n}, killed anywhere", Barrier(roles, n), kills)
    report.holds("ww, a barrier of 2, twice", Barrier("ww", 2, rounds=2), 1)
    report.holds("xxr, a barrier of 2", Barrier("xxr", 2), 0)
    report.holds("ww, a barrier of 2, twice, woken by rings alone", Barrier("ww", 2, rounds=2, bells=True), 0)
    report.holds("www, a barrier of 3, woken by rings alone", Barrier("www", 3, bells=True), 0)
    report.long("www, a barrier of 2", Barrier("www", 2), 1)
    report.long("www, a barrier of 3, two kills", Barrier("www", 3), 2)
    report.long("wwr", Barrier("wwr", 2), 1)
    report.long("wtr", Barrier("wtr", 2), 1)
    report.long("xxr", Barrier("xxr", 2), 1)
    report.long("www, a barrier of 3, twice, woken by rings alone", Barrier("www", 3, rounds=2, bells=True), 0)

    def fails(name, roles, n, kills, problem, **how):
        report.fails(name, Barrier(roles, n, **how), kills, problem)

    fails("counted before the note says for which round", "ww", 2, 1, "completed although", variant="count_first")
    fails("no look for the dead when arriving", "ww", 2, 1, "completed although", variant="no_look")
    fails("the place is freed before the round is broken", "www", 3, 2, "hang", variant="free_first", slots=3)
    fails("a reset without stamps", "wtr", 2, 0, "round 0: told", variant="no_stamps")
    fails("nobody helps a reset", "xxr", 2, 0, "told of a reset", variant="nobody_helps")
    fails("counted asleep after the last look", "ww", 2, 0, "hang", variant="count_late", bells=True)
    fails("one bell", "www", 2, 0, "hang", variant="one_bell", rounds=2, bells=True)
    report.exit()
