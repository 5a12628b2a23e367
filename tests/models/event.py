"""The manual-reset event of src/backend/futex/event.rs.

One word: (set, W, generation). Setting is one FUTEX_WAKE_OP that ORs `set` and wakes everybody, so two setters at once do no
harm and one that is killed has set or hasn't. Resetting begins another generation, by which those who were woken know
that it was set though it isn't any more. While it is set nobody sleeps, so resetting drops W too.

Auto-reset events are semaphores with at most one permit: semaphore.py.

Threads by role:
  w  wait            t  wait with a time limit        s  set        r  reset        x  set, then reset

Variants, which must fail:
  set_then_wake     `set` is stored first, and everybody is woken by the next call
  no_generation     resetting leaves the generation as it is
  add               setting adds to the word, so two setters at once carry into the next bit
"""

from kernel import ALL, DEAD, DONE, Program, Report, sleep

EVENT, SETS = 0, 1


class Event(Program):
    def __init__(self, roles, variant=None):
        self.roles, self.threads, self.variant = roles, len(roles), variant

    def words(self):
        # The event; how often it was set.
        return [(False, False, 0), 0]

    def first(self, me):
        return ("enter",) if self.roles[me] in "wt" else ("reset",) if self.roles[me] == "r" else ("set",)

    def may_rest(self, world):
        """Waiters are left who began to wait after it was set last."""
        left = [place for place in world.at if place not in (DONE, DEAD)]
        return not world.words[EVENT][0] and all(place[0] == "$asleep" and place[1][2] == world.words[SETS] for place in left)

    def wrong(self, world):
        if isinstance(world.words[EVENT][0], str):
            return "carried"
        for place in world.at:
            if place[0] == "$wrong":
                return place[1]
        return None

    # wait

    def enter(self, world, me):
        return DONE if world.words[EVENT][0] else ("begin",)

    def begin(self, world, me):
        return ("look", world.words[EVENT][2], world.words[SETS])

    def look(self, world, me, generation, sets):
        is_set, _, now = world.words[EVENT]
        if is_set or now != generation:
            return DONE
        if world.words[SETS] != sets:
            return ("$wrong", f"not let pass by set number {sets + 1}")
        # Its time may be up at any look.
        wait = ("prepare", generation, sets)
        return [(world.copy(), DONE), (world, wait)] if self.roles[me] == "t" else wait

    def prepare(self, world, me, generation, sets):
        """The compare-exchange of the word as it is where nobody sleeps; if somebody does, it sleeps too."""
        if world.words[EVENT] not in ((False, False, generation), (False, True, generation)):
            return ("look", generation, sets)
        word = world.words[EVENT] = (False, True, generation)
        return sleep(EVENT, word, ("slept", generation, sets), self.roles[me] == "t")

    def slept(self, world, me, generation, sets, how):
        return ("look", generation, sets)

    # set, reset

    def after_set(self, me):
        return ("reset",) if self.roles[me] == "x" else DONE

    def set(self, world, me):
        is_set, w, _ = word = world.words[EVENT]
        if self.variant == "add" and w or w and not is_set and self.variant != "set_then_wake":
            return ("set_and_wake",)
        return ("set_at_once", word)

    def set_at_once(self, world, me, word):
        """A compare-exchange, even where it is set: that orders what was done before it."""
        if world.words[EVENT] != word:
            return ("set",)
        is_set, w, generation = word
        if is_set:
            return self.after_set(me)
        world.words[EVENT] = (True, w, generation)
        world.words[SETS] += 1
        return ("wake",) if w else self.after_set(me)

    def set_and_wake(self, world, me):
        is_set, w, generation = world.words[EVENT]
        world.words[EVENT] = ("carried" if is_set and self.variant == "add" else True, w, generation)
        world.words[SETS] += not is_set
        return [(after, self.after_set(me)) for after, _ in world.wake(EVENT, ALL)]

    def wake(self, world, me):
        return [(after, self.after_set(me)) for after, _ in world.wake(EVENT, ALL)]

    def reset(self, world, me):
        is_set, w, generation = world.words[EVENT]
        if is_set:
            world.words[EVENT] = (False, False, generation + (self.variant != "no_generation"))
        return DONE


if __name__ == "__main__":
    report = Report()
    for roles, kills in [("wwx", 2), ("wtx", 2), ("wwss", 1), ("wxs", 2), ("wwxr", 1), ("wxx", 2)]:
        report.holds(f"{roles}: killed anywhere", Event(roles), kills)
    report.fails("sets, then wakes", Event("ws", variant="set_then_wake"), 1, "hang")
    report.fails("no generation", Event("wx", variant="no_generation"), 0, "not let pass")
    report.fails("adds", Event("wss", variant="add"), 0, "carried")
    report.exit()
