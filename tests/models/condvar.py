"""The condition variable of src/backend/futex/condvar.rs: the sequence with its W, the baton, slices; and as much of the mutex as a wait needs (mutex.py has the rest).

Threads by role:
  w  waits, and unlocks the mutex       t  the same with a time limit       b  locks and unlocks
  o  notify_one                         a  notify_all

Two questions:
  at once  When nothing moves any more but by a slice, no waiter is asleep that a notification should have reached: of k
           notifications of one, k waits have returned or nobody is left who slept through them; after one of all, nobody
           is left. Without kills this is asked of every schedule; with them o and a begin when every waiter sleeps.
  in time  All begin when they like, and sleepers look up now and then: nobody who has missed a notification sleeps for
           ever.

A sleeper is queued on the baton, then on the sequence, which is compared as it is queued there; woken through one, it stays
queued on the other until it runs. Queues are in the order of arrival.

Variants, which must fail:
  no_baton        a woken waiter takes its mutex with nothing in its hands
  baton_too_soon  it gives the baton back before it has the mutex
  announce_baton  it leaves the baton announced while it takes the mutex, to spare itself the baton's being linked
  unannounced     a sleeper doesn't announce the baton
  count_apart     a notification counts, and wakes in a second step
  clear_apart     W is dropped by a step of its own, and nobody is woken with it
  wake_first      W is dropped after waking everybody
  clock_first     a timed waiter that was woken looks at its clock first
  return_unannounced  the baton is given back without announcing it
  wake_baton      notifications wake through the baton, where a waiter is queued before the sequence is compared
  slice_forgets   after a slice the sequence is read anew
"""

from kernel import ALL, DEAD, DONE, FREE, Program, Report, World

MUTEX, BATON, SEQUENCE, WAITING, MUTEX_QUEUE, BATON_QUEUE, SEQUENCE_QUEUE, WOKEN, GIVEN, RETURNED, ENTRIES = range(11)
QUEUE_OF = {MUTEX: MUTEX_QUEUE, BATON: BATON_QUEUE, SEQUENCE: SEQUENCE_QUEUE}


class Condvar(Program):
    locks = 2

    def __init__(self, roles, at_once=False, variant=None, after_all=False, marked=True, blind=False):
        self.after_all, self.marked, self.blind = after_all, marked, blind
        self.roles, self.at_once, self.variant, self.threads = roles, at_once, variant, len(roles)
        self.wakes_on = BATON if variant == "wake_baton" else SEQUENCE

    def words(self):
        # The mutex; the baton; the sequence as (of one, of all) and its W; the queues; who was woken and hasn't run;
        # notifications of one that somebody waited for; waits that returned notified; each waiter's first reading.
        return [FREE, FREE, (0, 0), False, (), (), (), (), 0, 0, (None,) * self.threads]

    def first(self, me):
        return {"w": ("enter",), "t": ("enter",), "b": ("lock",)}.get(self.roles[me], ("notify",))

    def waiters(self):
        return [me for me, role in enumerate(self.roles) if role in "wt"]

    # What is asked.

    def wrong(self, world):
        owner = world.words[MUTEX][0]
        if self.marked and owner is not None and world.at[owner] == DEAD:
            return f"unmarked: {owner} is dead and owns the mutex"
        holder = world.words[BATON][0]
        if self.marked and holder is not None and world.at[holder] == DEAD:
            return f"unmarked: {holder} is dead and has the baton"
        if not self.at_once or not self.quiet(world):
            return None
        for me in self.waiters():
            if world.at[me][0] == "asleep_in_mutex":
                return f"lost: {me} sleeps beside a free mutex"
            if world.at[me][0] == "asleep":
                (ones, alls), (ones_then, alls_then) = world.words[SEQUENCE], world.words[ENTRIES][me]
                if alls != alls_then or ones != ones_then and world.words[RETURNED] < world.words[GIVEN]:
                    return f"lost: {me} sleeps through a notification"
        return None

    def quiet(self, world):
        """Nobody moves, but for slices."""
        resting = ("asleep", "asleep_in_mutex")
        at_rest = (place in (DONE, DEAD) or place[0] in resting for place in world.at)
        return not world.words[WOKEN] and all(at_rest)

    def due(self, world):
        """Those who wait and haven't returned."""
        return sum(
            world.words[ENTRIES][me] is not None and world.at[me] not in (DONE, DEAD) and world.at[me][0] not in RETURNING
            for me in self.waiters()
        )

    def at_kill(self, world, me):
        for queue in (MUTEX_QUEUE, BATON_QUEUE, SEQUENCE_QUEUE, WOKEN):
            world.words[queue] = tuple(t for t in world.words[queue] if t != me)
        entries = list(world.words[ENTRIES])
        entries[me] = None
        world.words[ENTRIES] = tuple(entries)
        world.words[GIVEN] = min(world.words[GIVEN], world.words[RETURNED] + self.due(world))

    # A wait. `entered` is what the waiter takes for the sequence at its entry.

    def enter(self, world, me):
        """Locks, reads the sequence, unlocks."""
        self.look_after(world, MUTEX)
        owner, waiting, died = world.words[MUTEX]
        if owner is not None:
            return None
        entered = world.words[SEQUENCE]
        entries = list(world.words[ENTRIES])
        entries[me] = entered
        world.words[ENTRIES] = tuple(entries)
        if not waiting:
            return ("look", entered)
        return [(after, ("look", entered)) for after in self.wake_for_mutex(world)]

    def look_after(self, world, word):
        """bury_if_gone, where the kernel marks no death."""
        owner, waiting, _ = world.words[word]
        if not self.marked and owner is not None and world.at[owner] == DEAD:
            world.words[word] = (None, waiting, True)

    def wake_for_mutex(self, world):
        """RobustWord::wake_one, in one step."""
        out = []
        for after, woken in world.wake(MUTEX, 1):
            if not woken:
                owner, _, died = after.words[MUTEX]
                after.words[MUTEX] = (owner, False, died)
            out.append(after)
        return out

    def look(self, world, me, entered):
        if world.words[SEQUENCE] != entered:
            return ("announce_mutex", entered, "noticed")
        wait = ("announce_baton", entered) if world.words[WAITING] else ("announce_waiting", entered)
        # Its time may be up at any look.
        late = ("announce_mutex", entered, "timeout")
        return [(world.copy(), late), (world, wait)] if self.roles[me] == "t" else wait

    def announce_waiting(self, world, me, entered):
        if world.words[SEQUENCE] == entered and not world.words[WAITING]:
            world.words[WAITING] = True
            return ("announce_baton", entered)
        return ("look", entered)

    def announce_baton(self, world, me, entered):
        if self.variant != "unannounced":
            world.pending[me] = BATON
        return ("read_baton", entered)

    def read_baton(self, world, me, entered):
        return ("queue", entered, world.words[BATON])

    def queue(self, world, me, entered, baton):
        if self.blind:
            return ("compare", entered)
        if world.words[BATON] != baton:
            return ("forget_baton", entered)
        world.words[BATON_QUEUE] += (me,)
        return ("compare", entered)

    def compare(self, world, me, entered):
        if world.words[SEQUENCE] == entered and world.words[WAITING]:
            world.words[SEQUENCE_QUEUE] += (me,)
            return ("asleep", entered)
        if me in world.words[WOKEN]:
            return self.woken(world, me, entered)
        self.leave_queues(world, me)
        return ("forget_baton", entered)

    def leave_queues(self, world, me):
        for queue in (BATON_QUEUE, SEQUENCE_QUEUE):
            world.words[queue] = tuple(t for t in world.words[queue] if t != me)

    def asleep(self, world, me, entered):
        if me in world.words[WOKEN]:
            return self.woken(world, me, entered)
        out = []

        def leave(place):
            new = world.copy()
            self.leave_queues(new, me)
            out.append((new, place))

        notifiers = [world.at[t] for t, role in enumerate(self.roles) if role in "oa"]
        calm = self.quiet(world) if self.at_once else all(place in (DONE, DEAD) for place in notifiers)
        if calm and (self.at_once or world.words[SEQUENCE] == world.words[ENTRIES][me]):
            leave(DONE)  # nobody will come, and nobody should have
        if not self.at_once:
            anew = self.variant == "slice_forgets"
            leave(("forget_baton", world.words[SEQUENCE] if anew else entered, True))
        elif self.roles[me] == "t":
            leave(("forget_baton", entered, True))
        return out or None

    def woken(self, world, me, entered):
        world.words[WOKEN] = tuple(t for t in world.words[WOKEN] if t != me)
        self.leave_queues(world, me)
        if self.variant == "clock_first" and self.roles[me] == "t":
            return ("announce_mutex", entered, "timeout")
        if self.variant in ("no_baton", "announce_baton"):
            return ("announce_mutex", entered, "woken")
        return ("take_baton", entered)

    def forget_baton(self, world, me, entered, slept_out=False):
        world.pending[me] = None
        return ("look_after_baton", entered) if slept_out and not self.marked else ("look", entered)

    def look_after_baton(self, world, me, entered):
        self.look_after(world, BATON)
        return ("look", entered)

    def take_baton(self, world, me, entered):
        word = world.words[BATON]
        return ("announce_mutex", entered, "woken") if word[0] is not None else ("try_baton", entered, word)

    def try_baton(self, world, me, entered, word):
        """One compare-exchange: the baton is never waited for."""
        if world.words[BATON] != word:
            return ("announce_mutex", entered, "woken")
        world.words[BATON] = (me, True, False)
        return ("link_baton", entered)

    def link_baton(self, world, me, entered):
        world.link(me, BATON)
        if self.variant == "baton_too_soon":
            return ("unlink_baton", entered, "woken")
        return ("announce_mutex", entered, "woken")

    # RawMutex::lock

    def announce_mutex(self, world, me, entered, how):
        if self.variant != "announce_baton" or how != "woken":
            world.pending[me] = MUTEX
        return ("take_mutex", entered, how, False)

    def take_mutex(self, world, me, entered, how, slept):
        self.look_after(world, MUTEX)
        owner, waiting, died = world.words[MUTEX]
        if owner is None:
            world.words[MUTEX] = (me, waiting or slept, False)
            return ("link_mutex", entered, how)
        world.words[MUTEX] = (owner, True, died)
        world.words[MUTEX_QUEUE] += (me,)
        return ("asleep_in_mutex", entered, how, slept)

    def asleep_in_mutex(self, world, me, entered, how, slept):
        if me in world.words[WOKEN]:
            world.words[WOKEN] = tuple(t for t in world.words[WOKEN] if t != me)
            return ("take_mutex", entered, how, True)
        return None if self.marked else self.slept_out(world, me, ("take_mutex", entered, how, slept))

    def slept_out(self, world, me, then):
        """A slice of a sleep at the mutex."""
        world.words[MUTEX_QUEUE] = tuple(t for t in world.words[MUTEX_QUEUE] if t != me)
        return then

    def link_mutex(self, world, me, entered, how):
        world.link(me, MUTEX)
        if world.words[BATON][0] == me:
            return ("announce_return", entered)
        return ("returned", how)

    # give_back_baton

    def announce_return(self, world, me, entered):
        if self.variant != "return_unannounced":
            world.pending[me] = BATON
        return ("unlink_baton", entered, "woken")

    def unlink_baton(self, world, me, entered, how):
        world.unlink(me, BATON)
        return ("free_baton", entered, how)

    def free_baton(self, world, me, entered, how):
        world.words[BATON] = FREE
        if self.variant == "baton_too_soon":
            return ("announce_mutex", entered, how)
        return ("returned", how)

    # The wait is over: unlocking.

    def returned(self, world, me, how):
        world.words[RETURNED] += how != "timeout"
        world.pending[me] = None
        return ("announce_release",)

    def announce_release(self, world, me):
        world.pending[me] = MUTEX
        return ("unlink_mutex",)

    def unlink_mutex(self, world, me):
        world.unlink(me, MUTEX)
        return ("release",)

    def release(self, world, me):
        waiting = world.words[MUTEX][1]
        world.words[MUTEX] = (None, waiting, False)
        return ("wake_one",) if waiting else ("released",)

    def wake_one(self, world, me):
        return [(after, ("released",)) for after in self.wake_for_mutex(world)]

    def released(self, world, me):
        world.pending[me] = None
        return DONE

    # Somebody who locks and unlocks.

    def lock(self, world, me):
        world.pending[me] = MUTEX
        return ("barge", False)

    def barge(self, world, me, slept):
        self.look_after(world, MUTEX)
        owner, waiting, died = world.words[MUTEX]
        if owner is None:
            world.words[MUTEX] = (me, waiting or slept, False)
            return ("link_barger",)
        world.words[MUTEX] = (owner, True, died)
        world.words[MUTEX_QUEUE] += (me,)
        return ("barger_asleep", slept)

    def barger_asleep(self, world, me, slept):
        if me in world.words[WOKEN]:
            world.words[WOKEN] = tuple(t for t in world.words[WOKEN] if t != me)
            return ("barge", True)
        return None if self.marked else self.slept_out(world, me, ("barge", slept))

    def link_barger(self, world, me):
        world.link(me, MUTEX)
        return ("announce_release",)

    # notify_one, notify_all

    def notify(self, world, me):
        if self.after_all and any(world.at[w][0] in FALLING_ASLEEP for w in self.waiters()):
            return None
        if world.words[WAITING]:
            return ("notify_sleepers",)
        self.count(world, me)
        return DONE

    def count(self, world, me):
        ones, alls = world.words[SEQUENCE]
        if self.roles[me] == "a":
            world.words[SEQUENCE] = (ones, alls + 1)
        else:
            world.words[SEQUENCE] = (ones + 1, alls)
            world.words[GIVEN] = min(world.words[GIVEN] + 1, world.words[RETURNED] + self.due(world))

    def notify_sleepers(self, world, me):
        self.count(world, me)
        if self.variant == "count_apart":
            return ("wake_sleeper",)
        return self.wake_sleeper(world, me)

    def wake_sleeper(self, world, me):
        drop = ("wake_everybody",) if self.variant == "wake_first" else ("drop_waiting",)
        count = ALL if self.roles[me] == "a" else 1
        return [(after, DONE if woken else drop) for after, woken in world.wake(self.wakes_on, count)]

    def drop_waiting(self, world, me):
        world.words[WAITING] = False
        if self.variant in ("clear_apart", "wake_first"):
            return DONE
        return [(after, DONE) for after, _ in world.wake(self.wakes_on, ALL)]

    def wake_everybody(self, world, me):
        return [(after, ("drop_waiting",)) for after, _ in world.wake(self.wakes_on, ALL)]


# Where a waiter isn't asleep yet.
FALLING_ASLEEP = (
    "enter", "look", "announce_waiting", "announce_baton", "read_baton", "queue", "compare", "forget_baton", "look_after_baton"
)
# Where a wait has returned and only unlocking is left.
RETURNING = ("announce_release", "unlink_mutex", "release", "wake_one", "released")


def wake(self, word, count):
    """FUTEX_WAKE: on the mutex in any order, elsewhere in the order of arrival."""
    queue = self.words[QUEUE_OF[word]]
    if not queue or count == 0:
        return [(self.copy(), 0)]
    if count >= len(queue):
        choices = [queue]
    elif word != MUTEX:
        choices = [queue[:count]]
    else:
        choices = [(thread,) for thread in queue]
    out = []
    for chosen in choices:
        world = self.copy()
        world.words[QUEUE_OF[word]] = tuple(t for t in queue if t not in chosen)
        world.words[WOKEN] = tuple(sorted({*world.words[WOKEN], *chosen}))
        out.append((world, len(chosen)))
    return out


World.wake = wake

if __name__ == "__main__":
    report = Report()

    def at_once(roles, kills=0, variant=None):
        return Condvar(roles, True, variant, after_all=kills > 0)

    for roles in ["wwo", "wwoo", "wwa", "wwao", "wta", "wwob"]:
        report.holds(f"{roles}: at once, whenever notified", at_once(roles), 0)
    for roles, kills in [("wwo", 2), ("wto", 2), ("wwa", 2), ("wwob", 1), ("wwwo", 2), ("wwwa", 1)]:
        report.holds(f"{roles}: at once, killed anywhere", at_once(roles, kills), kills)
    for roles, kills in [("wwo", 2), ("wto", 2), ("wta", 1)]:
        report.holds(f"{roles}: in time, killed anywhere", Condvar(roles), kills)
    for roles in ["wwo", "wto"]:
        report.holds(f"{roles}: in time, deaths that the kernel doesn't mark", Condvar(roles, marked=False), 1)
    report.holds("wwo: in time, without futex_waitv", Condvar("wwo", blind=True), 1)
    report.long("wwob: in time, deaths that the kernel doesn't mark", Condvar("wwob", marked=False), 1)
    for roles in ["wwwoo", "wwwa"]:
        report.long(f"{roles}: at once, whenever notified", at_once(roles), 0)
    for roles, kills in [("wwwob", 1), ("wwwwa", 1)]:
        report.long(f"{roles}: at once, killed anywhere", at_once(roles, kills), kills)
    for roles, kills in [("wwoo", 1), ("wtao", 1)]:
        report.long(f"{roles}: in time, killed anywhere", Condvar(roles), kills)

    def fails(name, roles, variant, kills, problem):
        report.fails(name, at_once(roles, kills, variant), kills, problem)

    fails("notified through the baton", "wwoo", "wake_baton", 0, "lost")
    fails("a woken waiter has nothing in its hands", "wwo", "no_baton", 1, "lost")
    fails("the baton is given back before the mutex is taken", "wwo", "baton_too_soon", 1, "lost")
    fails("the baton announced, the mutex not", "wwo", "announce_baton", 1, "unmarked")
    fails("sleepers don't announce the baton", "wwo", "unannounced", 1, "lost")
    fails("the baton given back without an announcement", "wwo", "return_unannounced", 1, "unmarked")
    fails("counting and waking in two steps", "wo", "count_apart", 1, "lost")
    fails("W dropped apart from the waking", "wwoo", "clear_apart", 0, "lost")
    fails("W dropped after the waking", "wwoo", "wake_first", 0, "lost")
    fails("a woken timed waiter looks at its clock first", "wto", "clock_first", 0, "lost")
    report.fails("a slice reads the sequence anew", Condvar("wwo", variant="slice_forgets"), 1, "hang")
    fails("at once, though two are on their way", "wwwoo", None, 1, "lost")
    report.exit()
