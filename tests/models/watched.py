"""The protocols of src/backend/watched, but for the larger ones (watched_barrier.py, watched_rwlock.py): Mutex, Semaphore,
Event, Condvar, Permits and Once, over the bells of src/backend/watched/waiting.rs.

The kernel knows nothing of these words, so nobody is told of a death: an owner that is gone stays one until somebody has looked
and buried it. Sleepers sleep in slices: where somebody may be killed, one may go on at any time, with a look at the owners or
without, and that is all there is to sleeping. Where nobody is killed no slice should be needed: with `bells` nobody wakes but by
a ring that it hears.

Variants of all, which must fail:
  count_late      a sleeper is counted after its last look at the words, not before
  look_early      who changes a word looks whether anybody is counted before the change, not after
  never_ask       nobody asks whether an owner still exists
  bury_blindly    who found an owner gone frees the word, whatever stands there by then
  keep_the_ring   a ring that was for one who came before is kept
"""

from kernel import DEAD, DONE, FREE, Program, Report

ALL = 99
OWNED = "owned"


class Watched(Program):
    """Words, of which the first ones have owners, and one bell: sleepers counted and rings to hear."""

    marked = False
    owned = 1

    def __init__(self, roles, variant=None, bells=False):
        self.roles, self.threads, self.variant, self.bells = roles, len(roles), variant, bells
        self.bell = len(self.shared())

    def shared(self):
        raise NotImplementedError

    def words(self):
        return self.shared() + [(0, 0)]

    def who_is_inside(self, world):
        return [me for me, place in enumerate(world.at) if place[0] == "inside"]

    # Waiting::sleep_if, while every one of `looks`, (word, value)s, is so; `late` is where one gives up whose time is up

    def sleep(self, me, looks, again, late=None, passes=False):
        if not self.bells:
            return ("slice", again, late if self.roles[me] == "t" else None)
        if passes and self.variant != "keep_the_ring":
            again = ("heard", looks, again)
        return ("last_look", looks, again, False) if self.variant == "count_late" else ("count", looks, again)

    def slice(self, world, me, again, late):
        out = [(world.copy(), again)]
        if late:
            out.append((world.copy(), late))
        gone = tuple((word, world.words[word]) for word in range(self.owned) if self.is_gone(world, word))
        if gone:
            out.append((world.copy(), ("bury", gone, again)))
        return out

    def is_gone(self, world, word):
        owner = world.words[word][0]
        return self.variant != "never_ask" and isinstance(owner, int) and world.at[owner] == DEAD

    def bury(self, world, me, gone, again):
        (word, seen), rest = gone[0], gone[1:]
        if world.words[word] == seen or self.variant == "bury_blindly":
            world.words[word] = (None, seen[1], True)
        return ("bury", rest, again) if rest else again

    def is_so(self, world, word, value):
        return world.words[word][0] is not None if value is OWNED else world.words[word] == value

    def count(self, world, me, looks, again):
        sleepers, rings = world.words[self.bell]
        world.words[self.bell] = (sleepers + 1, rings)
        return ("last_look", looks, again, True) if self.variant != "count_late" else ("listen", again)

    def last_look(self, world, me, looks, again, counted):
        (word, value), rest = looks[0], looks[1:]
        if not self.is_so(world, word, value):
            return ("uncount", again) if counted else again
        if rest:
            return ("last_look", rest, again, counted)
        return ("listen", again) if counted else ("count", looks, again)

    def listen(self, world, me, again):
        sleepers, rings = world.words[self.bell]
        if rings == 0:
            return None
        world.words[self.bell] = (sleepers, rings - 1)
        return ("uncount", again)

    def uncount(self, world, me, again):
        sleepers, rings = world.words[self.bell]
        world.words[self.bell] = (sleepers - 1, rings)
        return again

    def heard(self, world, me, looks, again):
        """Waiting::pass_on, if nothing has changed. (It does so 16 times at most; then a slice helps.)"""
        unchanged = all(self.is_so(world, *look) for look in looks)
        return ("ring", 1, again) if unchanged and world.words[self.bell][0] else again

    # Waiting::wake, after a change

    def changes(self, count, change, then):
        """The change, which is a step of its own, then the waking."""
        if not self.bells:
            return change + (then,)
        if self.variant == "look_early":
            return ("look_early", count, change, then)
        return change + (("wake", count, then),)

    def look_early(self, world, me, count, change, then):
        wakes = ("wake_room", count, world.words[self.bell][0], then)
        return change + ((wakes if world.words[self.bell][0] else then),)

    def wake(self, world, me, count, then):
        sleepers, _ = world.words[self.bell]
        return ("wake_room", count, sleepers, then) if sleepers else then

    def wake_room(self, world, me, count, sleepers, then):
        rings = min(count, max(0, sleepers - world.words[self.bell][1]))
        return ("ring", rings, then)

    def ring(self, world, me, count, then):
        sleepers, rings = world.words[self.bell]
        world.words[self.bell] = (sleepers, rings + count)
        return then

    def end(self, world, me):
        return DONE


class Mutex(Watched):
    """src/backend/watched/mutex.rs. l: lock and unlock; t: the same with a time limit; y: try.

    forget_waiters   who was woken takes the word without W, though others may sleep
    """

    WORD, DIED, POISON = 0, 1, 2

    def shared(self):
        return [FREE, False, False]

    def first(self, me):
        return ("look", False)

    def wrong(self, world):
        inside = self.who_is_inside(world)
        if len(inside) > 1:
            return f"two owners: {inside}"
        if inside and world.words[self.DIED] and not world.words[self.POISON]:
            return "poison lost"
        if world.words[self.POISON] and not world.words[self.DIED]:
            return "poison without a death"
        return None

    def at_kill(self, world, me):
        if world.words[self.WORD][0] == me:
            world.words[self.DIED] = True

    def look(self, world, me, slept):
        word = owner, waiters, died = world.words[self.WORD]
        if owner is None:
            return ("take", word, slept)
        if self.roles[me] == "y":
            return ("ask_last", word)
        return ("mark", word)

    def take(self, world, me, word, slept):
        if world.words[self.WORD] != word:
            return ("look", slept)
        waiters = word[1] or slept and self.variant != "forget_waiters"
        world.words[self.WORD] = (me, waiters, False)
        return ("note",) if word[2] else ("inside",)

    def note(self, world, me):
        world.words[self.POISON] = True
        return ("inside",)

    def ask_last(self, world, me, word):
        if self.is_gone(world, self.WORD) and world.words[self.WORD] == word:
            return ("bury", ((self.WORD, word),), ("look", False))
        return ("end",)

    def mark(self, world, me, word):
        if world.words[self.WORD] != word:
            return ("look", False)
        word = world.words[self.WORD] = (word[0], True, word[2])
        return self.sleep(me, ((self.WORD, word),), ("look", True), ("ask_last", word))

    def inside(self, world, me):
        return self.changes(1, ("release",), ("end",))

    def release(self, world, me, then):
        waiters = world.words[self.WORD][1]
        world.words[self.WORD] = FREE
        return then if waiters else ("end",)


class Permits(Watched):
    """src/backend/watched/permits.rs. a: acquire and give back; t: with a time limit."""

    def __init__(self, roles, slots=1, **how):
        self.slots = self.owned = slots
        super().__init__(roles, **how)

    def shared(self):
        return [FREE] * self.slots

    def first(self, me):
        return ("look", 0)

    def wrong(self, world):
        slots = [place[1] for place in world.at if place[0] == "inside"]
        return "two owners" if len(set(slots)) < len(slots) else None

    def look(self, world, me, slot):
        if slot == self.slots:
            return self.sleep(me, tuple((each, OWNED) for each in range(slot)), ("look", 0), ("end",))
        word = world.words[slot]
        return ("take", slot, word) if word[0] is None else ("look", slot + 1)

    def take(self, world, me, slot, word):
        if world.words[slot] != word:
            return ("look", slot + 1)
        world.words[slot] = (me, word[1], False)
        return ("inside", slot)

    def inside(self, world, me, slot):
        return self.changes(1, ("release", slot), ("end",))

    def release(self, world, me, slot, then):
        world.words[slot] = FREE
        return then


class Semaphore(Watched):
    """src/backend/watched/semaphore.rs. w: wait; t: with a time limit; p: post.

    drop_blindly   who posts and finds nobody counted takes W out, whatever the word is by then
    """

    WORD, POSTED, TAKEN = 0, 1, 2
    owned = 0

    def shared(self):
        return [(0, False), 0, 0]

    def first(self, me):
        return ("post",) if self.roles[me] == "p" else ("take",)

    def wrong(self, world):
        add_up = world.words[self.WORD][0] + world.words[self.TAKEN] == world.words[self.POSTED]
        return None if add_up else "permits don't add up"

    def may_rest(self, world):
        left = [me for me, place in enumerate(world.at) if place not in (DONE, DEAD)]
        return world.words[self.WORD][0] == 0 and all(self.roles[me] in "wt" for me in left)

    def take(self, world, me):
        value, waiters = world.words[self.WORD]
        if not value:
            return ("look",)
        world.words[self.WORD] = (value - 1, waiters)
        world.words[self.TAKEN] += 1
        return DONE

    def look(self, world, me):
        return ("mark", world.words[self.WORD])

    def mark(self, world, me, word):
        if world.words[self.WORD] != word:
            return ("take",)
        word = world.words[self.WORD] = (word[0], True)
        return ("take",) if word[0] else self.sleep(me, ((self.WORD, word),), ("take",), ("end",))

    def post(self, world, me):
        value, waiters = world.words[self.WORD]
        word = world.words[self.WORD] = (value + 1, waiters)
        world.words[self.POSTED] += 1
        return ("is_empty", word) if waiters and self.bells else DONE

    def is_empty(self, world, me, word):
        return ("wake", 1, ("end",)) if world.words[self.bell][0] else ("drop_w", word)

    def drop_w(self, world, me, word):
        if world.words[self.WORD] == word or self.variant == "drop_blindly":
            world.words[self.WORD] = (world.words[self.WORD][0], False)
        return ("mark_again",)

    def mark_again(self, world, me):
        if world.words[self.bell][0] and self.variant != "drop_blindly":
            world.words[self.WORD] = (world.words[self.WORD][0], True)
        return DONE


class Event(Watched):
    """src/backend/watched/event.rs. w: wait; t: with a time limit; s: set; r: reset."""

    WORD, SETS = 0, 1
    owned = 0

    def shared(self):
        return [(False, 0), 0]

    def first(self, me):
        role = self.roles[me]
        return ("enter",) if role in "wt" else ("reset",) if role == "r" else self.changes(ALL, ("raise_it",), ("end",))

    def may_rest(self, world):
        """Waiters are left who began to wait after it was set last."""
        left = [me for me, place in enumerate(world.at) if place not in (DONE, DEAD)]
        now = world.words[self.WORD]
        return not now[0] and all(self.roles[me] in "wt" and now in repr_of(world.at[me]) for me in left)

    def enter(self, world, me):
        word = world.words[self.WORD]
        return DONE if word[0] else ("look", word)

    def look(self, world, me, entered):
        if world.words[self.WORD] != entered:
            return DONE
        return self.sleep(me, ((self.WORD, entered),), ("look", entered), ("end",), passes=True)

    def raise_it(self, world, me, then):
        is_set, count = world.words[self.WORD]
        world.words[self.WORD] = (True, count if is_set else count + 1)
        return then

    def reset(self, world, me):
        world.words[self.WORD] = (False, world.words[self.WORD][1])
        return DONE


def repr_of(place):
    """Everything that stands in a place."""
    for part in place:
        yield part
        if isinstance(part, tuple):
            yield from repr_of(part)


class Condvar(Watched):
    """src/backend/watched/condvar.rs, without the mutex. w: wait; t: with a time limit; a: notify all; o: notify one."""

    WORD = 0
    owned = 0

    def shared(self):
        return [(0, False)]

    def first(self, me):
        return ("enter",) if self.roles[me] in "wt" else ("notify",)

    def may_rest(self, world):
        """Waiters are left that nobody notified since they came, or as many were let go as were notified one by one."""
        left = [me for me, place in enumerate(world.at) if place not in (DONE, DEAD)]
        if not all(self.roles[me] in "wt" for me in left):
            return False
        gone = sum(place in (DONE, DEAD) and self.roles[me] in "wt" for me, place in enumerate(world.at))
        entered = [at for me in left for at in repr_of(world.at[me]) if isinstance(at, str) and at.startswith("@")]
        if any(world.at[me] == ("enter",) for me in left):
            return False
        missed = [world.words[self.WORD][0] - int(at[1:]) for at in entered]
        return all(each == 0 or "a" not in self.roles and gone >= each for each in missed)

    def enter(self, world, me):
        return ("look", f"@{world.words[self.WORD][0]}")

    def look(self, world, me, entered):
        word = world.words[self.WORD]
        if word[0] != int(entered[1:]):
            return DONE
        return ("mark", entered, word)

    def mark(self, world, me, entered, word):
        if world.words[self.WORD] != word:
            return ("look", entered)
        word = world.words[self.WORD] = (word[0], True)
        return self.sleep(me, ((self.WORD, word),), ("look", entered), ("end",), passes=True)

    def notify(self, world, me):
        count, waiters = world.words[self.WORD]
        word = world.words[self.WORD] = (count + 1, waiters)
        return ("is_empty", word) if waiters and self.bells else DONE

    def is_empty(self, world, me, word):
        if world.words[self.bell][0]:
            return ("wake", ALL if self.roles[me] == "a" else 1, ("end",))
        return ("drop_w", word)

    def drop_w(self, world, me, word):
        if world.words[self.WORD] == word:
            world.words[self.WORD] = (world.words[self.WORD][0], False)
        return ("mark_again",)

    def mark_again(self, world, me):
        if world.words[self.bell][0]:
            world.words[self.WORD] = (world.words[self.WORD][0], True)
        return DONE


class Once(Watched):
    """src/backend/watched/once.rs. c: does it, unless another panicked; p: the same, and panics; F: does it even then, and is
    never killed; w: waits, and leaves when it is done, or when there is no hope.

    hope_once   who waits asks whether there is hope before it is counted only: the word may be taken and given up meanwhile
    """

    WORD, PANICKED, EFFECT = 0, 1, 2
    COMPLETE = ("complete", False, False)

    def shared(self):
        return [FREE, False, "nothing"]

    def first(self, me):
        return ("look",)

    def may_be_killed(self, world, me):
        return self.roles[me] != "F"

    def wrong(self, world):
        if any(place[0] == "uses" for place in world.at) and world.words[self.EFFECT] != "all":
            return "used unfinished"
        return "two at work" if sum(place[0] in ("begins", "finishes") for place in world.at) > 1 else None

    def look(self, world, me):
        word = world.words[self.WORD]
        if word == self.COMPLETE:
            return ("uses",)
        if word[0] is None:
            if self.roles[me] != "w":
                return ("take", word)
            if world.words[self.PANICKED]:
                return DONE
        looks = ((self.WORD, word),)
        if word[0] is None and self.variant != "hope_once":
            looks += ((self.PANICKED, False),)
        return self.sleep(me, looks, ("look",), None, passes=True)

    def take(self, world, me, word):
        if world.words[self.WORD] != word:
            return ("look",)
        world.words[self.WORD] = (me, False, False)
        return ("ask_poison",)

    def ask_poison(self, world, me):
        if world.words[self.PANICKED] and self.roles[me] != "F":
            return self.changes(ALL, ("give_up",), ("end",))
        return ("begins",)

    def begins(self, world, me):
        world.words[self.EFFECT] = "half"
        if self.roles[me] == "p":
            return ("panics", self.changes(ALL, ("give_up",), ("end",)))
        return ("finishes",)

    def panics(self, world, me, then):
        world.words[self.PANICKED] = True
        return then

    def finishes(self, world, me):
        world.words[self.EFFECT] = "all"
        return self.changes(ALL, ("complete",), ("uses",))

    def complete(self, world, me, then):
        world.words[self.WORD] = self.COMPLETE
        return then

    def give_up(self, world, me, then):
        world.words[self.WORD] = FREE
        return then

    def uses(self, world, me):
        return DONE


if __name__ == "__main__":
    report = Report()

    def holds(model, roles, kills, *how, long=()):
        name = model.__name__
        report.holds(f"{name} {' '.join(map(str, (roles, *how)))}, killed anywhere", model(roles, *how), kills)
        report.holds(f"{name} {' '.join(map(str, (roles, *how)))}, woken by rings alone", model(roles, *how, bells=True), 0)
        for more in long:
            report.long(f"{name} {more}, killed anywhere", model(more, *how), kills)
            report.long(f"{name} {more}, woken by rings alone", model(more, *how, bells=True), 0)

    holds(Mutex, "lll", 2, long=["llll"])
    report.holds("Mutex ltly, killed anywhere", Mutex("ltly"), 1)
    holds(Permits, "aaa", 1, 1)
    holds(Permits, "aaa", 1, 2, long=["aaaa"])
    holds(Semaphore, "wwpp", 1, long=["wwppp", "wwwppp"])
    holds(Event, "wwsr", 1, long=["wwssr"])
    holds(Condvar, "wwa", 1)
    report.holds("Condvar wwoo, killed anywhere", Condvar("wwoo"), 1)
    report.holds("Condvar wwaa, killed anywhere", Condvar("wwaa"), 1)
    report.fails("Condvar wwoo: one of two at once may find room for no ring, which costs a slice", Condvar("wwoo", bells=True), 0, "hang")
    holds(Once, "cFw", 2)
    holds(Once, "pFw", 1)
    holds(Once, "pww", 0, long=["pFww", "cFww"])

    def fails(model, roles, variant, kills, problem, *how, bells=False):
        name = f"{model.__name__}, {variant}"
        report.fails(name, model(roles, *how, variant=variant, bells=bells), kills, problem)

    for model, roles, how in [
        (Mutex, "ll", ()), (Permits, "aa", (1,)), (Semaphore, "wp", ()), (Event, "ws", ()), (Condvar, "wa", ()), (Once, "cw", ())
    ]:
        fails(model, roles, "count_late", 0, "hang", *how, bells=True)
    for model, roles, how in [(Permits, "aa", (1,)), (Event, "ws", ()), (Once, "cw", ())]:
        fails(model, roles, "look_early", 0, "hang", *how, bells=True)
    for model, roles in [(Mutex, "ll"), (Permits, "aa"), (Once, "cF")]:
        fails(model, roles, "never_ask", 1, "hang")
    for model, roles, problem in [(Mutex, "lll", "two owners"), (Permits, "aaa", "two owners"), (Once, "cFF", "used unfinished")]:
        fails(model, roles, "bury_blindly", 1, problem)
    fails(Mutex, "lll", "forget_waiters", 0, "hang", bells=True)
    fails(Semaphore, "wwppp", "drop_blindly", 0, "hang", bells=True)
    fails(Event, "wwsr", "keep_the_ring", 0, "hang", bells=True)
    fails(Once, "pww", "hope_once", 0, "hang", bells=True)
    report.exit()
